package schema

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Grammar turns a JSON schema into GBNF whose root is a JSON text that fits it.
// The package's comment says what is understood. The error wraps ErrSchema and names
// the place as a JSON pointer after #, and often has a hint.
func Grammar(jsonSchema []byte) (gbnf string, err error) {
	root, err := readDocument(jsonSchema)
	if err != nil {
		return "", err
	}
	if err := wantSchema(root); err != nil {
		return "", err
	}
	b := &builder{
		expander: expander{known: map[*node][]shape{}, inside: map[*node]bool{}},
		goals:    map[string]*goal{}, names: map[string]string{}, used: map[string]bool{}, places: map[string]*node{},
	}
	expression, err := b.value(all{root}, root)
	if err != nil {
		return "", err
	}
	if expression == "" {
		if b.why != nil {
			return "", b.why
		}
		return "", fail(root, "no value fits this schema")
	}
	b.lines = slices.Insert(b.lines, 0, "root ::= "+expression)
	text := strings.Join(b.lines, "\n") + "\n"
	g, err := checkedGrammar(text)
	if err != nil {
		return "", advise(fail(root, "the grammar that it comes to is too much: %v", err), "have fewer properties, alternatives or repetitions")
	}
	if name := g.endless(); name != "" {
		at := b.places[name]
		if at == nil {
			at = root
		}
		return "", advise(fail(at, "a value that fits can never end"), "leave what refers to itself out of required, or allow an empty list")
	}
	return text, nil
}

// builder gathers the rules of a grammar.
type builder struct {
	expander
	lines  []string          // rules, in the order in which they were finished
	names  map[string]string // of a rule, by what it is: equal rules are one
	used   map[string]bool   // names that are taken
	goals  map[string]*goal  // values, by the schemas they must fit
	places map[string]*node  // of each goal's rule
	count  int
	bytes  int
	depth  int
	why    error // the first reason for which nothing fits a schema
}

// A goal is a value that must fit some schemas. Its name is known before its
// rule is, so that it may stand within itself.
type goal struct {
	name       string
	expression string // once done: what to write for it; "" if nothing fits
	done       bool
	wanted     bool // somebody wrote its name before it was done
}

// value is an expression for what fits schemas; "" if nothing does.
func (b *builder) value(schemas all, at *node) (string, error) {
	key := ""
	for _, n := range schemas {
		key += strconv.Itoa(n.id) + " "
	}
	if g := b.goals[key]; g != nil {
		if g.done {
			return g.expression, nil
		}
		g.wanted = true
		return g.name, nil
	}
	if len(b.goals) >= MaxRules || b.depth > MaxSchemaDepth*4 {
		return "", fail(at, "the schema comes to too many rules")
	}
	b.depth++
	defer func() { b.depth-- }()
	g := &goal{name: b.name("value")}
	b.goals[key], b.places[g.name] = g, at
	shapes, err := b.shapes(schemas, at)
	if err != nil {
		return "", err
	}
	var ways []string
	for i := range shapes {
		way, err := b.shape(&shapes[i])
		if err != nil {
			return "", err
		}
		ways = append(ways, way...)
	}
	return b.finish(g, ways, at)
}

// finish makes a rule of a goal if its name is in use or it is more than a name.
func (b *builder) finish(g *goal, ways []string, at *node) (string, error) {
	g.done, g.expression = true, either(ways...)
	if g.expression == "" && b.why == nil {
		b.why = fail(at, "no value fits this schema")
	}
	switch {
	case g.expression == "" && g.wanted:
		return "", fail(at, "no value fits this schema, which refers to itself")
	case g.wanted:
		b.line(g.name, g.expression)
		g.expression = g.name
	case strings.ContainsRune(g.expression, ' '):
		g.expression = b.rule("value", g.expression)
		if b.places[g.expression] == nil {
			b.places[g.expression] = at
		}
	}
	return g.expression, nil
}

// name makes up a rule's name; rules that others are made of have their own.
func (b *builder) name(stem string) string {
	b.count++
	return fmt.Sprintf("%s-%d", stem, b.count)
}

// rule returns the name of a rule for an expression; equal ones share it.
func (b *builder) rule(stem, expression string) string {
	if name, known := b.names[expression]; known {
		return name
	}
	name := b.name(stem)
	b.names[expression] = name
	b.line(name, expression)
	return name
}

// named is an expression as a name, which can be repeated.
func (b *builder) named(stem, expression string) string {
	if strings.IndexFunc(expression, func(c rune) bool { return c > 'z' || !isWord(byte(c)) }) < 0 {
		return expression
	}
	return b.rule(stem, expression)
}

// line adds a rule. Past the bound nothing is kept: the grammar is refused anyway.
func (b *builder) line(name, expression string) {
	if b.bytes <= MaxGrammarBytes {
		b.lines = append(b.lines, name+" ::= "+expression)
		b.bytes += len(name) + len(expression) + len(" ::= \n")
	}
}

// basic returns the name of a rule that every grammar writes in the same way.
func (b *builder) basic(name string) string {
	if !b.used[name] {
		b.used[name] = true
		for _, other := range basics[name].uses {
			b.basic(other)
		}
		b.line(name, basics[name].body)
	}
	return name
}

// directly is how many times something is repeated by itself; what is repeated
// more often is repeated in blocks, for which llama.cpp needs far fewer rules.
const directly = 200

// repeat is an expression low to high times. The expression must be a name.
func (b *builder) repeat(name string, low, high int) string {
	if high == unbounded {
		switch low {
		case 0:
			return name + "*"
		case 1:
			return name + "+"
		}
		return sequence(b.exactly(name, low), name+"*")
	}
	return sequence(b.exactly(name, low), b.upTo(name, high-low))
}

func (b *builder) exactly(name string, n int) string {
	switch {
	case n == 0:
		return ""
	case n == 1:
		return name
	case n <= directly:
		return fmt.Sprintf("%s{%d}", name, n)
	}
	size := root(n)
	block := b.rule("block", fmt.Sprintf("%s{%d}", name, size))
	return sequence(fmt.Sprintf("%s{%d}", block, n/size), b.exactly(name, n%size))
}

func (b *builder) upTo(name string, n int) string {
	switch {
	case n == 0:
		return ""
	case n == 1:
		return name + "?"
	case n <= directly:
		return fmt.Sprintf("%s{0,%d}", name, n)
	}
	size := root(n)
	block := b.rule("block", fmt.Sprintf("%s{%d}", name, size))
	short := fmt.Sprintf("%s{0,%d} %s{0,%d}", block, n/size-1, name, size-1)
	long := sequence(fmt.Sprintf("%s{%d}", block, n/size), b.upTo(name, n%size))
	return b.rule("several", either(short, long))
}

// root is the largest number whose square is not above n.
func root(n int) int {
	r := 1
	for (r+1)*(r+1) <= n {
		r++
	}
	return r
}

// endless is the name of a rule that can be begun and never ends; "" if there
// is none.
func (g *grammar) endless() string {
	ends := make([]bool, len(g.rules))
	for changed := true; changed; {
		changed = false
		for i := len(g.rules) - 1; i >= 0; i-- {
			if !ends[i] && anyEnds(g.rules[i].alternates, ends) {
				ends[i], changed = true, true
			}
		}
	}
	for i, does := range ends {
		if !does {
			return g.rules[i].name
		}
	}
	return ""
}

func anyEnds(alternates [][]item, ends []bool) bool {
	return slices.ContainsFunc(alternates, func(sequence []item) bool {
		return !slices.ContainsFunc(sequence, func(part item) bool { return !part.ends(ends) })
	})
}

func (i *item) ends(ends []bool) bool {
	switch i.kind {
	case itemRule:
		return ends[i.rule]
	case itemGroup:
		return anyEnds(i.alternates, ends)
	case itemRepeated:
		return i.low == 0 || i.of[0].ends(ends)
	}
	return true
}
