// Command gilgul is PID 1 of the appliance. See init/gilgul.
package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/alecthomas/kong"

	"runa/init/gilgul"
	"runa/services/hint"
)

// version is set by the build: -ldflags "-X main.version=...".
var version = "development"

const description = `PID 1 of the Runa appliance: boots it, starts and watches its services, ends it.

The kernel starts it as /init; nobody else can. To ask it for something use
runa status, runa logs, runa restart, runa poweroff.`

type arguments struct {
	Version kong.VersionFlag `help:"Print the version."`
}

func main() {
	if os.Getpid() == 1 {
		// What the kernel passes on as arguments are words it didn't know.
		hint.Print(os.Stderr, gilgul.Run(version))
		// The end of PID 1 would be a kernel panic; this leaves the message to read.
		for {
			time.Sleep(time.Hour)
		}
	}
	kong.Parse(&arguments{}, kong.Name("gilgul"), kong.Description(description),
		kong.Vars{"version": fmt.Sprintf("gilgul %s", version)})
	hint.Print(os.Stderr, hint.New(errors.New("start gilgul: it is PID 1 or nothing"), "boot an image: make run; on the appliance, ask it with: runa status"))
	os.Exit(2)
}
