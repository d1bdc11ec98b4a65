package runa

import (
	"context"
	"errors"
	"fmt"

	"github.com/alecthomas/kong"

	"runa/services/hint"
)

// commands is the command line. A field's `help` is the line that `runa help`
// shows; the type's Help has the examples.
type commands struct {
	Chat          Chat          `cmd:"" help:"Talk with the model."`
	Conversations Conversations `cmd:"" help:"List the conversations that are kept; remove them."`
	Ask           Ask           `cmd:"" help:"Ask one question, get one answer; for scripts."`
	Status        Status        `cmd:"" help:"Show how every part is."`
	Explain       Explain       `cmd:"" help:"Say what happened to a service, why, and what was done."`
	Events        Events        `cmd:"" help:"Show what changed, and what changes."`
	Logs          Logs          `cmd:"" help:"Show what a service wrote."`
	Models        Models        `cmd:"" help:"List the models; add, load, requantize and remove them."`
	Start         Start         `cmd:"" help:"Start a service."`
	Stop          Stop          `cmd:"" help:"Stop a service."`
	Restart       Restart       `cmd:"" help:"Stop a service and start it again."`
	Update        Update        `cmd:"" help:"Give a service a new version, on probation."`
	Net           Net           `cmd:"" help:"Show the network; allow it for a time."`
	PowerOff      PowerOff      `cmd:"" name:"poweroff" help:"Switch the machine off."`
	Reboot        Reboot        `cmd:"" help:"Start the machine anew."`
	Help          Help          `cmd:"" help:"Show what one can do; help COMMAND says more."`
	Version       Version       `cmd:"" help:"Show the version."`
}

// command is what each of them does.
type command interface {
	run(ctx context.Context, e Environment) error
}

// Help is `runa help`.
type Help struct {
	Command []string `arg:"" optional:"" help:"The command to explain."`
}

func (h Help) run(ctx context.Context, e Environment) error {
	if len(h.Command) == 0 {
		fmt.Fprint(e.Out, overview)
		return nil
	}
	if status := Main(ctx, append(h.Command, "--help"), e); status != 0 {
		return errMistyped
	}
	return nil
}

// Version is `runa version`.
type Version struct{}

func (Version) run(_ context.Context, e Environment) error {
	fmt.Fprintf(e.Out, "runa %s\n", e.Version)
	return nil
}

const overview = `Runa: private conversations with a language model, on this machine alone.

  runa chat                        talk with the model; Ctrl-D leaves
  runa chat --continue             go on with the newest conversation
  runa conversations               which conversations are kept; remove deletes one
  runa ask "Why is the sky blue?"  one answer, for scripts too
  runa models                      which models there are; models add FILE takes one over
  runa status                      how every part is, network included
  runa logs splinfer               what a service wrote; gilgul is one too
  runa explain splinfer            what happened to a service, why, what was done
  runa events -f                   what changes, as it happens
  runa restart splinfer            also: start, stop, update
  runa net                         the network; net allow eth0 --for 30m asks you
  runa poweroff                    switch the machine off; also: reboot

runa help COMMAND shows a command's options and examples.
`

// errMistyped ends a command with status 2; what is wrong has been said.
var errMistyped = errors.New("mistyped")

// Main runs the command that args name (without the program's name) and returns
// its exit status. It is the one place where an error is printed.
func Main(ctx context.Context, args []string, e Environment) int {
	if len(args) == 0 {
		args = []string{"help"}
	}
	chosen, shown, err := parse(args, e)
	if shown {
		return 0
	}
	if err != nil {
		hint.Print(e.Err, err)
		return exitUsage
	}
	return e.status(chosen.run(ctx, e))
}

// status reports an error and turns it into an exit status.
func (e Environment) status(err error) int {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errInterrupted), errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.Is(err, errMistyped):
		return exitUsage
	case !errors.Is(err, errSaid):
		hint.Print(e.Err, err)
	}
	return exitFailed
}

// helpShown is thrown by kong's exit after it has printed a help text.
type helpShown struct{}

// parse finds the command; shown says that a help text was printed instead.
func parse(args []string, e Environment) (chosen command, shown bool, err error) {
	defer func() {
		if thrown := recover(); thrown != nil {
			if _, ok := thrown.(helpShown); !ok {
				panic(thrown)
			}
			shown = true
		}
	}()
	var all commands
	parser, err := kong.New(&all, kong.Name("runa"), kong.Writers(e.Out, e.Err),
		kong.Description("Private conversations with a language model, on this machine alone."),
		kong.WithHyphenPrefixedParameters(true), // --seed -1
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
		kong.Exit(func(int) { panic(helpShown{}) }))
	if err != nil {
		return nil, false, err
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		return nil, false, hint.New(err, "runa help lists the commands")
	}
	chosen, ok := parsed.Selected().Target.Interface().(command)
	if !ok {
		return nil, false, fmt.Errorf("runa %s does nothing", parsed.Selected().Name)
	}
	return chosen, false, nil
}
