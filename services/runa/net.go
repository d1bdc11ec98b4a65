package runa

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"runa/init/control"
	"runa/services/hint"
)

// Net is `runa net`: the network, which is off unless the owner allows it.
type Net struct {
	Status NetStatus `cmd:"" default:"withargs" help:"Show which networks there are and what is allowed."`
	Allow  NetAllow  `cmd:"" help:"Allow one network for a time; says what that means and asks."`
	Off    NetOff    `cmd:"" help:"End what was allowed."`
}

// Help adds what `runa net --help` shows below the usage.
func (Net) Help() string {
	return `Examples:
  runa net
  runa net allow eth0 --for 30m
  runa net off`
}

// NetStatus is `runa net status`.
type NetStatus struct {
	JSON bool `name:"json" help:"Print it as JSON, for programs."`
}

// Help adds what `runa net status --help` shows below the usage.
func (NetStatus) Help() string {
	return `Examples:
  runa net
  runa net status --json

Exit status 0: all is off, or allowed; 1: a network is up that nobody allowed.`
}

func (n NetStatus) run(ctx context.Context, e Environment) error {
	ctx, cancel := e.interruptible(ctx)
	defer cancel()
	status, err := control.NewClient(e.Control).Net(ctx)
	if err != nil {
		return err
	}
	if n.JSON {
		err = e.printJSON(status)
	} else {
		err = e.showNet(status)
	}
	if err == nil && !netWell(status.Interfaces, status.Consents) {
		return errSaid
	}
	return err
}

func (e Environment) showNet(status control.NetStatus) error {
	if len(status.Interfaces) == 0 {
		_, err := fmt.Fprintln(e.Out, "there is no network card")
		return err
	}
	table := tabwriter.NewWriter(e.Out, 0, 0, 2, ' ', 0)
	for _, network := range status.Interfaces {
		state := "OFF"
		if network.Up {
			state = "ON"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", printable(network.Name), state, e.netReason(network, status.Consents))
	}
	return table.Flush()
}

func (e Environment) netReason(network control.InterfaceStatus, consents []control.Consent) string {
	consent, allowed := consentTo(network.Name, consents)
	switch {
	case allowed:
		return fmt.Sprintf("allowed for another %s, by %s", span(consent.Until.Sub(e.Now())), printable(consent.By))
	case network.Up:
		return "NOT ALLOWED by anybody; gilgul switches it off"
	}
	return "not allowed"
}

func consentTo(iface string, consents []control.Consent) (control.Consent, bool) {
	i := slices.IndexFunc(consents, func(c control.Consent) bool { return c.Interface == iface })
	if i < 0 {
		return control.Consent{}, false
	}
	return consents[i], true
}

// netWell reports whether nothing is up but what the owner allowed.
func netWell(interfaces []control.InterfaceStatus, consents []control.Consent) bool {
	return !slices.ContainsFunc(interfaces, func(network control.InterfaceStatus) bool {
		_, allowed := consentTo(network.Name, consents)
		return network.Up && !allowed
	})
}

// NetAllow is `runa net allow`.
type NetAllow struct {
	Interface string        `arg:"" help:"Name of the interface; runa net lists them."`
	For       time.Duration `required:"" placeholder:"TIME" help:"For how long, such as 90s, 30m or 1h; a day at most."`
}

// Help adds what `runa net allow --help` shows below the usage.
func (NetAllow) Help() string {
	return `Examples:
  runa net allow eth0 --for 30m

It says what becomes reachable and asks you; nothing can answer for you, so it needs a
terminal. The network is switched off when the time is over, at "runa net off", and
when the machine starts anew.`
}

func (n NetAllow) run(ctx context.Context, e Environment) error {
	if !e.Typed || !e.Terminal {
		return hint.New(fmt.Errorf("allow %s: %w", n.Interface, errNobodyThere), "log in at the console and type it there")
	}
	ctx, cancel := e.interruptible(ctx)
	defer cancel()
	client := control.NewClient(e.Control)
	explanation, err := client.ExplainNet(ctx, n.Interface, n.For)
	if err != nil {
		return fmt.Errorf("allow %s: %w", n.Interface, err)
	}
	agreed, err := e.consents(ctx, explanation)
	if err != nil {
		return err
	}
	if !agreed {
		fmt.Fprintln(e.Out, "nothing was changed")
		return errSaid
	}
	consent, err := client.AllowNet(ctx, control.NetRequest{Interface: n.Interface, For: n.For, Token: explanation.Token})
	if err != nil {
		return fmt.Errorf("allow %s: %w", n.Interface, err)
	}
	fmt.Fprintf(e.Out, "%s is allowed for %s; `runa net off` ends it before\n", consent.Interface, span(consent.Until.Sub(consent.Since)))
	return nil
}

// errNobodyThere means that nobody can be asked.
var errNobodyThere = errors.New("there is no terminal to ask you at")

// consents shows what becomes reachable and asks.
func (e Environment) consents(ctx context.Context, explanation control.NetExplanation) (bool, error) {
	fmt.Fprintf(e.Out, "If %s is allowed for %s:\n", explanation.Interface, span(explanation.For))
	for _, sentence := range explanation.Reachable {
		fmt.Fprintf(e.Out, "  - %s\n", printable(sentence))
	}
	fmt.Fprintf(e.Out, "Allow it? [y/N] ")
	typed := newLineReader(e.In)
	select {
	case line := <-typed.next(): // "" at the end of the input
		return slices.Contains([]string{"y", "yes"}, strings.ToLower(strings.TrimSpace(line))), nil
	case <-ctx.Done():
		fmt.Fprintln(e.Out)
		return false, context.Cause(ctx)
	}
}

// NetOff is `runa net off`.
type NetOff struct {
	Interface string `arg:"" optional:"" help:"Only this interface."`
}

// Help adds what `runa net off --help` shows below the usage.
func (NetOff) Help() string {
	return "Examples:\n  runa net off\n  runa net off eth0"
}

func (n NetOff) run(ctx context.Context, e Environment) error {
	ctx, cancel := e.interruptible(ctx)
	defer cancel()
	if err := control.NewClient(e.Control).NetOff(ctx, n.Interface); err != nil {
		return fmt.Errorf("switch the network off: %w", err)
	}
	if n.Interface != "" {
		fmt.Fprintf(e.Out, "%s is off\n", n.Interface)
	} else {
		fmt.Fprintln(e.Out, "every network is off")
	}
	return nil
}
