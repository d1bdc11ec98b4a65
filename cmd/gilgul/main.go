// Command gilgul is PID 1 of the appliance (see init/gilgul) or, with --user, a
// user's service manager (see init/usermode).
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"github.com/alecthomas/kong"

	"runa/init/gilgul"
	"runa/init/usermode"
	"runa/services/hint"
)

// version is set by the build: -ldflags "-X main.version=...".
var version = "development"

const description = `PID 1 of the Runa appliance, and a user's service manager elsewhere: it starts,
watches, confines and heals services.

As PID 1 the kernel starts it as /init. With --user it looks after the services
of an ordinary user, whose manifests are in ~/.config/runa/services; those of
Runa's own parts are written there at the first start. To ask it for something
use runa status, runa logs, runa explain, runa restart, runa poweroff.

Examples:
  gilgul --user
  gilgul --user --libraries ~/llama --models ~/models
  gilgul --user --init          only write the manifests, to change them first`

type arguments struct {
	User      bool             `help:"Look after this user's services."`
	Init      bool             `help:"With --user: write the manifests of Runa's own services where they are missing, and end."`
	Libraries string           `help:"Folder of llama.cpp's libraries, for the manifests that are written." placeholder:"FOLDER" type:"path"`
	Models    string           `help:"Folder of models, for the manifests that are written." placeholder:"FOLDER" type:"path"`
	Version   kong.VersionFlag `help:"Print the version."`
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
	var a arguments
	kong.Parse(&a, kong.Name("gilgul"), kong.Description(description),
		kong.Vars{"version": fmt.Sprintf("gilgul %s", version)})
	if err := a.run(); err != nil {
		hint.Print(os.Stderr, err)
		os.Exit(2)
	}
}

func (a arguments) run() error {
	if !a.User {
		return hint.New(errors.New("start gilgul: it is PID 1, or a user's with --user"), "boot an image: make run; on the appliance, ask it with: runa status")
	}
	o := usermode.Options{Version: version, Libraries: a.Libraries, Models: a.Models, Env: os.Getenv, Out: os.Stdout}
	if a.Init {
		return usermode.Init(o)
	}
	return usermode.Run(context.Background(), o)
}
