package manifest

import (
	"path"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

func rungWords() string {
	var words []string
	for _, rung := range Rungs() {
		words = append(words, string(rung))
	}
	return strings.Join(words, ", ")
}

// ladder reads rungs, which stand in their own order, each once.
func (p *parser) ladder(n ast.Node) []Rung {
	var ladder []Rung
	for _, item := range p.list(n) {
		var rung Rung
		choice(p, item, &rung, Rungs()...)
		if rung == "" {
			continue
		}
		place := slices.Index(Rungs(), rung)
		if last := len(ladder) - 1; last >= 0 && slices.Index(Rungs(), ladder[last]) >= place {
			p.fail(item, "the order is "+rungWords(), "%s cannot come after %s", rung, ladder[last])
			continue
		}
		ladder = append(ladder, rung)
	}
	if len(ladder) == 0 {
		p.fail(n, "write restart: {policy: never} for a service that is not tried again", "a ladder without a rung")
	}
	return ladder
}

// program reads the path of a program.
func (p *parser) program(n ast.Node, what string, to *string) {
	p.text(n, to)
	if *to != "" && (!path.IsAbs(*to) || path.Clean(*to) != *to) {
		p.fail(n, "write the whole path, such as /bin/"+path.Base(*to), "%s is not an absolute path: %q", what, *to)
	}
}

// checkProbe finds what contradicts in a probe.
func (p *parser) checkProbe(n ast.Node, probe Probe) {
	switch {
	case probe.By == ProbeExec && probe.Exec == "":
		p.fail(n, "add exec: and the path of a program", "probe: by exec, but exec is missing")
	case probe.By != ProbeExec && (probe.Exec != "" || len(probe.Args) > 0):
		p.fail(n, "write by: exec, or leave exec and args out", "probe: exec and args are for by: exec only")
	}
}

// forbidden are folders that no manifest can open to a service, and why.
var forbidden = []struct{ path, why string }{
	{"/proc", "every service has one of its own"},
	{"/run/gilgul", "that is gilgul's own"},
	{"/data/gilgul", "that is gilgul's own"},
}

// paths reads a list of paths that a service may touch.
func (p *parser) paths(n ast.Node) []string {
	var paths []string
	for _, item := range p.list(n) {
		var at string
		p.text(item, &at)
		switch {
		case at == "":
		case !path.IsAbs(at) || path.Clean(at) != at || strings.ContainsRune(at, 0):
			p.fail(item, "write the whole path, such as /usr/share/dict", "not an absolute path: %q", at)
		case at == "/" || at == "/dev" || at == "/data":
			p.fail(item, "name what it needs below that", "%s is too much for one service", at)
		case slices.Contains(paths, at):
			p.fail(item, "take it out", "%s is there twice", at)
		default:
			if why := taboo(at); why != "" {
				p.fail(item, "take it out", "%s cannot be opened to a service: %s", at, why)
				continue
			}
			paths = append(paths, at)
		}
	}
	return paths
}

func taboo(at string) string {
	for _, f := range forbidden {
		if at == f.path || strings.HasPrefix(at, f.path+"/") {
			return f.why
		}
	}
	return ""
}
