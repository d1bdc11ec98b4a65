// Command runa-image builds, boots, inspects and flashes images of the appliance.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/alecthomas/kong"
	"golang.org/x/term"

	"runa/image/build"
	"runa/image/cache"
	"runa/image/environment"
	"runa/image/fetch"
	"runa/image/flash"
	"runa/image/inspect"
	"runa/image/launch"
	"runa/image/progress"
	"runa/services/hint"
)

// version is set by the linker.
var version = "development"

type source struct {
	Root     string `default:"." type:"existingdir" help:"The checkout."`
	Out      string `default:"out" type:"path" help:"Folder for the results."`
	Programs string `default:"out/bin" type:"path" help:"Folder with Runa's built programs."`
	Size     int64  `help:"Size of the disk in MiB; by default what the model needs and room to live." placeholder:"MIB"`
}

type buildCommand struct {
	source
	Model  string `default:"tinyllama-1.1b-chat" help:"Model to put in: tinyllama-1.1b-chat, stories15m or none."`
	Target string `default:"qcow2" help:"What to make: qcow2 (QEMU, virt-manager), raw or usb (a disk's bytes), xen (disk, kernel, configurations), kernel (no disk); several with commas; or all." placeholder:"NAMES"`

	HostFolder string `help:"Absolute path where the results will be on the host that runs them, for runa.xml and runa-*.cfg; by default where libvirt and Xen usually keep images." placeholder:"DIR"`
}

type runCommand struct {
	source
	Model  string `help:"Model to put in; by default what this machine can run."`
	Memory int    `help:"Memory of the machine in MiB; by default what the model needs." placeholder:"MIB"`
	Image  string `type:"existingfile" help:"Boot this image and build nothing."`
}

type inspectCommand struct {
	Image string `arg:"" type:"existingfile" help:"A qcow2 or raw image."`
}

type flashCommand struct {
	Image string `arg:"" type:"existingfile" help:"A qcow2 or raw image."`
	Disk  string `arg:"" type:"path" help:"The whole disk, as in /dev/sdb. What is on it will be lost."`
	Force bool   `help:"Although the disk is not removable."`
	Yes   bool   `help:"Don't ask."`
}

type verifyCommand struct {
	Path      string `arg:"" type:"path" help:"A disk, as in /dev/sdb, or an image."`
	Inventory string `type:"existingfile" help:"What it must be: the inventory.json of the build. By default the one inside." placeholder:"FILE"`
}

type environmentCommand struct {
	source
	Bench bool `help:"Also build what the benchmarks compare with."`
}

type pinCommand struct {
	Root string `default:"." type:"existingdir" help:"The checkout."`
}

var commands struct {
	Build   buildCommand       `cmd:"" help:"Build the image."`
	Run     runCommand         `cmd:"" help:"Build what is missing and boot it on this terminal."`
	Inspect inspectCommand     `cmd:"" help:"Say what an image is made of, and check it."`
	Flash   flashCommand       `cmd:"" help:"Write an image to a USB stick or another whole disk, and check it."`
	Verify  verifyCommand      `cmd:"" help:"Read a stick or an image back and say whether it is what was built."`
	Env     environmentCommand `cmd:"" help:"Print the variables that tell the tests where everything is."`
	Pin     pinCommand         `cmd:"" help:"Accept the Debian archive's current versions of what enters the image."`
	Version kong.VersionFlag   `help:"Print the version."`
}

const about = `Builds, boots, inspects and flashes images of Runa.

Examples:
  runa-image build --model stories15m
  runa-image build --target usb,xen
  runa-image run --memory 4096
  runa-image inspect out/runa.qcow2
  runa-image flash out/runa.qcow2 /dev/sdb
  runa-image verify /dev/sdb --inventory out/inventory.json`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		hint.Print(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	parser, err := kong.New(&commands, kong.Name("runa-image"), kong.Description(about),
		kong.Vars{"version": version}, kong.BindTo(ctx, (*context.Context)(nil)))
	if err != nil {
		return err
	}
	command, err := parser.Parse(args)
	if err != nil {
		return hint.New(err, "runa-image --help lists the commands")
	}
	return command.Run()
}

func (s source) builder(model string) (build.Builder, error) {
	c, err := cache.Default()
	shown := progress.New(os.Stderr)
	c.Waiting = func(product string) { shown.Task("wait for another build of " + product) }
	return build.Builder{
		Root: s.Root, Out: s.Out, Programs: s.Programs, Version: version, Model: model, Size: s.Size << 20,
		Cache: c, Progress: shown,
	}, err
}

// Run builds the image.
func (c buildCommand) Run(ctx context.Context) error {
	b, err := c.builder(c.Model)
	if err != nil {
		return err
	}
	b.HostFolder = c.HostFolder
	if b.Targets, err = build.ParseTargets(c.Target); err != nil {
		return err
	}
	if _, err := b.Build(ctx); err != nil {
		return err
	}
	return b.Summary(os.Stdout)
}

// Run boots the image on this terminal.
func (c runCommand) Run(ctx context.Context) error {
	choice := launch.Choose(ctx, c.Model, c.Memory)
	if c.Image == "" {
		b, err := c.builder(choice.Model)
		if err != nil {
			return err
		}
		b.Targets = []build.Target{build.QCOW2}
		a, err := b.Build(ctx)
		if err != nil {
			return err
		}
		c.Image = a.Image
	}
	return launch.Run(ctx, os.Stderr, c.Image, c.Out, choice)
}

// Run prints what is in the image.
func (c inspectCommand) Run() error { return inspect.Image(os.Stdout, c.Image) }

// Run writes the image to the disk.
func (c flashCommand) Run(ctx context.Context) error {
	return flash.Write(ctx, flash.Order{
		Image: c.Image, Disk: c.Disk, Force: c.Force, Yes: c.Yes, Host: flash.Here,
		In: os.Stdin, Terminal: term.IsTerminal(int(os.Stdin.Fd())), Out: os.Stdout, Progress: progress.New(os.Stderr),
	})
}

// Run checks a disk or an image.
func (c verifyCommand) Run(ctx context.Context) error {
	return flash.Verify(ctx, os.Stdout, c.Path, c.Inventory, progress.New(os.Stderr))
}

// Run prints shell assignments.
func (c environmentCommand) Run(ctx context.Context) error {
	b, err := c.builder("stories15m")
	if err != nil {
		return err
	}
	return environment.Print(ctx, os.Stdout, b, c.Bench)
}

// Run rewrites the pins.
func (c pinCommand) Run(ctx context.Context) error {
	ca, err := cache.Default()
	if err != nil {
		return err
	}
	changes, err := fetch.Fetcher{Cache: ca, Progress: progress.New(os.Stderr)}.Repin(ctx, filepath.Join(c.Root, "image/fetch/pins.yaml"))
	if err != nil {
		return err
	}
	for _, change := range changes {
		fmt.Printf("%s: %s -> %s\n", change.Name, change.From, change.To)
	}
	fmt.Printf("%d pins changed\n", len(changes))
	return nil
}
