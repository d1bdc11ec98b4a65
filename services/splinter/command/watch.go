package command

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	"runa/services/splinter"
)

type watchCommand struct {
	Key    string `arg:"" optional:"" help:"The key; it need not be there yet."`
	Prefix string `help:"All keys that begin with it." placeholder:"TEXT"`
	Labels mask   `help:"All keys that have these labels, as bits (0,5) or hexadecimal (0x21)." placeholder:"BITS"`
	Count  int    `help:"End after so many changes; 0 goes on until interrupted." default:"0"`
}

func (c *watchCommand) Help() string {
	return `Prints a line for each key that is there and for each change: what happened (set,
unset, evicted, expired), the version, the key and the value. Of values that
follow each other fast the last may stand for all.

Examples:
  splinter watch service/splinfer/ready
  splinter watch --prefix service/
  splinter watch --labels 5 --count 1`
}

func (c *watchCommand) Run(e environment) error {
	given := 0
	for _, is := range []bool{c.Key != "", c.Prefix != "", c.Labels != 0} {
		if is {
			given++
		}
	}
	if given > 1 {
		return errors.New("watch: a key, --prefix and --labels exclude each other")
	}
	return e.withBus(func(b *splinter.Bus) error {
		n := 0
		for event, err := range b.Watch(e.ctx, splinter.Selector{Key: c.Key, Prefix: c.Prefix, Labels: uint64(c.Labels)}) {
			switch {
			case errors.Is(err, splinter.ErrBehind):
				fmt.Fprintln(e.Err, "some changes came too fast to be told one by one")
				continue
			case errors.Is(err, context.Canceled):
				return nil
			case err != nil:
				return err
			}
			fmt.Fprintln(e.Out, showEvent(b, event))
			if n++; n == c.Count {
				return nil
			}
		}
		return nil
	})
}

// showEvent is a line for the event, with the value the key has now.
func showEvent(b *splinter.Bus, event splinter.Event) string {
	if event.Kind == splinter.Set {
		if value, version, err := b.Get(event.Key); err == nil {
			d, _ := b.Describe(event.Key)
			return fmt.Sprintf("%v %d %s %s", event.Kind, version, printable(event.Key), showValue(d.Type, value))
		}
	}
	return fmt.Sprintf("%v %d %s", event.Kind, event.Version, printable(event.Key))
}

// showValue is an integer as a number, all else quoted.
func showValue(typ string, value []byte) string {
	if typ == splinter.TypeInt && len(value) == 8 {
		return strconv.FormatInt(int64(binary.LittleEndian.Uint64(value)), 10)
	}
	return strconv.Quote(string(value))
}
