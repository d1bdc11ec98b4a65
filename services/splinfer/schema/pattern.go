package schema

import (
	"regexp/syntax"
	"strings"
)

// pattern turns a regular expression into GBNF. It reads what RE2 and
// ECMA-262 have in common, which leaves out looking around and back; \s, \w and
// their like are RE2's.
type pattern struct {
	*builder
	at *node
}

// maxPattern bounds a pattern's text.
const maxPattern = 4 << 10

// dot is what . does not match, as in ECMA-262.
var dot = []runes{{'\n', '\n'}, {'\r', '\r'}, {'\u2028', '\u2029'}}

// readPattern parses a pattern; low and high are the fewest and most characters it takes.
func readPattern(at *node) (re *syntax.Regexp, low, high int, err error) {
	if len(at.text) > maxPattern {
		return nil, 0, 0, fail(at, "a pattern of %d bytes, at most %d are read", len(at.text), maxPattern)
	}
	re, err = syntax.Parse(at.text, syntax.Perl)
	if err != nil {
		return nil, 0, 0, advise(fail(at, "this pattern is not supported: %v", err), "what RE2 and ECMA-262 have in common is")
	}
	low, high = lengths(re)
	if opens, closes := anchors(re); !opens || !closes {
		high = unbounded
	}
	return re, low, high, nil
}

func unsupportedPattern(at *node, what string) error {
	return advise(fail(at, "this pattern is not supported: it uses %s", what), "known are characters, classes, ., *, +, ?, {2,3}, |, groups, and ^ and $ at the ends")
}

// convert writes an expression. head and tail say that it stands at the
// beginning or the end of the pattern: anything goes there without an anchor.
func (p *pattern) convert(re *syntax.Regexp, head, tail bool) (string, error) {
	switch re.Op {
	case syntax.OpCapture:
		return p.convert(re.Sub[0], head, tail)
	case syntax.OpConcat:
		var parts []string
		for i, sub := range re.Sub {
			part, err := p.convert(sub, head && i == 0, tail && i == len(re.Sub)-1)
			if err != nil {
				return "", err
			}
			parts = append(parts, part)
		}
		return sequence(parts...), nil
	case syntax.OpAlternate:
		var ways []string
		for _, sub := range re.Sub {
			way, err := p.convert(sub, head, tail)
			if err != nil {
				return "", err
			}
			if way == "" {
				way = `""`
			}
			ways = append(ways, way)
		}
		return either(ways...), nil
	case syntax.OpBeginText:
		if !head {
			return "", unsupportedPattern(p.at, "^ in the middle")
		}
		return p.anything(tail), nil
	case syntax.OpEndText:
		if !tail {
			return "", unsupportedPattern(p.at, "$ in the middle")
		}
		return p.anything(head), nil
	}
	expression, err := p.plain(re)
	return sequence(p.anything(head), expression, p.anything(tail)), err
}

// anything is any text where there is no anchor.
func (p *pattern) anything(may bool) string {
	if !may {
		return ""
	}
	return p.basic("char") + "*"
}

// plain writes what can't hold an anchor.
func (p *pattern) plain(re *syntax.Regexp) (string, error) {
	switch re.Op {
	case syntax.OpEmptyMatch:
		return "", nil
	case syntax.OpLiteral:
		if re.Flags&syntax.FoldCase != 0 {
			return "", unsupportedPattern(p.at, "(?i)")
		}
		var b strings.Builder
		for _, c := range re.Rune {
			b.WriteString(characterOf(c))
		}
		return literal(b.String()), nil
	case syntax.OpCharClass:
		var set []runes
		for i := 0; i+1 < len(re.Rune); i += 2 {
			set = append(set, runes{re.Rune[i], re.Rune[i+1]})
		}
		if way := characterIn(set, true); way != "" {
			return way, nil
		}
		return "", unsupportedPattern(p.at, "a class without a character")
	case syntax.OpAnyCharNotNL:
		return p.rule("dot", characterIn(subtract(everyRune, dot), true)), nil
	case syntax.OpAnyChar:
		return p.basic("char"), nil
	case syntax.OpStar:
		return p.repeated(re.Sub[0], 0, unbounded)
	case syntax.OpPlus:
		return p.repeated(re.Sub[0], 1, unbounded)
	case syntax.OpQuest:
		return p.repeated(re.Sub[0], 0, 1)
	case syntax.OpRepeat:
		return p.repeated(re.Sub[0], re.Min, re.Max)
	case syntax.OpCapture, syntax.OpConcat, syntax.OpAlternate:
		return p.convert(re, false, false)
	case syntax.OpBeginText, syntax.OpEndText, syntax.OpBeginLine, syntax.OpEndLine:
		return "", unsupportedPattern(p.at, "^ or $ in the middle")
	case syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return "", unsupportedPattern(p.at, `\b`)
	}
	return "", unsupportedPattern(p.at, re.Op.String())
}

func (p *pattern) repeated(re *syntax.Regexp, low, high int) (string, error) {
	if fewest, _ := lengths(re); fewest == 0 && high == unbounded {
		return "", unsupportedPattern(p.at, "a repetition without end of what may be empty")
	}
	one, err := p.convert(re, false, false)
	if err != nil || one == "" {
		return "", err
	}
	return p.repeat(p.named("part", one), low, high), nil
}

// lengths are the fewest and most characters that an expression takes.
func lengths(re *syntax.Regexp) (low, high int) {
	switch re.Op {
	case syntax.OpLiteral:
		return len(re.Rune), len(re.Rune)
	case syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return 1, 1
	case syntax.OpStar:
		return 0, times(re.Sub[0], unbounded)
	case syntax.OpPlus:
		low, _ = lengths(re.Sub[0])
		return low, times(re.Sub[0], unbounded)
	case syntax.OpQuest:
		return 0, times(re.Sub[0], 1)
	case syntax.OpRepeat:
		low, _ = lengths(re.Sub[0])
		return low * re.Min, times(re.Sub[0], re.Max)
	}
	for i, sub := range re.Sub { // of a group, a sequence or alternatives
		l, h := lengths(sub)
		switch {
		case re.Op != syntax.OpAlternate:
			low, high = low+l, sum(high, h)
		case i == 0:
			low, high = l, h
		case h == unbounded || high == unbounded:
			low, high = min(low, l), unbounded
		default:
			low, high = min(low, l), max(high, h)
		}
	}
	return low, high
}

// times is the most characters of a repetition.
func times(re *syntax.Regexp, n int) int {
	_, most := lengths(re)
	switch {
	case most == 0:
		return 0
	case most == unbounded || n == unbounded:
		return unbounded
	}
	return most * n
}

func sum(a, b int) int {
	if a == unbounded || b == unbounded {
		return unbounded
	}
	return a + b
}

// anchors says whether a pattern takes a text from its beginning, and to its end.
func anchors(re *syntax.Regexp) (opens, closes bool) {
	switch re.Op {
	case syntax.OpBeginText:
		return true, false
	case syntax.OpEndText:
		return false, true
	case syntax.OpCapture:
		return anchors(re.Sub[0])
	case syntax.OpConcat:
		opens, _ = anchors(re.Sub[0])
		_, closes = anchors(re.Sub[len(re.Sub)-1])
	case syntax.OpAlternate:
		opens, closes = true, true
		for _, sub := range re.Sub {
			o, c := anchors(sub)
			opens, closes = opens && o, closes && c
		}
	}
	return opens, closes
}
