package persona

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"runa/services/yamlfile"
)

var (
	validName      = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)
	validParameter = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
)

// set gives a parameter its value, once.
func (p *parser) set(n ast.Node, parameter string, value any) {
	at := placeOf(n)
	if first, twice := p.persona.places[parameter]; twice {
		p.failAt(at, "keep one of the two", "parameter %s is there twice, first on line %d", parameter, first.line)
		return
	}
	p.persona.places[parameter] = at
	p.persona.Parameters[parameter] = value
}

// parameters reads the mapping of parameters by llama.cpp's names.
func (p *parser) parameters(n ast.Node) {
	m, ok := n.(*ast.MappingNode)
	if !ok {
		p.fail(n, "write {top-k: 40}, or a line for each", "parameters must be a mapping, not %s", yamlfile.Kind(n))
		return
	}
	if len(m.Values) > MaxParameters {
		p.fail(n, "", "parameters: %d are given, at most %d can be", len(m.Values), MaxParameters)
		return
	}
	p.entries(m, func(word string, entry *ast.MappingValueNode) {
		if len(word) > MaxName || !validParameter.MatchString(word) {
			advice := "write it as on llama.cpp's command line, such as top-k"
			if dashed := strings.ReplaceAll(strings.TrimLeft(word, "-"), "_", "-"); len(word) <= MaxName && validParameter.MatchString(dashed) {
				advice = fmt.Sprintf("did you mean %q?", dashed)
			}
			p.fail(entry.Key, advice, "%q cannot be the name of a parameter", short(word))
			return
		}
		if value, ok := p.value(entry.Value); ok {
			p.set(entry.Key, word, value)
		}
	})
}

// value reads a parameter's value: a number, true or false, text, or a list of texts.
func (p *parser) value(n ast.Node) (any, bool) {
	switch n := n.(type) {
	case *ast.BoolNode:
		return n.Value, true
	case *ast.IntegerNode:
		return p.integer(n, math.MinInt64, math.MaxInt64)
	case *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return p.number(n, -math.MaxFloat64, math.MaxFloat64)
	case *ast.StringNode, *ast.LiteralNode:
		return p.text(n)
	case *ast.SequenceNode:
		return p.texts(n)
	}
	p.fail(n, "", "a number, true or false, text or a list of texts expected, not %s", yamlfile.Kind(n))
	return nil, false
}

func (p *parser) text(n ast.Node) (string, bool) {
	var s string
	switch n := n.(type) {
	case *ast.StringNode:
		s = n.Value
	case *ast.LiteralNode:
		s = n.Value.Value
	default:
		p.fail(n, "put it in quotes if it is meant as text", "text expected, not %s", yamlfile.Kind(n))
		return "", false
	}
	switch {
	case len(s) > MaxText:
		p.fail(n, "", "a text of %d bytes, at most %d are read", len(s), MaxText)
		return "", false
	case strings.ContainsRune(s, 0):
		p.fail(n, "take it out", "a text cannot hold a zero byte")
		return "", false
	}
	return s, true
}

func (p *parser) texts(n ast.Node) ([]string, bool) {
	l, ok := n.(*ast.SequenceNode)
	if !ok {
		p.fail(n, "write [a, b], or [] for none", "a list expected, not %s", yamlfile.Kind(n))
		return nil, false
	}
	if len(l.Values) > MaxTexts {
		p.fail(n, "", "a list of %d texts, at most %d can be", len(l.Values), MaxTexts)
		return nil, false
	}
	texts, all := make([]string, 0, len(l.Values)), true
	for _, item := range l.Values {
		s, ok := p.text(item)
		texts, all = append(texts, s), all && ok
	}
	return texts, all
}

// integer reads a whole number from low to high.
func (p *parser) integer(n ast.Node, low, high int64) (int64, bool) {
	i, ok := n.(*ast.IntegerNode)
	if !ok {
		p.fail(n, "", "a whole number expected, not %s", yamlfile.Kind(n))
		return 0, false
	}
	value, err := strconv.ParseInt(fmt.Sprint(i.Value), 10, 64)
	if err != nil || value < low || value > high {
		p.fail(n, "", "%s is not between %d and %d", short(i.GetToken().Value), low, high)
		return 0, false
	}
	return value, true
}

// number reads a number from low to high.
func (p *parser) number(n ast.Node, low, high float64) (float64, bool) {
	var value float64
	switch n := n.(type) {
	case *ast.IntegerNode:
		v, err := strconv.ParseFloat(fmt.Sprint(n.Value), 64)
		if err != nil {
			v = math.NaN()
		}
		value = v
	case *ast.FloatNode:
		value = n.Value
	case *ast.InfinityNode, *ast.NanNode:
		value = math.NaN()
	default:
		advice := ""
		if s, ok := n.(*ast.StringNode); ok && strings.Contains(s.Value, ",") {
			advice = "write the decimal point as ."
		}
		p.fail(n, advice, "a number expected, not %s", yamlfile.Kind(n))
		return 0, false
	}
	if !(value >= low && value <= high) { // refuses what is no number too
		p.fail(n, "", "%s is not between %g and %g", short(n.GetToken().Value), low, high)
		return 0, false
	}
	return value, true
}

// name reads a name.
func (p *parser) name(n ast.Node, what string, to *string) {
	s, ok := n.(*ast.StringNode)
	if !ok {
		p.fail(n, "", "a name expected, not %s", yamlfile.Kind(n))
		return
	}
	if !validName.MatchString(s.Value) {
		p.fail(n, suggestion(s.Value), "%q cannot be the name of a %s: small letters, digits, - and _, at most %d", short(s.Value), what, MaxName)
		return
	}
	*to = s.Value
}

// names reads a list of names, each once.
func (p *parser) names(n ast.Node, what string, most int) []string {
	l, ok := n.(*ast.SequenceNode)
	if !ok {
		p.fail(n, "write [a, b], or [] for none", "a list expected, not %s", yamlfile.Kind(n))
		return nil
	}
	if len(l.Values) > most {
		p.fail(n, "", "%d names in a list, at most %d can be", len(l.Values), most)
		return nil
	}
	names := []string{}
	for _, item := range l.Values {
		var name string
		p.name(item, what, &name)
		switch {
		case name == "":
		case slices.Contains(names, name):
			p.fail(item, "take it out", "%s is there twice", name)
		default:
			names = append(names, name)
		}
	}
	return names
}

// suggestion turns what a person wrote into a name, if it can.
func suggestion(s string) string {
	name := strings.ToLower(strings.Join(strings.Fields(s), "-"))
	if !validName.MatchString(name) {
		return ""
	}
	return fmt.Sprintf("write %s", name)
}

// short is what a message shows of a word.
func short(s string) string {
	const most = 40
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}
