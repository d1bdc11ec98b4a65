package schema

import (
	"math/big"
	"strconv"
	"strings"
)

// decimal is a number as JSON writes it, exactly.
type decimal struct {
	negative bool
	whole    string // digits before the point, without leading zeros; "" is 0
	part     string // digits behind it, without trailing zeros
}

// maxExponent bounds numbers in a schema: a bound of more digits than answers
// have says nothing.
const maxExponent = 400

// parseDecimal reads a JSON number; false if it is too long or too far out.
func parseDecimal(text string) (d decimal, ok bool) {
	if len(text) > maxExponent {
		return d, false
	}
	text, d.negative = strings.CutPrefix(text, "-")
	mantissa, exponent, _ := strings.Cut(strings.ToLower(text), "e")
	shift := 0
	if exponent != "" {
		n, err := strconv.Atoi(strings.TrimPrefix(exponent, "+"))
		if err != nil || n < -maxExponent || n > maxExponent {
			return d, false
		}
		shift = n
	}
	whole, part, _ := strings.Cut(mantissa, ".")
	if shift > 0 {
		part += strings.Repeat("0", max(0, shift-len(part)))
		whole, part = whole+part[:shift], part[shift:]
	} else if shift < 0 {
		whole = strings.Repeat("0", max(0, -shift-len(whole))) + whole
		whole, part = whole[:len(whole)+shift], whole[len(whole)+shift:]+part
	}
	d.whole, d.part = strings.TrimLeft(whole, "0"), strings.TrimRight(part, "0")
	d.negative = d.negative && !d.zero()
	return d, true
}

func (d decimal) zero() bool { return d.whole == "" && d.part == "" }

func (d decimal) String() string {
	s := d.whole
	if s == "" {
		s = "0"
	}
	if d.part != "" {
		s += "." + d.part
	}
	if d.negative {
		s = "-" + s
	}
	return s
}

// magnitude is the number without its sign.
func (d decimal) magnitude() decimal { return decimal{whole: d.whole, part: d.part} }

// compare is negative if d is less than e, positive if it is more.
func (d decimal) compare(e decimal) int {
	switch {
	case d.negative != e.negative:
		if d.negative {
			return -1
		}
		return 1
	case d.negative:
		return e.magnitude().compare(d.magnitude())
	case len(d.whole) != len(e.whole):
		return len(d.whole) - len(e.whole)
	case d.whole != e.whole:
		return strings.Compare(d.whole, e.whole)
	}
	return strings.Compare(d.part, e.part)
}

// add is the whole number d plus n.
func (d decimal) add(n int64) decimal {
	i, _ := new(big.Int).SetString(d.String(), 10)
	sum, _ := parseDecimal(i.Add(i, big.NewInt(n)).String())
	return sum
}

// A limit is a bound of numbers.
type limit struct {
	decimal
	exclusive bool
}

// beforeLow says that a lower bound lets more through than another one.
func (l *limit) beforeLow(other *limit) bool {
	c := l.compare(other.decimal)
	return c < 0 || c == 0 && !l.exclusive && other.exclusive
}

// beforeHigh says that an upper bound lets less through than another one.
func (l *limit) beforeHigh(other *limit) bool {
	c := l.compare(other.decimal)
	return c < 0 || c == 0 && l.exclusive && !other.exclusive
}

// lowWhole and highWhole are the bounds of the whole numbers within a bound.
func (l *limit) lowWhole() *limit {
	d := decimal{negative: l.negative, whole: l.whole}
	d.negative = d.negative && d.whole != ""
	if !l.negative && l.part != "" || l.part == "" && l.exclusive {
		d = d.add(1)
	}
	return &limit{decimal: d}
}

func (l *limit) highWhole() *limit {
	d := decimal{negative: l.negative, whole: l.whole}
	d.negative = d.negative && d.whole != ""
	if l.negative && l.part != "" || l.part == "" && l.exclusive {
		d = d.add(-1)
	}
	return &limit{decimal: d}
}
