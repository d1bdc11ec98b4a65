package schema

import (
	"fmt"
	"strings"
)

// Digits of the numbers that are written, and of bounds.
const (
	maxWhole = 16
	maxPart  = 16
	maxBound = 20
)

func (n *numberShape) atLeast(v *node, exclusive bool) error {
	l, err := readLimit(v, exclusive)
	if err == nil && (n.low == nil || n.low.beforeLow(l)) {
		n.low = l
	}
	n.given = true
	return err
}

func (n *numberShape) atMost(v *node, exclusive bool) error {
	l, err := readLimit(v, exclusive)
	if err == nil && (n.high == nil || l.beforeHigh(n.high)) {
		n.high = l
	}
	n.given = true
	return err
}

func readLimit(v *node, exclusive bool) (*limit, error) {
	if err := want(v, nodeNumber); err != nil {
		return nil, err
	}
	d, ok := parseDecimal(v.text)
	if !ok || len(d.part) > maxBound {
		return nil, fail(v, "a bound with more digits than are supported")
	}
	return &limit{decimal: d, exclusive: exclusive}, nil
}

// fits says whether a number is within the bounds.
func (n *numberShape) fits(d decimal) bool {
	if n.low != nil && (d.compare(n.low.decimal) < 0 || n.low.exclusive && d.compare(n.low.decimal) == 0) {
		return false
	}
	return n.high == nil || d.compare(n.high.decimal) < 0 || !n.high.exclusive && d.compare(n.high.decimal) == 0
}

// expression is any number within the bounds; "" if there is none.
func (n *numberShape) expression(whole bool) string {
	low, high := n.low, n.high
	if whole && low != nil {
		low = low.lowWhole()
	}
	if whole && high != nil {
		high = high.highWhole()
	}
	if low != nil && high != nil {
		if c := low.compare(high.decimal); c > 0 || c == 0 && (low.exclusive || high.exclusive) {
			return ""
		}
	}
	zero := &limit{}
	var ways []string
	if high == nil || !high.negative {
		from := zero
		if low != nil && !low.negative {
			from = low
		}
		ways = append(ways, magnitudes(from, high, whole)...)
	}
	if low == nil || low.negative {
		from := &limit{exclusive: true} // -0 is 0
		if high != nil && high.negative {
			from = &limit{high.magnitude(), high.exclusive}
		}
		var to *limit
		if low != nil {
			to = &limit{low.magnitude(), low.exclusive}
		}
		for _, way := range magnitudes(from, to, whole) {
			ways = append(ways, sequence(literal("-"), way))
		}
	}
	return either(ways...)
}

// magnitudes are the numbers from low to high without sign, one way for each
// count of digits before the point.
func magnitudes(low, high *limit, whole bool) (ways []string) {
	if high != nil && len(high.whole) > maxBound {
		high = nil // more digits than are written
	}
	fewest, most := max(1, len(low.whole)), max(maxWhole, len(low.whole))
	if most > maxBound {
		return nil
	}
	if high != nil {
		most = max(1, len(high.whole))
	}
	free := 0 // since this count the digits are free
	flush := func(to int) {
		if free > 0 {
			ways = append(ways, sequence(class([]runes{{'1', '9'}}), digits(free-1, to-1), anyPart(whole)))
		}
		free = 0
	}
	for n := fewest; n <= most; n++ {
		d := &digitRange{whole: n, integer: whole, low: *low, high: high}
		atLow, atHigh := n == max(1, len(low.whole)), high != nil && n == max(1, len(high.whole))
		if !atLow && !atHigh && n > 1 {
			if free == 0 {
				free = n
			}
			continue
		}
		flush(n - 1)
		if way, ok := d.digit(0, atLow, atHigh); ok {
			ways = append(ways, way)
		}
	}
	flush(most)
	return ways
}

// digits is from low to high digits.
func digits(low, high int) string {
	switch {
	case high <= 0:
		return ""
	case low == high:
		return fmt.Sprintf("[0-9]{%d}", low)
	}
	return fmt.Sprintf("[0-9]{%d,%d}", low, high)
}

// anyPart is the digits behind a number whose value they can't push over a bound.
func anyPart(whole bool) string {
	if whole {
		return ""
	}
	return fmt.Sprintf(`( "." [0-9]{1,%d} )?`, maxPart)
}

// digitRange writes the numbers of a fixed count of digits before the point
// from low to high, digit by digit: as long as the digits are those of a bound, it
// decides what may come next.
type digitRange struct {
	whole   int // digits before the point
	integer bool
	low     limit
	high    *limit
}

// at is a bound's digit at a place, counted from the first one of whole.
func (d *digitRange) at(l limit, place int) byte {
	if place >= d.whole {
		if i := place - d.whole; i < len(l.part) {
			return l.part[i]
		}
		return '0'
	}
	if i := place - (d.whole - len(l.decimal.whole)); i >= 0 {
		return l.decimal.whole[i]
	}
	return '0'
}

// digit writes what may stand from a place on; atLow and atHigh say that the
// digits before it are the bound's. It is false if nothing may, not even the end.
func (d *digitRange) digit(place int, atLow, atHigh bool) (string, bool) {
	if !atLow && !atHigh {
		if place <= d.whole {
			return sequence(digits(d.whole-place, d.whole-place), anyPart(d.integer)), true
		}
		return digits(0, maxPart), true
	}
	mayEnd := place >= d.whole && d.mayEnd(place, atLow, atHigh)
	var more []string
	if place < d.whole || !d.integer {
		more = d.next(place, atLow, atHigh)
	}
	if len(more) == 0 {
		return "", mayEnd
	}
	if place == d.whole {
		more = []string{sequence(literal("."), either(more...))}
	}
	if mayEnd {
		return "( " + strings.Join(more, " | ") + " )?", true
	}
	return either(more...), true
}

// mayEnd says whether a number whose digits are so far those of a bound may end.
func (d *digitRange) mayEnd(place int, atLow, atHigh bool) bool {
	behind := place - d.whole
	if atLow && (behind < len(d.low.part) || d.low.exclusive) {
		return false
	}
	return !atHigh || behind < len(d.high.part) || !d.high.exclusive
}

// next writes each digit that may stand at a place, with what may follow it.
func (d *digitRange) next(place int, atLow, atHigh bool) (ways []string) {
	first, last := byte('0'), byte('9')
	if place == 0 && d.whole > 1 {
		first = '1'
	}
	if atLow && place >= d.whole+len(d.low.part) && !d.low.exclusive {
		atLow = false // as large as the bound already
	}
	switch {
	case atHigh && !atLow && place >= d.whole+len(d.high.part):
		if d.high.exclusive {
			return nil
		}
		return []string{fmt.Sprintf(`"0"{1,%d}`, maxPart)} // 1.0 is no more than 1
	case atLow && !atHigh && place >= d.whole+len(d.low.part):
		return []string{fmt.Sprintf(`"0"{0,%d} [1-9] %s`, maxPart-1, digits(0, maxPart))}
	}
	if atLow {
		first = d.at(d.low, place)
	}
	if atHigh {
		last = d.at(*d.high, place)
	}
	add := func(from, to byte, low, high bool) {
		if from > to {
			return
		}
		if rest, ok := d.digit(place+1, low, high); ok {
			ways = append(ways, sequence(class([]runes{{rune(from), rune(to)}}), rest))
		}
	}
	switch {
	case atLow && atHigh && first == last:
		add(first, last, true, true)
		return ways
	case atLow:
		add(first, first, true, false)
		first++
	}
	if atHigh {
		add(first, last-1, false, false)
		if first <= last {
			add(last, last, false, true)
		}
		return ways
	}
	add(first, last, false, false)
	return ways
}

// number and integer without bounds.
const (
	numberRule  = `"-"? ( "0" | [1-9] [0-9]{0,15} ) ( "." [0-9]{1,16} )? ( [eE] [-+]? [0-9]{1,3} )?`
	integerRule = `"-"? ( "0" | [1-9] [0-9]{0,15} )`
)

// isWhole says whether a JSON number is an integer.
func isWhole(text string) bool {
	d, ok := parseDecimal(text)
	return ok && d.part == ""
}
