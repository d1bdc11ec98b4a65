package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"runa/services/hint"
	"runa/services/splinter"
)

type getCommand struct {
	Key string `arg:"" help:"The key."`
}

func (c *getCommand) Run(e environment) error {
	return e.withBus(func(b *splinter.Bus) error {
		value, _, err := b.Get(c.Key)
		if err != nil {
			return hintMissing(err)
		}
		_, err = e.Out.Write(value)
		return err
	})
}

func hintMissing(err error) error {
	if errors.Is(err, splinter.ErrNotFound) {
		return hint.New(err, "splinter list prints the keys there are")
	}
	return err
}

type setCommand struct {
	Key   string `arg:"" help:"The key, 1 to 255 bytes."`
	Value string `arg:"" help:"The value; - reads it from the standard input."`
}

func (c *setCommand) Run(e environment) error {
	return e.withBus(func(b *splinter.Bus) error {
		value := []byte(c.Value)
		if c.Value == "-" {
			info, err := b.Info()
			if err != nil {
				return err
			}
			// One byte over the limit is enough for Set to refuse it.
			if value, err = io.ReadAll(io.LimitReader(e.In, int64(info.ValueMax)+1)); err != nil {
				return fmt.Errorf("set %q: read the value: %w", c.Key, err)
			}
		}
		return b.Set(c.Key, value)
	})
}

type unsetCommand struct {
	Key string `arg:"" help:"The key."`
}

func (c *unsetCommand) Run(e environment) error {
	return e.withBus(func(b *splinter.Bus) error { return hintMissing(b.Unset(c.Key)) })
}

type listCommand struct {
	Prefix string `arg:"" optional:"" help:"Only keys that begin with it."`
}

func (c *listCommand) Run(e environment) error {
	return e.withBus(func(b *splinter.Bus) error {
		keys, err := b.List(c.Prefix)
		for _, key := range keys {
			fmt.Fprintf(e.Out, "%s\n", printable(key))
		}
		return err
	})
}

// printable is the key itself, or quoted if a terminal could take it for commands.
func printable(key string) string {
	if quoted := fmt.Sprintf("%q", key); quoted != `"`+key+`"` {
		return quoted
	}
	return key
}

type watchCommand struct {
	Key   string `arg:"" help:"The key; it need not be there yet."`
	Count int    `help:"End after so many values; 0 goes on until interrupted." default:"0"`
}

func (c *watchCommand) Run(e environment) error {
	return e.withBus(func(b *splinter.Bus) error {
		after := uint64(0)
		for n := 0; c.Count == 0 || n < c.Count; n++ {
			value, version, err := b.Wait(e.ctx, c.Key, after)
			if errors.Is(err, context.Canceled) {
				return nil
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(e.Out, "%d %q\n", version, value)
			after = version
		}
		return nil
	})
}

type infoCommand struct{}

func (c *infoCommand) Run(e environment) error {
	return e.withBus(func(b *splinter.Bus) error {
		info, err := b.Info()
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(e.Out, 0, 0, 2, ' ', 0)
		n := info.Counters
		fmt.Fprintf(w, "bus\t%s, %.1f MiB\n", info.Path, float64(info.Bytes)/(1<<20))
		fmt.Fprintf(w, "keys\t%d of %d, values to %d bytes\n", info.Keys, info.Slots, info.ValueMax)
		fmt.Fprintf(w, "store\t%d sets, %d gets, %d misses, %d unsets, %d retries\n", n.Sets, n.Gets, n.Misses, n.Unsets, n.Retries)
		fmt.Fprintf(w, "connections\t%d of %d, %d KiB each way\n", info.OpenConnections, info.Connections, info.RingSize>>10)
		fmt.Fprintf(w, "frames\t%d sent, %d bytes, %d dropped\n", n.Frames, n.Bytes, n.Drops)
		fmt.Fprintf(w, "repairs\t%d after dead processes\n", n.Repairs)
		for _, l := range info.Endpoints {
			state := "listening"
			if !l.Alive {
				state = "dead"
			}
			fmt.Fprintf(w, "name\t%s: process %d, %s\n", printable(l.Name), l.PID, state)
		}
		return w.Flush()
	})
}

func (e environment) withBus(use func(*splinter.Bus) error) error {
	b, err := e.open()
	if err != nil {
		return err
	}
	defer b.Close()
	return use(b)
}
