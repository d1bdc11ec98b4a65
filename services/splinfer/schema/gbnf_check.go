package schema

// Bounds of what llama.cpp does for one character: each way in which a rule can
// begin is a stack of its own, kept and compared with the others, and its search for
// left recursion walks them all, again for each.
const (
	maxBeginnings = 4096
	maxWalk       = 1 << 14
)

// maxLeftOut is how many parts in a row may be empty: each of them can be the one
// that the next character belongs to, and llama.cpp compares all with all. 2000
// of them cost it ten seconds for one character.
const maxLeftOut = 100

// CheckGrammar says whether a person's grammar may be given to llama.cpp. The
// error wraps ErrGrammar and has line and column, and often a hint.
//
// Besides syntax it refuses what llama.cpp answers with an endless loop or the
// end of the process: rules that begin with themselves (also behind parts that may be
// empty, which llama.cpp overlooks), repetitions without end of what may be empty, {5,3},
// tokens by name or number, and grammars that can begin in thousands of ways at once. One
// danger can't be seen beforehand: where the same text can be read in two ways,
// llama.cpp follows both, and gets slower with each such place. In x ::= "(" x "a" | "(" x "b" | ""
// every bracket doubles its work. Whoever runs it must bound the time of a step.
func CheckGrammar(gbnf string) error {
	_, err := checkedGrammar(gbnf)
	return err
}

func checkedGrammar(text string) (*grammar, error) {
	g, err := readGrammar(text)
	if err != nil {
		return nil, err
	}
	c := &checker{grammar: g, empty: g.mayBeEmpty(), state: make([]visit, len(g.rules)), ways: make([]ways, len(g.rules))}
	for i := range g.rules {
		if f := c.visit(i); f != nil {
			return nil, g.fault(*f)
		}
	}
	for i := range g.rules {
		if f := c.parts(&g.rules[i]); f != nil {
			return nil, g.fault(*f)
		}
	}
	return g, nil
}

// mayBeEmpty says of each rule whether it may be the empty text.
func (g *grammar) mayBeEmpty() []bool {
	empty := make([]bool, len(g.rules))
	users := make([][]int, len(g.rules)) // of each rule
	todo := make([]int, 0, len(g.rules))
	for i := range g.rules {
		g.rules[i].each(func(part *item) {
			if part.kind == itemRule {
				users[part.rule] = append(users[part.rule], i)
			}
		})
		todo = append(todo, i)
	}
	for len(todo) > 0 {
		i := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if !empty[i] && anyEmpty(g.rules[i].alternates, empty) {
			empty[i] = true
			todo = append(todo, users[i]...)
		}
	}
	return empty
}

func anyEmpty(alternates [][]item, empty []bool) bool {
	for _, sequence := range alternates {
		if allEmpty(sequence, empty) {
			return true
		}
	}
	return false
}

func allEmpty(sequence []item, empty []bool) bool {
	for i := range sequence {
		if !sequence[i].mayBeEmpty(empty) {
			return false
		}
	}
	return true
}

func (i *item) mayBeEmpty(empty []bool) bool {
	switch i.kind {
	case itemLiteral:
		return len(i.text) == 0
	case itemRule:
		return empty[i.rule]
	case itemGroup:
		return anyEmpty(i.alternates, empty)
	case itemRepeated:
		return i.low == 0 || i.of[0].mayBeEmpty(empty)
	}
	return false
}

type visit int

const (
	unvisited visit = iota
	visiting
	visited
)

// ways is in how many ways something can begin, and how many rules llama.cpp
// walks through to find them; both stop counting when they are too many.
type ways struct{ beginnings, walk int }

func (w *ways) add(other ways, times int) {
	w.beginnings = min(w.beginnings+times*other.beginnings, maxBeginnings+1)
	w.walk = min(w.walk+times*other.walk, maxWalk+1)
}

func (w ways) tooMany() bool { return w.beginnings > maxBeginnings || w.walk > maxWalk }

const manyWays = "have fewer alternatives, or let them share their beginning"

const manyEmpty = "let it be at least one character, and make the whole optional"

type checker struct {
	*grammar
	empty []bool
	state []visit
	ways  []ways
}

// visit looks at a rule and, first, at those that it can begin with.
func (c *checker) visit(index int) *fault {
	r := &c.rules[index]
	switch c.state[index] {
	case visiting:
		return &fault{r.at, "rule " + shortName(r.name) + " can begin with itself", "write a repetition such as x (y x)*, or put the part that is not the rule first"}
	case visited:
		return nil
	}
	c.state[index] = visiting
	w, f := c.alternates(r.alternates)
	if f != nil {
		return f
	}
	w.walk++
	if w.tooMany() {
		return &fault{r.at, "rule " + shortName(r.name) + " can begin in too many ways", manyWays}
	}
	c.state[index], c.ways[index] = visited, w
	return nil
}

func (c *checker) alternates(alternates [][]item) (w ways, f *fault) {
	for _, sequence := range alternates {
		one, f := c.sequence(sequence)
		if f != nil {
			return ways{}, f
		}
		w.add(one, 1)
	}
	return w, nil
}

// sequence goes through what a sequence can begin with.
func (c *checker) sequence(sequence []item) (w ways, f *fault) {
	for i := range sequence {
		one, f := c.item(&sequence[i])
		if f == nil && i > maxLeftOut {
			f = &fault{sequence[i].at, "too many parts before this one may be empty", manyEmpty}
		}
		if f != nil {
			return ways{}, f
		}
		w.add(one, 1)
		if !sequence[i].mayBeEmpty(c.empty) {
			return w, nil
		}
	}
	w.add(ways{beginnings: 1}, 1)
	return w, nil
}

func (c *checker) item(part *item) (ways, *fault) {
	switch part.kind {
	case itemRule:
		f := c.visit(part.rule)
		return c.ways[part.rule], f
	case itemGroup:
		w, f := c.alternates(part.alternates)
		w.walk++
		return w, f
	case itemRepeated:
		return c.repeated(part)
	}
	return ways{beginnings: 1}, nil
}

func (c *checker) repeated(part *item) (w ways, f *fault) {
	one, f := c.item(&part.of[0])
	if f != nil {
		return ways{}, f
	}
	times := 1
	if part.of[0].mayBeEmpty(c.empty) {
		if part.high == unbounded {
			return ways{}, &fault{part.at, "what is repeated without end here may be empty", "let it be at least one character: drop the inner * or ?"}
		}
		if times = max(1, part.high); times > maxLeftOut {
			return ways{}, &fault{part.at, "what is repeated so often here may be empty", manyEmpty}
		}
	}
	one.walk++
	w.add(one, times)
	w.walk++
	return w, nil
}

// parts looks at groups and repetitions anywhere in a rule: llama.cpp makes
// rules of them. All rules are visited before.
func (c *checker) parts(r *rule) (found *fault) {
	r.each(func(part *item) {
		if found != nil || part.kind != itemGroup && part.kind != itemRepeated {
			return
		}
		w, f := c.item(part)
		if f == nil && w.tooMany() {
			f = &fault{part.at, "this can begin in too many ways", manyWays}
		}
		found = f
	})
	return found
}
