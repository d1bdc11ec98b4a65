package command

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/term"

	"runa/services/hint"
	"runa/services/splinter"
	"runa/services/splinter/command/scope"
)

type scopeCommand struct {
	Once     bool          `help:"Print one picture, of what happens within the interval, and end."`
	Interval time.Duration `help:"How often the picture is made anew." default:"1s" placeholder:"TIME"`
	Width    int           `help:"Columns, if the terminal does not know." default:"80"`
	Height   int           `help:"Lines, if the terminal does not know." default:"24"`
}

func (c *scopeCommand) Help() string {
	return `Shows components (sets, gets, misses and messages a second, drops, how long waking
took), flows (who sends to whom over which connection or topic, and how far the
receiver is behind; ! one that let a sender wait in vain) and topics. Plain ASCII in
80 columns and 24 lines; the terminal is never asked anything.

Keys: q ends; c, f and t show components, flows or topics alone, a all of them.

Examples:
  splinter scope
  splinter scope --once --interval 5s`
}

func (c *scopeCommand) Run(e environment) error {
	if c.Interval < 10*time.Millisecond {
		return fmt.Errorf("scope: --interval %v: expected 10ms or more", c.Interval)
	}
	o := scope.Options{Interval: c.Interval, Width: c.Width, Height: c.Height}
	return e.withBus(func(b *splinter.Bus) error {
		if c.Once {
			return scope.Once(e.ctx, b, e.Out, o)
		}
		in, inIsFile := e.In.(*os.File)
		out, outIsFile := e.Out.(*os.File)
		if !inIsFile || !outIsFile || !term.IsTerminal(int(in.Fd())) || !term.IsTerminal(int(out.Fd())) {
			return hint.New(errors.New("scope: this is no terminal"), "--once prints one picture")
		}
		return scope.Run(e.ctx, b, in, out, o)
	})
}
