package schema

import (
	"unicode/utf8"
)

// maxElements bounds what llama.cpp makes of a grammar: 8 bytes each.
const maxElements = 1 << 18

// cost adds elements that llama.cpp will keep.
func (r *reader) cost(at, n int) {
	if r.elements += n; r.elements > maxElements {
		r.fail(at, "repeat less, or shorter parts", "the grammar becomes too large here")
	}
}

func (r *reader) literal() item {
	i := item{kind: itemLiteral, at: r.at}
	r.at++
	for r.peek() != '"' {
		if b := r.peek(); b == 0 {
			r.fail(i.at, "", "the quotes that open here are never closed")
		}
		i.text = append(i.text, r.character())
	}
	r.at++
	r.cost(i.at, len(i.text))
	return i
}

func (r *reader) class() item {
	i := item{kind: itemClass, at: r.at}
	r.at++
	if r.peek() == '^' {
		i.negated = true
		r.at++
	}
	for r.peek() != ']' {
		if r.peek() == 0 {
			r.fail(i.at, "", "the bracket that opens here is never closed")
		}
		at := r.at
		first := r.character()
		last := first
		if r.peek() == '-' && r.after(1) != ']' {
			r.at++
			last = r.character()
		}
		if last < first {
			r.fail(at, "put the smaller one first", "a range that ends before it begins")
		}
		i.ranges = append(i.ranges, runes{first, last})
	}
	if len(i.ranges) == 0 {
		r.fail(i.at, `write . for any character, and \[ or \] for a bracket`, "a class without a character")
	}
	r.at++
	r.cost(i.at, 2*len(i.ranges))
	return i
}

// character reads one character of a literal or a class.
func (r *reader) character() rune {
	if r.peek() == 0 {
		r.fail(r.at, "", "the grammar ends in the middle")
	}
	if r.peek() != '\\' {
		c, size := utf8.DecodeRuneInString(r.text[r.at:])
		r.at += size
		return c
	}
	at, escape := r.at, r.after(1)
	r.at += 2
	switch escape {
	case 'x':
		return r.hex(at, 2)
	case 'u':
		return r.hex(at, 4)
	case 'U':
		return r.hex(at, 8)
	case 't':
		return '\t'
	case 'r':
		return '\r'
	case 'n':
		return '\n'
	case '\\', '"', '[', ']', '-':
		return rune(escape)
	}
	r.fail(at, `known are \n \r \t \\ \" \[ \] \- \x41 \u0041 \U00000041`, "an unknown escape")
	return 0
}

func (r *reader) hex(at, digits int) rune {
	var value uint32
	for range digits {
		b := r.peek()
		switch {
		case '0' <= b && b <= '9':
			value = value<<4 | uint32(b-'0')
		case 'a' <= b && b <= 'f':
			value = value<<4 | uint32(b-'a'+10)
		case 'A' <= b && b <= 'F':
			value = value<<4 | uint32(b-'A'+10)
		default:
			r.fail(at, "", "%d hexadecimal digits expected", digits)
		}
		r.at++
	}
	if value > utf8.MaxRune {
		r.fail(at, "", "there is no such character")
	}
	return rune(value)
}

// repetition reads *, +, ?, {n}, {n,} or {n,m}.
func (r *reader) repetition(nested bool) (low, high int) {
	at := r.at
	r.at++
	switch r.text[at] {
	case '*':
		return 0, unbounded
	case '+':
		return 1, unbounded
	case '?':
		return 0, 1
	}
	r.space(nested)
	low = r.number()
	high = low
	r.space(nested)
	if r.peek() == ',' {
		r.at++
		r.space(nested)
		high = unbounded
		if b := r.peek(); '0' <= b && b <= '9' {
			high = r.number()
			r.space(nested)
		}
	}
	if r.peek() != '}' {
		r.fail(r.at, "write {3}, {3,} or {3,5}", "} expected")
	}
	r.at++
	if high != unbounded && high < low {
		r.fail(at, "put the smaller one first", "at least %d and at most %d times cannot be", low, high)
	}
	return low, high
}

func (r *reader) number() int {
	at, n := r.at, 0
	for b := r.peek(); '0' <= b && b <= '9'; b = r.peek() {
		if n = 10*n + int(b-'0'); n > MaxRepetitions {
			r.fail(at, "write {n,} for no upper bound", "repeated more than %d times", MaxRepetitions)
		}
		r.at++
	}
	if r.at == at {
		r.fail(at, "write {3}, {3,} or {3,5}", "a number expected")
	}
	return n
}

// repeat makes a repetition of the last item. llama.cpp writes it out, so what
// it comes to is counted; load is its own count, which it bounds.
func (r *reader) repeat(sequence []item, at, low, high, load int) int {
	if len(sequence) == 0 || sequence[len(sequence)-1].kind == itemLiteral && len(sequence[len(sequence)-1].text) == 0 {
		r.fail(at, "", "there is nothing before it that could be repeated")
	}
	times := max(1, high)
	if high <= 0 {
		times = max(1, low)
	}
	if load *= times; load > MaxRepetitions {
		r.fail(at, "give the inner part a rule of its own, or repeat it less", "repetitions of repetitions come to more than %d", MaxRepetitions)
	}
	last := &sequence[len(sequence)-1]
	if depthOf(*last) >= MaxNesting {
		r.fail(at, "", "repetitions stand in each other over %d deep", MaxNesting)
	}
	optional := 1 // rules that llama.cpp makes up for it
	if high != unbounded {
		optional = high - low
	}
	size := inline(*last)
	r.cost(at, max(0, low-1)*size)
	r.cost(at, optional*(size+3)+1)
	r.symbols += optional
	*last = item{kind: itemRepeated, at: last.at, of: []item{*last}, low: low, high: high}
	return load
}

// depthOf is how many repetitions stand in each other without a group between.
func depthOf(i item) int {
	depth := 0
	for i.kind == itemRepeated {
		depth, i = depth+1, i.of[0]
	}
	return depth
}

// inline is how many elements llama.cpp copies for each time an item is repeated.
func inline(i item) int {
	switch i.kind {
	case itemLiteral:
		return len(i.text)
	case itemClass:
		return 2 * len(i.ranges)
	case itemRepeated:
		return min(maxElements, i.low*inline(i.of[0])+1)
	}
	return 1
}
