package manifest

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"runa/init/servicename"
	"runa/services/hint"
	"runa/services/yamlfile"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	yamlparser "github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// MaxBytes is the largest manifest that is read, and maxDepth how deep its lists
// and mappings may stand in each other: the YAML library takes minutes for a few
// thousand open brackets.
const (
	MaxBytes = 16 << 10
	maxDepth = 16
)

// maxMistakes is how many mistakes of one manifest are told.
const maxMistakes = 20

// parser walks one manifest's syntax tree and gathers what is wrong in it.
type parser struct {
	file string
	errs []positioned
	more int // mistakes that are not in errs
}

type positioned struct {
	line, column int
	err          error
}

// Parse reads one manifest. file names it in messages, and the file's name
// without ".yaml" is the service's name. The error joins one line per mistake,
// "file:line:column: what", in the order of the file, each with a hint; of very
// many the first are told and the rest counted.
func Parse(file string, data []byte) (Service, error) {
	p := &parser{file: file}
	service := Defaults(strings.TrimSuffix(filepath.Base(file), ".yaml"))
	service.File = file
	if !servicename.Valid(service.Name) {
		p.failAt(1, 1, "rename the file", "a service cannot be called %q: small letters, digits and -, at most 32, starting with a letter", service.Name)
	}
	if body := p.tree(data); body != nil {
		p.mapping(body, "", topKeys, &service)
		p.finish(body, &service)
	}
	return service, p.err()
}

// finish checks what no single key can: what is missing or contradicts.
func (p *parser) finish(body ast.Node, s *Service) {
	if m, ok := body.(*ast.MappingNode); ok && value(m, "exec") == nil {
		p.fail(body, "add a line such as exec: /bin/"+s.Name, "exec is missing")
	}
	m, ok := body.(*ast.MappingNode)
	if !ok {
		return
	}
	if s.Snapshot.Every > 0 && !s.Data {
		p.fail(value(m, "snapshot"), "add data: true, or leave snapshot out", "snapshot: it has no data folder to copy")
	}
	if !s.Oneshot {
		if s.Cycle > 0 {
			p.fail(value(m, "cycle"), "add oneshot: true, or leave cycle out", "cycle: only a oneshot can be started again and again")
		}
		return
	}
	if s.Probe.By != ProbeNone {
		p.fail(value(m, "probe"), "leave probe out", "a oneshot can't be probed: it has done its work when it has ended")
	}
	ready, _ := value(m, "ready").(*ast.MappingNode)
	if ready == nil || value(ready, "timeout") == nil {
		s.Ready.Timeout = 0
	}
	if s.Ready.By != ByNone {
		p.fail(ready, "leave ready.by out", "a oneshot is ready when it has ended, not by %s", s.Ready.By)
	}
	if restart, _ := value(m, "restart").(*ast.MappingNode); restart == nil || value(restart, "policy") == nil {
		s.Restart.Policy = OnFailure
	}
}

// tree parses the YAML and returns the document's body, or nil after a
// mistake. The YAML library may panic on hostile input; that is a mistake too.
func (p *parser) tree(data []byte) (body ast.Node) {
	defer func() {
		if r := recover(); r != nil {
			p.failAt(1, 1, "", "this is not YAML that can be read: %v", r)
			body = nil
		}
	}()
	if len(data) > MaxBytes {
		p.failAt(1, 1, "", "the manifest has %d bytes, at most %d are read", len(data), MaxBytes)
		return nil
	}
	if !utf8.Valid(data) {
		p.failAt(1, 1, "", "this is not text in UTF-8")
		return nil
	}
	if line := yamlfile.TooDeep(data, maxDepth); line > 0 {
		p.failAt(line, 1, "", "lists and mappings stand in each other more than %d deep", maxDepth)
		return nil
	}
	file, err := yamlparser.ParseBytes(data, 0, yamlparser.AllowDuplicateMapKey())
	if err != nil {
		p.syntax(err)
		return nil
	}
	if len(file.Docs) > 1 && file.Docs[1].Body != nil {
		p.fail(file.Docs[1].Body, "one file, one service", "a second document")
	}
	if len(file.Docs) == 0 || file.Docs[0].Body == nil {
		p.failAt(1, 1, "write at least exec: /bin/...", "the manifest is empty")
		return nil
	}
	return file.Docs[0].Body
}

func (p *parser) syntax(err error) {
	var located yaml.Error
	if errors.As(err, &located) && located.GetToken() != nil {
		at := located.GetToken().Position
		p.failAt(at.Line, at.Column, "", "this is not YAML: %s", oneLine(located.GetMessage()))
		return
	}
	p.failAt(1, 1, "", "this is not YAML: %s", oneLine(err.Error()))
}

// mapping reads a mapping whose keys are all known; name is its own key, ""
// at the top.
func (p *parser) mapping(n ast.Node, name string, keys []key, s *Service) {
	m, ok := n.(*ast.MappingNode)
	if !ok {
		p.fail(n, "write key: value lines, or {key: value}", "%s must be a mapping, not %s", cmp.Or(name, "a manifest"), yamlfile.Kind(n))
		return
	}
	seen := map[string]int{}
	for _, entry := range m.Values {
		word, at := keyOf(entry), entry.Key.GetToken().Position
		if first, twice := seen[word]; twice {
			p.failAt(at.Line, at.Column, "keep one of the two", "key %q is there twice, first on line %d", word, first)
			continue
		}
		seen[word] = at.Line
		i := slices.IndexFunc(keys, func(k key) bool { return k.name == word })
		if i < 0 {
			known := namesOf(keys)
			p.failAt(at.Line, at.Column, didYouMean(word, known), "unknown key %q (known: %s)", word, strings.Join(known, ", "))
			continue
		}
		keys[i].read(p, entry.Value, s)
	}
}

func keyOf(entry *ast.MappingValueNode) string {
	if t := entry.Key.GetToken(); t != nil {
		return t.Value
	}
	return entry.Key.String()
}

// value returns the value of a key, or nil.
func value(m *ast.MappingNode, name string) ast.Node {
	for _, entry := range m.Values {
		if keyOf(entry) == name {
			return entry.Value
		}
	}
	return nil
}

func (p *parser) fail(n ast.Node, advice, format string, args ...any) {
	line, column := 1, 1
	if t := start(n); t != nil && t.Position != nil {
		line, column = t.Position.Line, t.Position.Column
	}
	p.failAt(line, column, advice, format, args...)
}

func (p *parser) failAt(line, column int, advice, format string, args ...any) {
	if len(p.errs) == maxMistakes {
		p.more++
		return
	}
	err := fmt.Errorf("%s:%d:%d: %s", p.file, line, column, fmt.Sprintf(format, args...))
	if advice != "" {
		err = hint.New(err, "%s", advice)
	}
	p.errs = append(p.errs, positioned{line, column, err})
}

func (p *parser) err() error {
	slices.SortStableFunc(p.errs, func(a, b positioned) int {
		return cmp.Or(cmp.Compare(a.line, b.line), cmp.Compare(a.column, b.column))
	})
	var errs []error
	for _, e := range p.errs {
		errs = append(errs, e.err)
	}
	if p.more > 0 {
		errs = append(errs, fmt.Errorf("%s:%d:1: and %d more mistakes", p.file, p.errs[len(p.errs)-1].line, p.more))
	}
	return errors.Join(errs...)
}

// start is the token a node begins with: for a block mapping the library's own
// GetToken gives its first colon, which is not where a person looks.
func start(n ast.Node) *token.Token {
	switch n := n.(type) {
	case nil:
		return nil
	case *ast.MappingNode:
		if n == nil {
			return nil
		}
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return n.Values[0].Key.GetToken()
		}
	}
	return n.GetToken()
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
