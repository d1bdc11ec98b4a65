package schema

// A grammar is what a text in GBNF says.
type grammar struct {
	text  string
	rules []rule
	index map[string]int // by name
}

// A rule is one rule, with the sequences it may be. at is a byte offset, as all below.
type rule struct {
	name       string
	at         int
	alternates [][]item
}

type itemKind int

const (
	itemLiteral  itemKind = iota // text, as it stands
	itemClass                    // one character out of ranges
	itemAny                      // any one character
	itemRule                     // what another rule is
	itemGroup                    // one of alternates
	itemRepeated                 // of[0] at least low and at most high times
)

// unbounded is the high of a repetition without end.
const unbounded = -1

// An item is one part of a sequence.
type item struct {
	kind       itemKind
	at         int
	text       []rune  // of a literal
	negated    bool    // of a class: one character out of none of ranges
	ranges     []runes // of a class
	name       string  // of a rule
	rule       int     // of a rule: its index, once all are read
	alternates [][]item
	of         []item // of a repetition
	low, high  int
}

type runes struct{ first, last rune }

// each calls f with the item and all that it consists of, other rules left out.
func (i *item) each(f func(*item)) {
	f(i)
	for _, sequence := range i.alternates {
		for k := range sequence {
			sequence[k].each(f)
		}
	}
	for k := range i.of {
		i.of[k].each(f)
	}
}

func (r *rule) each(f func(*item)) {
	for _, sequence := range r.alternates {
		for k := range sequence {
			sequence[k].each(f)
		}
	}
}
