package runa

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"runa/init/control"
)

// Explain is `runa explain`: why a part is as it is.
type Explain struct {
	Service string `arg:"" help:"Name of the service; runa status lists them."`
	JSON    bool   `name:"json" help:"Print it as JSON, with the service's last events, for programs."`
}

// Help adds what `runa explain --help` shows below the usage.
func (Explain) Help() string {
	return `Examples:
  runa explain splinfer
  runa explain --json splinfer

Three sentences: what happened, why, and what was done about it.`
}

func (x Explain) run(ctx context.Context, e Environment) error {
	ctx, cancel := e.interruptible(ctx)
	defer cancel()
	explanation, err := control.NewClient(e.Control).Explain(ctx, x.Service)
	if err != nil {
		return fmt.Errorf("explain %s: %w", x.Service, err)
	}
	if x.JSON {
		return e.printJSON(explanation)
	}
	for _, sentence := range []string{explanation.What, explanation.Why, explanation.Done} {
		if sentence != "" {
			fmt.Fprintln(e.Out, printable(sentence))
		}
	}
	return nil
}

func (e Environment) printJSON(value any) error {
	encoder := json.NewEncoder(e.Out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

// Events is `runa events`: what changed, and what changes.
type Events struct {
	Service string `arg:"" optional:"" help:"Only of this service."`
	Follow  bool   `short:"f" help:"Go on showing what comes; Ctrl-C ends it."`
	JSON    bool   `name:"json" help:"Print one line of JSON for each, for programs."`
}

// Help adds what `runa events --help` shows below the usage.
func (Events) Help() string {
	return `Examples:
  runa events
  runa events -f
  runa events splinfer

Each line is one change of a part's state: when, which part, its new state and why. In
brackets: the class of the defect, the step that is taken against it, how often the part
was started again, its version. Events are in memory and start anew at each boot.`
}

func (v Events) run(ctx context.Context, e Environment) error {
	ctx, cancel := e.interruptible(ctx)
	defer cancel()
	show, shown := e.eventPrinter(v.JSON), false
	err := control.NewClient(e.Control).Events(ctx, v.Service, v.Follow, func(event control.Event) error {
		shown = true
		return show(event)
	})
	if v.Follow && interrupted(ctx) {
		return nil // the way to end -f
	}
	if err != nil {
		return fmt.Errorf("read the events: %w", err)
	}
	if !shown && v.Service != "" {
		fmt.Fprintf(e.Err, "no events of %s\n", v.Service)
	}
	return nil
}

func (e Environment) eventPrinter(asJSON bool) func(control.Event) error {
	if asJSON {
		encoder := json.NewEncoder(e.Out)
		return func(event control.Event) error { return encoder.Encode(event) }
	}
	return func(event control.Event) error {
		if event.Lost > 0 {
			fmt.Fprintf(e.Out, "(%d events lost: they came faster than they were read)\n", event.Lost)
		}
		_, err := fmt.Fprintln(e.Out, eventLine(event))
		return err
	}
}

func eventLine(event control.Event) string {
	line := fmt.Sprintf("%s %-12s %-8s %s", clock(event.Time), event.Service, event.State, event.Reason)
	var more []string
	for _, part := range []struct{ name, value string }{{"", event.Class}, {"step ", event.Rung}, {"version ", event.Version}} {
		if part.value != "" {
			more = append(more, part.name+part.value)
		}
	}
	if event.Restarts > 0 {
		more = append(more, fmt.Sprintf("restarts %d", event.Restarts))
	}
	if len(more) > 0 {
		line = strings.TrimRight(line, " ") + " [" + strings.Join(more, ", ") + "]"
	}
	return printable(strings.TrimRight(line, " "))
}
