package command

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

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
  splinter scope                       the same, live: q ends it
  splinter list service/               the keys under a prefix
  splinter get service/splinfer/model  a value
  splinter set note "a text"           set one; - reads it from the standard input
  splinter watch --prefix service/     changes as they come
  splinter export > bus.json           all keys, for splinter import
  splinter check                       is the file sound`

type program struct {
	Bus string `help:"Path of the bus (${bus})." default:"${bus}" env:"RUNA_BUS" placeholder:"PATH"`

	KeyFile string `help:"File with the secret of a keyed bus: 32 bytes, or 64 hexadecimal digits." env:"RUNA_BUS_KEY_FILE" placeholder:"PATH"`

	Serve  serveCommand  `cmd:"" help:"Make the bus if it is not there and look after it until told to end."`
	Init   initCommand   `cmd:"" help:"Make a bus."`
	Info   infoCommand   `cmd:"" help:"Print what the bus is, holds and has done."`
	Scope  scopeCommand  `cmd:"" help:"Show live who talks to whom, how much and how fast."`
	Get    getCommand    `cmd:"" help:"Print the value of a key as it is."`
	Set    setCommand    `cmd:"" help:"Set a key."`
	Add    addCommand    `cmd:"" help:"Add to an integer."`
	Unset  unsetCommand  `cmd:"" help:"Remove a key."`
	List   listCommand   `cmd:"" help:"Print the keys, one per line."`
	Watch  watchCommand  `cmd:"" help:"Print changes of keys as they come."`
	Type   typeCommand   `cmd:"" help:"Print or name a key's type."`
	Label  labelCommand  `cmd:"" help:"Print, set or clear a key's labels."`
	Export exportCommand `cmd:"" help:"Write keys out, as JSON or as a file of libsplinter."`
	Import importCommand `cmd:"" help:"Set the keys of an exported file, or of one of libsplinter."`
	Check  checkCommand  `cmd:"" help:"Say whether the bus is sound, and mend what the dead left."`
	Bench  benchCommand  `cmd:"" help:"Time the bus beside other ways, on a bus of its own."`
	Peer   peerCommand   `cmd:"" hidden:"" help:"The other process of bench."`
}

// environment is what the subcommands run in.
type environment struct {
	ctx context.Context
	Stdio
	env     func(string) string
	bus     string
	keyFile string
}

func (e environment) withBus(use func(*splinter.Bus) error) error {
	key, err := e.key()
	if err != nil {
		return err
	}
	b, err := splinter.OpenWith(e.bus, splinter.Options{Key: key})
	if errors.Is(err, splinter.ErrSealed) {
		return hint.New(err, "--key-file names the file with the bus's secret")
	}
	if err != nil {
		return err
	}
	defer b.Close()
	return use(b)
}

// key is the secret of a keyed bus, nil if none was given.
func (e environment) key() ([]byte, error) {
	if e.keyFile == "" {
		return nil, nil
	}
	data, err := os.ReadFile(e.keyFile)
	if err != nil {
		return nil, fmt.Errorf("read the bus's secret: %w", err)
	}
	if len(data) == splinter.KeySize {
		return data, nil
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(data)))
	if err != nil || len(key) != splinter.KeySize {
		return nil, fmt.Errorf("the bus's secret in %s: expected %d bytes or %d hexadecimal digits", e.keyFile, splinter.KeySize, 2*splinter.KeySize)
	}
	return key, nil
}

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
	return hintRights(parsed.Run(environment{ctx: ctx, Stdio: stdio, env: env, bus: p.Bus, keyFile: p.KeyFile}))
}

// hintRights says what to do about a right that is not there.
func hintRights(err error) error {
	if errors.Is(err, splinter.ErrForbidden) {
		return hint.New(err, "a service's rights stand in its manifest, under bus; root and the bus's owner have all")
	}
	return err
}

// Main is Run on the process's own arguments, environment and streams.
func Main(ctx context.Context) error {
	return Run(ctx, os.Args[1:], os.Getenv, Stdio{In: os.Stdin, Out: os.Stdout, Err: os.Stderr})
}
