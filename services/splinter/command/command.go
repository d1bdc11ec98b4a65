package command

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/alecthomas/kong"

	"runa/services/hint"
	"runa/services/splinter"
)

// Stdio are the program's streams.
type Stdio struct {
	In       io.Reader
	Out, Err io.Writer
}

const description = `Look at, change and serve the bus that Runa's components talk over.

Examples:
  splinter info                        what the bus holds and has done
  splinter list service/               the keys under a prefix
  splinter get service/splinfer/model  a value
  splinter set note "a text"           set one; - reads it from the standard input
  splinter watch service/splinfer/ready
  splinter bench                       how fast it is here`

type program struct {
	Bus string `help:"Path of the bus (${bus})." default:"${bus}" env:"RUNA_BUS" placeholder:"PATH"`

	Serve serveCommand `cmd:"" help:"Make the bus if it is not there, say so and stay until told to end."`
	Info  infoCommand  `cmd:"" help:"Print what the bus is, holds and has done."`
	Get   getCommand   `cmd:"" help:"Print the value of a key as it is."`
	Set   setCommand   `cmd:"" help:"Set a key."`
	Unset unsetCommand `cmd:"" help:"Remove a key."`
	List  listCommand  `cmd:"" help:"Print the keys, one per line."`
	Watch watchCommand `cmd:"" help:"Print a key's version and value now and whenever it is set."`
	Bench benchCommand `cmd:"" help:"Time the bus against a unix socket, on a bus of its own."`
	Peer  peerCommand  `cmd:"" hidden:"" help:"The other process of bench."`
}

// environment is what the subcommands run in.
type environment struct {
	ctx context.Context
	Stdio
	env func(string) string
	bus string
}

func (e environment) open() (*splinter.Bus, error) { return splinter.Open(e.bus) }

// exited is how kong's wish to end the program (after --help) reaches Run.
type exited int

// Run runs the program with args (without its name) and the variables of env. The
// error is the one to print; after --help it is nil. ctx ends what waits.
func Run(ctx context.Context, args []string, env func(string) string, stdio Stdio) (err error) {
	defer func() {
		if code, ok := recover().(exited); ok && code != 0 {
			err = fmt.Errorf("exit code %d", int(code))
		}
	}()
	var p program
	parser, err := kong.New(&p, kong.Name("splinter"), kong.Description(description),
		kong.Writers(stdio.Out, stdio.Err), kong.Exit(func(code int) { panic(exited(code)) }),
		kong.Vars{"bus": splinter.DefaultPath})
	if err != nil {
		return err
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		return hint.New(err, "splinter --help lists the commands and their flags")
	}
	return parsed.Run(environment{ctx: ctx, Stdio: stdio, env: env, bus: p.Bus})
}

// Main is Run on the process's own arguments, environment and streams.
func Main(ctx context.Context) error {
	return Run(ctx, os.Args[1:], os.Getenv, Stdio{In: os.Stdin, Out: os.Stdout, Err: os.Stderr})
}
