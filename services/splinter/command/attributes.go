package command

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"

	"runa/services/splinter"
)

// mask is a set of labels: bit numbers with commas between, or hexadecimal.
type mask uint64

// UnmarshalText reads what a person types.
func (m *mask) UnmarshalText(text []byte) error {
	*m = 0
	if digits, hex := strings.CutPrefix(string(text), "0x"); hex {
		value, err := strconv.ParseUint(digits, 16, 64)
		*m = mask(value)
		return err
	}
	for number := range strings.SplitSeq(string(text), ",") {
		bit, err := strconv.ParseUint(number, 10, 64)
		if err != nil || bit > 63 {
			return fmt.Errorf("label %q: expected bits from 0 to 63 with commas between, or 0x and hexadecimal digits", number)
		}
		*m |= 1 << bit
	}
	return nil
}

func (m mask) String() string {
	var numbers []string
	for rest := uint64(m); rest != 0; rest &= rest - 1 {
		numbers = append(numbers, strconv.Itoa(bits.TrailingZeros64(rest)))
	}
	return strings.Join(numbers, ",")
}

type typeCommand struct {
	Key   string  `arg:"" help:"The key."`
	Name  *string `arg:"" optional:"" help:"The type's name, to 15 bytes; without it the type is printed."`
	Clear bool    `help:"Take the type away."`
}

func (c *typeCommand) Help() string {
	return `A type is a name for those who read the key; the bus gives a meaning to one
only: an int has 8 bytes, and splinter add adds to it.

Examples:
  splinter type picture
  splinter type picture image
  splinter type picture --clear`
}

func (c *typeCommand) Run(e environment) error {
	return e.withBus(func(b *splinter.Bus) error {
		if c.Clear {
			return hintMissing(b.SetType(c.Key, ""))
		}
		if c.Name != nil {
			return hintMissing(b.SetType(c.Key, *c.Name))
		}
		d, err := b.Describe(c.Key)
		if err != nil {
			return hintMissing(err)
		}
		fmt.Fprintln(e.Out, orDash(printable(d.Type)))
		return nil
	})
}

type labelCommand struct {
	Key   string `arg:"" help:"The key."`
	Set   mask   `help:"Labels to set, as bits (0,5,63) or hexadecimal (0x21)." placeholder:"BITS"`
	Clear mask   `help:"Labels to clear." placeholder:"BITS"`
}

func (c *labelCommand) Help() string {
	return `Prints the labels the key then has.

Examples:
  splinter label picture
  splinter label picture --set 0,5
  splinter label picture --clear 0x21
  splinter list --labels 5         the keys that have it`
}

func (c *labelCommand) Run(e environment) error {
	return e.withBus(func(b *splinter.Bus) error {
		if c.Set != 0 || c.Clear != 0 {
			if err := b.Label(c.Key, uint64(c.Set), uint64(c.Clear)); err != nil {
				return hintMissing(err)
			}
		}
		d, err := b.Describe(c.Key)
		if err != nil {
			return hintMissing(err)
		}
		fmt.Fprintln(e.Out, orDash(mask(d.Labels).String()))
		return nil
	})
}
