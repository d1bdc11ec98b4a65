package schema

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"runa/services/hint"
)

// reader reads GBNF as llama.cpp 0.5.0 does, but for what it refuses: tokens
// (<name>, <[5]>), over which llama.cpp can end the process; a rule that is there
// twice; empty and reversed classes, which it takes for something else.
type reader struct {
	text    string
	at      int
	grammar *grammar

	depth int
	// symbols counts the names that llama.cpp keeps, those it makes up included.
	// A group that is repeated costs as many as it brought.
	symbols  int
	named    map[string]bool
	elements int // see cost
}

// fault is a mistake at a place; read turns it into an error.
type fault struct {
	at     int
	what   string
	advice string
}

// readGrammar reads a text, or says where and why it can't be used.
func readGrammar(text string) (g *grammar, err error) {
	switch {
	case len(text) > MaxGrammarBytes:
		return nil, fmt.Errorf("%w: it has %d bytes, at most %d are read", ErrGrammar, len(text), MaxGrammarBytes)
	case !utf8.ValidString(text) || strings.IndexByte(text, 0) >= 0:
		return nil, fmt.Errorf("%w: it is not plain UTF-8 text", ErrGrammar)
	}
	r := &reader{text: text, named: map[string]bool{}, grammar: &grammar{text: text, index: map[string]int{}}}
	defer func() {
		if caught := recover(); caught != nil {
			f, ok := caught.(fault)
			if !ok {
				panic(caught)
			}
			g, err = nil, r.grammar.fault(f)
		}
	}()
	r.all()
	return r.grammar, nil
}

// fault tells a mistake with its line and column, counted in characters from 1.
func (g *grammar) fault(f fault) error {
	before := g.text[:f.at]
	line := 1 + strings.Count(before, "\n")
	column := 1 + utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:])
	err := fmt.Errorf("%w: line %d, column %d: %s", ErrGrammar, line, column, f.what)
	if f.advice == "" {
		return err
	}
	return hint.New(err, "%s", f.advice)
}

func (r *reader) fail(at int, advice, format string, args ...any) {
	panic(fault{min(at, len(r.text)), fmt.Sprintf(format, args...), advice})
}

// peek is the byte at the place, 0 at the end: the text holds no zero byte.
func (r *reader) peek() byte { return r.after(0) }

func (r *reader) after(n int) byte {
	if r.at+n < len(r.text) {
		return r.text[r.at+n]
	}
	return 0
}

// space passes over blanks and comments, and over line ends where a sequence
// may go on behind them.
func (r *reader) space(lines bool) {
	for {
		switch b := r.peek(); {
		case b == ' ' || b == '\t' || lines && (b == '\r' || b == '\n'):
			r.at++
		case b == '#':
			for b := r.peek(); b != 0 && b != '\r' && b != '\n'; b = r.peek() {
				r.at++
			}
		default:
			return
		}
	}
}

func isWord(b byte) bool {
	return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' || b == '-'
}

func (r *reader) word() string {
	begin := r.at
	for isWord(r.peek()) {
		r.at++
	}
	if r.at == begin {
		r.fail(begin, "a rule is NAME ::= WHAT on a line of its own", "the name of a rule expected")
	}
	return r.text[begin:r.at]
}

// symbol counts a name the first time it is met.
func (r *reader) symbol(name string) {
	if !r.named[name] {
		r.named[name] = true
		r.symbols++
	}
}

// all reads every rule and finds those that are referred to.
func (r *reader) all() {
	r.space(true)
	for r.peek() != 0 {
		r.rule()
		r.space(true)
	}
	if _, ok := r.grammar.index["root"]; !ok {
		r.fail(len(r.text), "add a line root ::= and what an answer is", "there is no rule named root")
	}
	for i := range r.grammar.rules {
		r.grammar.rules[i].each(func(part *item) {
			if part.kind != itemRule {
				return
			}
			index, ok := r.grammar.index[part.name]
			if !ok {
				r.fail(part.at, "add the rule, or put text in quotes", "there is no rule named %s", shortName(part.name))
			}
			part.rule = index
		})
	}
}

func (r *reader) rule() {
	at := r.at
	name := r.word()
	if _, twice := r.grammar.index[name]; twice {
		r.fail(at, "keep one, or join them by |", "rule %s is there twice", shortName(name))
	}
	if len(r.grammar.rules) == MaxRules {
		r.fail(at, "", "there are more than %d rules", MaxRules)
	}
	r.symbol(name)
	r.grammar.index[name] = len(r.grammar.rules)
	r.space(false)
	if !strings.HasPrefix(r.text[r.at:], "::=") {
		r.fail(r.at, "a rule is NAME ::= WHAT on a line of its own", "::= expected")
	}
	r.at += len("::=")
	r.space(true)
	r.grammar.rules = append(r.grammar.rules, rule{name: name, at: at, alternates: r.alternates(false)})
	switch b := r.peek(); b {
	case '\r', '\n', 0:
	default:
		r.fail(r.at, "", "%s cannot stand here", shortCharacter(r.text[r.at:]))
	}
}

// alternates reads sequences up to what is none of theirs.
func (r *reader) alternates(nested bool) (alternates [][]item) {
	if r.depth++; r.depth > MaxNesting {
		r.fail(r.at, "give the inner ones rules of their own", "brackets stand in each other over %d deep", MaxNesting)
	}
	for {
		alternates = append(alternates, r.sequence(nested))
		r.cost(r.at, 1)
		if r.peek() != '|' {
			r.depth--
			return alternates
		}
		r.at++
		r.space(true)
	}
}

func (r *reader) sequence(nested bool) (sequence []item) {
	load := 1 // rules that a repetition of the last item would repeat, as llama.cpp counts them
	for {
		at := r.at
		switch b := r.peek(); {
		case b == '"':
			sequence, load = append(sequence, r.literal()), 1
		case b == '[':
			sequence, load = append(sequence, r.class()), 1
		case b == '.':
			r.at++
			r.cost(at, 1)
			sequence, load = append(sequence, item{kind: itemAny, at: at}), 1
		case b == '(':
			sequence, load = r.group(sequence)
		case b == '*' || b == '+' || b == '?' || b == '{':
			low, high := r.repetition(nested)
			load = r.repeat(sequence, at, low, high, load)
		case b == '<' || b == '!':
			r.fail(at, "write the text that the token stands for, in quotes", "tokens cannot be used in a grammar here")
		case isWord(b):
			name := r.word()
			r.symbol(name)
			r.cost(at, 1)
			sequence, load = append(sequence, item{kind: itemRule, at: at, name: name}), 1
		default:
			return sequence
		}
		r.space(nested)
	}
}

func (r *reader) group(sequence []item) ([]item, int) {
	at := r.at
	r.at++
	r.space(true)
	before := r.symbols
	r.symbols++
	alternates := r.alternates(true)
	if r.peek() != ')' {
		r.fail(r.at, "the bracket that it closes would be at "+r.place(at), ") expected")
	}
	r.at++
	r.cost(at, 2)
	return append(sequence, item{kind: itemGroup, at: at, alternates: alternates}), max(1, r.symbols-before)
}

func (r *reader) place(at int) string {
	before := r.text[:at]
	return fmt.Sprintf("line %d, column %d", 1+strings.Count(before, "\n"), 1+utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:]))
}

// shortName shows a rule's name unless it is so long that it hides the message.
func shortName(name string) string {
	if len(name) > 40 {
		return strings.ToValidUTF8(name[:40], "") + "..."
	}
	return name
}

func shortCharacter(rest string) string {
	c, _ := utf8.DecodeRuneInString(rest)
	return fmt.Sprintf("%q", c)
}
