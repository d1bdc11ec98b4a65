package manifest

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/goccy/go-yaml/ast"

	"runa/init/servicename"
	"runa/services/splinter"
	"runa/services/yamlfile"
)

// longest is the longest duration a manifest may give: more is a slip. What is
// repeated has a shortest, so that looking after a service costs next to nothing.
const (
	longest          = 24 * time.Hour
	shortestBeat     = 50 * time.Millisecond
	shortestProbe    = 50 * time.Millisecond
	shortestSnapshot = 100 * time.Millisecond
	shortestCycle    = 100 * time.Millisecond
)

// scalar returns a plain value as it was written. Anchors, aliases, tags and
// null are refused: a manifest says each thing once, plainly.
func (p *parser) scalar(n ast.Node, what string) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	}
	p.fail(n, "", "%s expected, not %s", what, yamlfile.Kind(n))
	return "", false
}

// text reads a value that must be text: a number or true is a mistake here.
func (p *parser) text(n ast.Node, to *string) {
	if _, ok := n.(*ast.StringNode); !ok {
		p.fail(n, "", "text expected, not %s", yamlfile.Kind(n))
		return
	}
	p.word(n, to)
}

// word reads a value that is handed to a program as it was written.
func (p *parser) word(n ast.Node, to *string) bool {
	s, ok := p.scalar(n, "text")
	if !ok {
		return false
	}
	if strings.ContainsRune(s, 0) {
		p.fail(n, "", "a value cannot hold a zero byte")
		return false
	}
	*to = s
	return true
}

func (p *parser) truth(n ast.Node, to *bool) {
	b, ok := n.(*ast.BoolNode)
	if !ok {
		p.fail(n, "write true or false", "true or false expected, not %s", yamlfile.Kind(n))
		return
	}
	*to = b.Value
}

func (p *parser) list(n ast.Node) []ast.Node {
	l, ok := n.(*ast.SequenceNode)
	if !ok {
		p.fail(n, "write [a, b], or [] for none", "a list expected, not %s", yamlfile.Kind(n))
		return nil
	}
	return l.Values
}

func (p *parser) words(n ast.Node) []string {
	var words []string
	for _, item := range p.list(n) {
		var word string
		if p.word(item, &word) {
			words = append(words, word)
		}
	}
	return words
}

func (p *parser) name(n ast.Node, what string, to *string) {
	var s string
	if !p.word(n, &s) {
		return
	}
	if !servicename.Valid(s) {
		p.fail(n, "", "%q cannot be the name of a %s: small letters, digits and -, at most 32, starting with a letter", s, what)
		return
	}
	*to = s
}

// names reads a list of other services.
func (p *parser) names(n ast.Node, self string) []string {
	var names []string
	for _, item := range p.list(n) {
		var name string
		p.name(item, "service", &name)
		switch {
		case name == "":
		case name == self:
			p.fail(item, "take it out", "%s cannot come before itself", self)
		case slices.Contains(names, name):
			p.fail(item, "take it out", "%s is there twice", name)
		default:
			names = append(names, name)
		}
	}
	return names
}

// patterns reads a list of rights on the bus.
func (p *parser) patterns(n ast.Node) []string {
	var patterns []string
	for _, item := range p.list(n) {
		var pattern string
		switch item.(type) {
		case *ast.MappingNode, *ast.MappingValueNode: // what YAML takes name:a in brackets for
			p.fail(item, `put it in quotes: "key:service/*"`, "text expected, not %s", yamlfile.Kind(item))
			continue
		}
		p.text(item, &pattern)
		switch {
		case pattern == "":
		case slices.Contains(patterns, pattern):
			p.fail(item, "take it out", "%s is there twice", pattern)
		default:
			if err := splinter.CheckPattern(pattern); err != nil {
				p.fail(item, "write key:, topic: or name: and a name, such as key:service/* or name:splinfer", "%s", err.Error())
				continue
			}
			patterns = append(patterns, pattern)
		}
	}
	return patterns
}

func (p *parser) environment(n ast.Node) map[string]string {
	m, ok := n.(*ast.MappingNode)
	if !ok {
		p.fail(n, "write {NAME: value}", "env must be a mapping, not %s", yamlfile.Kind(n))
		return nil
	}
	env := map[string]string{}
	for _, entry := range m.Values {
		name := keyOf(entry)
		if name == "" || strings.ContainsAny(name, "=\x00") {
			p.fail(entry.Key, "", "%q cannot be the name of an environment variable", name)
			continue
		}
		if _, twice := env[name]; twice {
			p.fail(entry.Key, "keep one of the two", "variable %s is there twice", name)
			continue
		}
		var value string
		if p.word(entry.Value, &value) {
			env[name] = value
		}
	}
	return env
}

func choice[T ~string](p *parser, n ast.Node, to *T, allowed ...T) {
	s, ok := p.scalar(n, "a word")
	if !ok {
		return
	}
	var words []string
	for _, a := range allowed {
		words = append(words, string(a))
	}
	if !slices.Contains(words, s) {
		p.fail(n, didYouMean(s, words), "%q is none of %s", s, strings.Join(words, ", "))
		return
	}
	*to = T(s)
}

func (p *parser) duration(n ast.Node, to *time.Duration) { p.durationFrom(n, to, 0) }

// durationFrom reads a duration of at least shortest, and more than nothing.
func (p *parser) durationFrom(n ast.Node, to *time.Duration, shortest time.Duration) {
	s, ok := p.scalar(n, "a duration")
	if !ok {
		return
	}
	if _, err := strconv.ParseFloat(s, 64); err == nil {
		p.fail(n, fmt.Sprintf("write %ss or %sms", s, s), "the duration %s has no unit", s)
		return
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		p.fail(n, "write a number with ms, s, m or h, such as 30s", "%q is not a duration", s)
		return
	}
	if d <= 0 || d < shortest || d > longest {
		p.fail(n, "", "the duration %s is not between %v and %v", s, shortest, longest)
		return
	}
	*to = d
}

func (p *parser) size(n ast.Node, to *uint64) {
	s, ok := p.scalar(n, "a size")
	if !ok {
		return
	}
	units := map[string]uint64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
	digits := strings.TrimRight(s, "KMGiB")
	unit := units[s[len(digits):]]
	number, err := strconv.ParseUint(strings.TrimSpace(digits), 10, 64)
	if err != nil || unit == 0 {
		p.fail(n, "write a whole number with KiB, MiB or GiB, such as 512MiB", "%q is not a size", s)
		return
	}
	if number == 0 || number > math.MaxInt64/unit {
		p.fail(n, "", "the size %s is out of range", s)
		return
	}
	*to = number * unit
}

func (p *parser) percent(n ast.Node, to *int) {
	s, ok := p.scalar(n, "a share")
	if !ok {
		return
	}
	number, found := strings.CutSuffix(s, "%")
	percent, err := strconv.Atoi(number)
	if !found || err != nil {
		p.fail(n, "write a whole number with %, such as 150%", "%q is not a share of a processor", s)
		return
	}
	if percent < 1 || percent > 100_000 {
		p.fail(n, "", "the share %s is not between 1%% and 100000%%", s)
		return
	}
	*to = percent
}

func (p *parser) count(n ast.Node, to *int, low, high int) {
	number, ok := n.(*ast.IntegerNode)
	if !ok {
		p.fail(n, "", "a whole number expected, not %s", yamlfile.Kind(n))
		return
	}
	value, err := strconv.Atoi(fmt.Sprint(number.Value))
	if err != nil || value < low || value > high {
		p.fail(n, "", "%s is not between %d and %d", number.GetToken().Value, low, high)
		return
	}
	*to = value
}

// signals are those that a service can sensibly be asked to end with.
var signals = map[string]syscall.Signal{
	"HUP": syscall.SIGHUP, "INT": syscall.SIGINT, "QUIT": syscall.SIGQUIT, "TERM": syscall.SIGTERM,
	"USR1": syscall.SIGUSR1, "USR2": syscall.SIGUSR2, "KILL": syscall.SIGKILL,
}

func signalNames() []string {
	var names []string
	for name := range signals {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (p *parser) signal(n ast.Node, to *syscall.Signal) {
	s, ok := p.scalar(n, "a signal")
	if !ok {
		return
	}
	signal, known := signals[strings.TrimPrefix(s, "SIG")]
	if !known {
		names := signalNames()
		p.fail(n, didYouMean(s, names), "%q is none of %s", s, strings.Join(names, ", "))
		return
	}
	*to = signal
}
