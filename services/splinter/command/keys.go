package command

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"runa/services/hint"
	"runa/services/splinter"
)

type getCommand struct {
	Key string `arg:"" help:"The key."`
}

func (c *getCommand) Help() string {
	return `The value goes out as it is, without a line end. An integer is printed as a number.

Examples:
  splinter get service/splinfer/model
  splinter get picture > picture.png`
}

func (c *getCommand) Run(e environment) error {
	return e.withBus(func(b *splinter.Bus) error {
		value, _, err := b.Get(c.Key)
		if err != nil {
			return hintMissing(err)
		}
		if d, err := b.Describe(c.Key); err == nil && d.Type == splinter.TypeInt && len(value) == 8 {
			_, err := fmt.Fprintf(e.Out, "%s\n", showValue(d.Type, value))
			return err
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
	Key      string        `arg:"" help:"The key, 1 to 255 bytes."`
	Value    string        `arg:"" help:"The value; - reads it from the standard input."`
	Version  *uint64       `help:"Only if the key has this version; 0: only if it is not there." placeholder:"N"`
	Type     string        `help:"Name of the value's type, to 15 bytes." placeholder:"NAME"`
	Labels   mask          `help:"Labels, as bits (0,5,63) or hexadecimal (0x21)." placeholder:"BITS"`
	TTL      time.Duration `help:"The key is gone so long after this." name:"ttl" placeholder:"TIME"`
	HalfLife time.Duration `help:"An unused key loses half its weight in this time." placeholder:"TIME"`
}

func (c *setCommand) Help() string {
	return `Without flags a key that is there keeps its type, labels and lifetime; with any
of --type, --labels, --ttl and --half-life it has just those that are given.

Examples:
  splinter set note "a text"
  splinter set picture - --type image < picture.png
  splinter set session token --ttl 15m
  splinter set lock mine --version 0      only if nobody has it`
}

func (c *setCommand) Run(e environment) error {
	meta := splinter.Meta{Type: c.Type, Labels: uint64(c.Labels), TTL: c.TTL, HalfLife: c.HalfLife}
	if c.Version != nil && meta != (splinter.Meta{}) {
		return hint.New(fmt.Errorf("set %q: --version with a type, labels or a lifetime", c.Key),
			"set the value with --version, then use splinter type and splinter label")
	}
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
		switch {
		case c.Version != nil:
			_, err := b.CompareAndSet(c.Key, *c.Version, value)
			if errors.Is(err, splinter.ErrConflict) {
				err = hint.New(err, "splinter list --long %s shows its version", c.Key)
			}
			return err
		case meta != (splinter.Meta{}):
			return b.SetWith(c.Key, value, meta)
		}
		return b.Set(c.Key, value)
	})
}

type addCommand struct {
	Key   string `arg:"" help:"The key; one that is not there counts as 0."`
	Delta int64  `arg:"" optional:"" default:"1" help:"What to add; below 0 after --."`
}

func (c *addCommand) Help() string {
	return `Prints the sum. No addition of another process is lost. A key that is no integer
is left alone.

Examples:
  splinter add visits
  splinter add stock -- -3`
}

func (c *addCommand) Run(e environment) error {
	return e.withBus(func(b *splinter.Bus) error {
		sum, err := b.Add(c.Key, c.Delta)
		if err != nil {
			return err
		}
		fmt.Fprintln(e.Out, sum)
		return nil
	})
}

type unsetCommand struct {
	Key string `arg:"" help:"The key."`
}

func (c *unsetCommand) Help() string {
	return `Examples:
  splinter unset note`
}

func (c *unsetCommand) Run(e environment) error {
	return e.withBus(func(b *splinter.Bus) error { return hintMissing(b.Unset(c.Key)) })
}

type listCommand struct {
	Prefix string `arg:"" optional:"" help:"Only keys that begin with it."`
	Labels mask   `help:"Only keys that have all these labels, as bits (0,5) or hexadecimal (0x21)." placeholder:"BITS"`
	Long   bool   `help:"With version, size, type, labels, weight and when it ends." short:"l"`
}

func (c *listCommand) Help() string {
	return `A key with bytes that a terminal could take for commands is printed quoted.

Examples:
  splinter list service/
  splinter list --long
  splinter list --labels 0,5`
}

func (c *listCommand) Run(e environment) error {
	return e.withBus(func(b *splinter.Bus) error {
		keys, err := c.keys(b)
		if err != nil {
			return err
		}
		if !c.Long {
			for _, key := range keys {
				fmt.Fprintln(e.Out, printable(key))
			}
			return nil
		}
		w := tabwriter.NewWriter(e.Out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "KEY\tVERSION\tBYTES\tTYPE\tLABELS\tWEIGHT\tENDS")
		for _, key := range keys {
			d, err := b.Describe(key)
			if errors.Is(err, splinter.ErrNotFound) {
				continue // gone meanwhile
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(w, "%s\t%d\t%d\t%s\t%s\t%s\t%s\n", printable(key), d.Version, d.Size,
				orDash(printable(d.Type)), orDash(mask(d.Labels).String()), weight(d.Weight), ends(d.Expires))
		}
		return w.Flush()
	})
}

func (c *listCommand) keys(b *splinter.Bus) ([]string, error) {
	if c.Labels == 0 {
		return b.List(c.Prefix)
	}
	found, err := b.Find(uint64(c.Labels))
	var keys []string
	for _, key := range found {
		if strings.HasPrefix(key, c.Prefix) {
			keys = append(keys, key)
		}
	}
	return keys, err
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func weight(w float64) string {
	if w == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", w)
}

func ends(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format(time.RFC3339)
}

// printable is the key itself, or quoted if a terminal could take it for commands.
func printable(key string) string {
	if quoted := fmt.Sprintf("%q", key); quoted != `"`+key+`"` {
		return quoted
	}
	return key
}
