package schema

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// What follows writes GBNF. An expression is a sequence that can stand beside
// others; alternatives are in brackets.

// literal is a text, as GBNF.
func literal(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteRune(c)
		default:
			b.WriteString(escaped(c, ' ' <= c && c <= '~'))
		}
	}
	b.WriteByte('"')
	return b.String()
}

// class is any character of some ranges, as GBNF.
func class(set []runes) string {
	if len(set) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteByte('[')
	for _, r := range set {
		b.WriteString(inClass(r.first))
		if r.last > r.first {
			if r.last > r.first+1 {
				b.WriteByte('-')
			}
			b.WriteString(inClass(r.last))
		}
	}
	b.WriteByte(']')
	return b.String()
}

func inClass(c rune) string {
	plain := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
	return escaped(c, plain)
}

func escaped(c rune, plain bool) string {
	switch {
	case plain:
		return string(c)
	case c <= 0xff:
		return fmt.Sprintf(`\x%02X`, c)
	case c <= 0xffff:
		return fmt.Sprintf(`\u%04X`, c)
	}
	return fmt.Sprintf(`\U%08X`, c)
}

// either is one of several expressions, each once; "" if there is none.
func either(expressions ...string) string {
	var list []string
	for _, e := range expressions {
		if !slices.Contains(list, e) {
			list = append(list, e)
		}
	}
	switch len(list) {
	case 0:
		return ""
	case 1:
		return list[0]
	}
	return "( " + strings.Join(list, " | ") + " )"
}

// sequence is expressions one behind the other.
func sequence(expressions ...string) string {
	return strings.Join(slices.DeleteFunc(expressions, func(e string) bool { return e == "" }), " ")
}

// subtract is a without b; both are sorted and don't overlap in themselves.
func subtract(a, b []runes) (rest []runes) {
	for _, r := range a {
		for _, cut := range b {
			if cut.last < r.first || cut.first > r.last {
				continue
			}
			if cut.first > r.first {
				rest = append(rest, runes{r.first, cut.first - 1})
			}
			r.first = cut.last + 1
		}
		if r.first <= r.last {
			rest = append(rest, r)
		}
	}
	return rest
}

// common characters of a and b.
func intersect(a, b []runes) []runes { return subtract(a, subtract(a, b)) }

// What a character of a JSON string is when it is written without an escape.
var (
	everyRune = []runes{{0, 0xd7ff}, {0xe000, utf8.MaxRune}}
	controls  = []runes{{0, 0x1f}}
	unescaped = subtract(everyRune, []runes{{0, 0x1f}, {'"', '"'}, {'\\', '\\'}})
)

// shortEscapes are the characters behind \ and what they mean, in the order of that.
var shortEscapes = []struct {
	letter byte
	means  rune
}{{'b', '\b'}, {'t', '\t'}, {'n', '\n'}, {'f', '\f'}, {'r', '\r'}, {'"', '"'}, {'\\', '\\'}}

// quoted is a JSON string in the one way in which we write it.
func quoted(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range s {
		b.WriteString(characterOf(c))
	}
	b.WriteByte('"')
	return b.String()
}

// characterOf is one character within a JSON string.
func characterOf(c rune) string {
	for _, e := range shortEscapes {
		if e.means == c {
			return "\\" + string(rune(e.letter))
		}
	}
	if c < ' ' {
		return fmt.Sprintf(`\u%04x`, c)
	}
	return string(c)
}

// characterIn is any character of a set within a JSON string, each in one way.
// Control characters that have no short escape are left out unless asked for.
func characterIn(set []runes, control bool) string {
	var ways []string
	if raw := class(intersect(unescaped, set)); raw != "" {
		ways = append(ways, raw)
	}
	var letters, done []runes
	for _, e := range shortEscapes {
		one := []runes{{e.means, e.means}}
		if len(intersect(set, one)) > 0 {
			letters = append(letters, runes{rune(e.letter), rune(e.letter)})
		}
		done = append(done, one...)
	}
	if len(letters) > 0 {
		ways = append(ways, sequence(literal(`\`), class(letters)))
	}
	if control {
		rare := subtract(intersect(controls, set), done)
		for first := rune(0); first <= 0x10; first += 0x10 { // \u00 and 0 or 1, and the last digit
			var last []runes
			for _, r := range intersect(rare, []runes{{first, first + 0xf}}) {
				for c := r.first; c <= r.last; c++ {
					digit := rune("0123456789abcdef"[c-first])
					last = append(last, runes{digit, digit})
				}
			}
			if len(last) > 0 {
				ways = append(ways, sequence(literal(fmt.Sprintf(`\u00%x`, first>>4)), class(last)))
			}
		}
	}
	return either(ways...)
}
