// Command gilgul is PID 1 of the appliance (see init/gilgul) or, with --user, a
// user's service manager (see init/usermode).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"runa/init/gilgul"
	"runa/init/usermode"
	"runa/services/hint"
)

// version is set by the build: -ldflags "-X main.version=...".
var version = "development"

const usage = `Usage: gilgul [flags]

PID 1 of the Runa appliance, and a user's service manager elsewhere: it starts,
watches, confines and heals services.

As PID 1 the kernel starts it as /init. With --user it looks after the services
of an ordinary user, whose manifests are in ~/.config/runa/services; those of
Runa's own parts are written there at the first start. To ask it for something
use runa status, runa logs, runa explain, runa restart, runa poweroff.

Examples:

    gilgul --user
    gilgul --user --libraries ~/llama --models ~/models
    gilgul --user --init          only write the manifests, to change them first

Flags:
  -h, --help                Show this help.
      --user                Look after this user's services.
      --init                With --user: write the manifests of Runa's own
                            services where they are missing, and end.
      --libraries=FOLDER    Folder of llama.cpp's libraries, for the manifests
                            that are written.
      --models=FOLDER       Folder of models, for the manifests that are
                            written.
      --version             Print the version.
`

// arguments are read by Go's own package flag: the parser that Runa's other
// programs use keeps the linker from leaving out what is never called, and would
// make PID 1 a quarter larger.
type arguments struct {
	user, init, version bool
	libraries, models   string
}

// parse reads the command line. flag.ErrHelp means that help is asked for.
func parse(words []string) (arguments, error) {
	var a arguments
	flags := flag.NewFlagSet("gilgul", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.BoolVar(&a.user, "user", false, "")
	flags.BoolVar(&a.init, "init", false, "")
	flags.BoolVar(&a.version, "version", false, "")
	for name, value := range map[string]*string{"libraries": &a.libraries, "models": &a.models} {
		flags.Func(name, "", func(folder string) (err error) {
			*value, err = filepath.Abs(folder)
			return err
		})
	}
	err := flags.Parse(words)
	if err == nil && flags.NArg() > 0 {
		err = fmt.Errorf("unexpected argument %s", flags.Arg(0))
	}
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		err = hint.New(err, "gilgul --help lists the flags")
	}
	return a, err
}

func main() {
	// It holds little and makes little: a small heap costs it nothing that is
	// seen, and there is more memory for models.
	debug.SetGCPercent(25)
	if os.Getpid() == 1 {
		// What the kernel passes on as arguments are words it didn't know.
		hint.Print(os.Stderr, gilgul.Run(version))
		// The end of PID 1 would be a kernel panic; this leaves the message to read.
		for {
			time.Sleep(time.Hour)
		}
	}
	a, err := parse(os.Args[1:])
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Print(usage)
		return
	case err != nil:
		hint.Print(os.Stderr, err)
		os.Exit(2)
	case a.version:
		fmt.Println("gilgul", version)
		return
	}
	if err := a.run(); err != nil {
		hint.Print(os.Stderr, err)
		os.Exit(2)
	}
}

func (a arguments) run() error {
	if !a.user {
		return hint.New(errors.New("start gilgul: it is PID 1, or a user's with --user"), "boot an image: make run; on the appliance, ask it with: runa status")
	}
	o := usermode.Options{Version: version, Libraries: a.libraries, Models: a.models, Env: os.Getenv, Out: os.Stdout}
	if a.init {
		return usermode.Init(o)
	}
	return usermode.Run(context.Background(), o)
}
