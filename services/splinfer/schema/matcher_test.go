package schema

import (
	"slices"
	"testing"
)

// matcher says whether a text is what a grammar's rule allows: it follows all
// ways at once and remembers where each rule can end.
type matcher struct {
	*grammar
	text []rune
	ends map[[2]int][]int // by rule and place
}

// matches says whether root is the whole text. The grammar must be one that
// CheckGrammar lets pass: a rule that begins with itself would not end.
func matches(t testing.TB, gbnf, text string) bool {
	t.Helper()
	g, err := checkedGrammar(gbnf)
	if err != nil {
		t.Fatalf("%v in\n%s", err, gbnf)
	}
	return g.matches(text)
}

func (g *grammar) matches(text string) bool {
	m := &matcher{g, []rune(text), map[[2]int][]int{}}
	return slices.Contains(m.rule(g.index["root"], 0), len(m.text))
}

func (m *matcher) rule(index, at int) []int {
	key := [2]int{index, at}
	ends, known := m.ends[key]
	if !known {
		ends = m.alternates(m.rules[index].alternates, at)
		m.ends[key] = ends
	}
	return ends
}

func (m *matcher) alternates(alternates [][]item, at int) (ends []int) {
	for _, sequence := range alternates {
		places := []int{at}
		for i := range sequence {
			places = m.step(&sequence[i], places)
		}
		ends = union(ends, places)
	}
	return ends
}

func (m *matcher) step(part *item, from []int) (to []int) {
	for _, at := range from {
		to = union(to, m.item(part, at))
	}
	return to
}

func (m *matcher) item(part *item, at int) []int {
	switch part.kind {
	case itemRule:
		return m.rule(part.rule, at)
	case itemGroup:
		return m.alternates(part.alternates, at)
	case itemRepeated:
		return m.repeated(part, at)
	case itemLiteral:
		if end := at + len(part.text); end <= len(m.text) && slices.Equal(m.text[at:end], part.text) {
			return []int{end}
		}
		return nil
	}
	if at == len(m.text) {
		return nil
	}
	in := part.kind == itemAny
	for _, r := range part.ranges {
		in = in || r.first <= m.text[at] && m.text[at] <= r.last
	}
	if in != part.negated {
		return []int{at + 1}
	}
	return nil
}

func (m *matcher) repeated(part *item, at int) (ends []int) {
	places := []int{at}
	for n := 0; len(places) > 0 && (part.high == unbounded || n <= part.high); n++ {
		if n >= part.low {
			ends = union(ends, places)
		}
		if n == part.high {
			break
		}
		places = m.step(&part.of[0], places)
	}
	return ends
}

func union(a, b []int) []int {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}
