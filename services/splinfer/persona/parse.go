package persona

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	yamlparser "github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"runa/services/hint"
	"runa/services/yamlfile"
)

// maxMistakes is how many mistakes of one file are told.
const maxMistakes = 20

// maxDepth is how deep brackets may stand in each other: the YAML library takes
// minutes for a few thousand of them. A grammar or JSON schema counts too.
const maxDepth = 64

// parser reads one file and gathers what is wrong in it.
type parser struct {
	persona Persona
	errs    []positioned
	more    int // mistakes that are not in errs
}

type positioned struct {
	place
	err error
}

// Parse reads one persona. name is its file's, for messages and for the
// persona's name if the front matter gives none. The error joins one line per mistake,
// "name:line:column: what", in the order of the file, each with a hint where
// there is one; of very many the first are told and the rest counted.
func Parse(name string, text []byte) (Persona, error) {
	p := &parser{persona: Persona{
		Name: strings.TrimSuffix(filepath.Base(name), ".md"), File: name,
		Parameters: map[string]any{}, places: map[string]place{},
	}}
	if front, prompt, ok := p.split(text); ok {
		p.frontMatter(front)
		p.prompt(text, prompt)
		if len(p.errs) == 0 && !validName.MatchString(p.persona.Name) {
			p.failAt(place{1, 1}, "rename the file, or add a line such as persona: plain-helper",
				"%q cannot be the name of a persona: small letters, digits, - and _, at most %d", short(p.persona.Name), MaxName)
		}
	}
	if err := p.err(); err != nil {
		return Persona{}, err
	}
	return p.persona, nil
}

// split finds the front matter and the offset at which the prompt begins. The
// front matter keeps an empty line for its ---, so that its lines count as the file's.
func (p *parser) split(text []byte) (front []byte, prompt int, ok bool) {
	switch {
	case len(text) > MaxBytes:
		p.failAt(place{1, 1}, "", "the file has more than %d bytes", MaxBytes)
		return nil, 0, false
	case !utf8.Valid(text):
		p.failAt(place{1, 1}, "", "this is not text in UTF-8")
		return nil, 0, false
	}
	const advice = "begin with a line ---, then keys such as temperature: 0.7, a line --- again, then the prompt"
	offset := len(text) - len(bytes.TrimPrefix(text, []byte("\ufeff"))) // some editors put it there
	begin := 0
	for line := range bytes.Lines(text[offset:]) {
		fence := string(bytes.TrimRight(line, " \t\r\n")) == "---"
		if begin == 0 && !fence {
			p.failAt(place{1, 1}, advice, "the file does not begin with its front matter")
			return nil, 0, false
		}
		offset += len(line)
		switch {
		case begin == 0:
			begin = offset
		case fence:
			front = append([]byte("\n"), text[begin:offset-len(line)]...)
			return front, offset, p.plausible(front)
		}
	}
	if begin == 0 {
		p.failAt(place{1, 1}, advice, "the file is empty")
	} else {
		p.failAt(place{1, 1}, advice, "the front matter has no end")
	}
	return nil, 0, false
}

// plausible refuses front matter that the YAML library should not see.
func (p *parser) plausible(front []byte) bool {
	if len(front) > MaxFrontMatter {
		p.failAt(place{1, 1}, "put text into the prompt, below the second ---", "the front matter has %d bytes, at most %d are read", len(front), MaxFrontMatter)
		return false
	}
	if line := yamlfile.TooDeep(front, maxDepth); line > 0 {
		p.failAt(place{line, 1}, "", "lists and mappings stand in each other more than %d deep", maxDepth)
		return false
	}
	return true
}

func (p *parser) frontMatter(front []byte) {
	body := p.tree(front)
	if body == nil {
		return
	}
	m, ok := body.(*ast.MappingNode)
	if !ok {
		p.fail(body, "write key: value lines", "the front matter must be a mapping, not %s", yamlfile.Kind(body))
		return
	}
	known := make([]string, len(keys))
	for i, k := range keys {
		known[i] = k.name
	}
	slices.Sort(known)
	p.entries(m, func(word string, entry *ast.MappingValueNode) {
		i := slices.IndexFunc(keys, func(k key) bool { return k.name == word })
		if i < 0 {
			p.fail(entry.Key, cmp.Or(hint.Nearest(word, known), "parameters of llama.cpp stand below parameters:"),
				"unknown key %q (known: %s)", short(word), strings.Join(known, ", "))
			return
		}
		keys[i].read(p, entry.Value)
	})
}

// entries calls each with the keys of a mapping; one that is there twice is a mistake.
func (p *parser) entries(m *ast.MappingNode, each func(word string, entry *ast.MappingValueNode)) {
	seen := map[string]int{}
	for _, entry := range m.Values {
		word := entry.Key.String()
		if t := entry.Key.GetToken(); t != nil {
			word = t.Value
		}
		at := placeOf(entry.Key)
		if first, twice := seen[word]; twice {
			p.failAt(at, "keep one of the two", "key %q is there twice, first on line %d", short(word), first)
			continue
		}
		seen[word] = at.line
		each(word, entry)
	}
}

// tree parses the YAML and returns the document's body, or nil: after a mistake,
// or because there is none. The YAML library may panic on hostile input; that is
// a mistake too.
func (p *parser) tree(front []byte) (body ast.Node) {
	defer func() {
		if r := recover(); r != nil {
			p.failAt(place{2, 1}, "", "this is not YAML that can be read: %s", oneLine(fmt.Sprint(r)))
			body = nil
		}
	}()
	file, err := yamlparser.ParseBytes(front, 0, yamlparser.AllowDuplicateMapKey())
	if err != nil {
		var located yaml.Error
		if errors.As(err, &located) && located.GetToken() != nil {
			at := located.GetToken().Position
			p.failAt(place{at.Line, at.Column}, "", "this is not YAML: %s", oneLine(located.GetMessage()))
			return nil
		}
		p.failAt(place{2, 1}, "", "this is not YAML: %s", oneLine(err.Error()))
		return nil
	}
	for _, doc := range file.Docs {
		switch {
		case doc.Body == nil:
		case body != nil:
			p.fail(doc.Body, "keep one", "a second document")
		default:
			body = doc.Body
		}
	}
	if _, comment := body.(*ast.CommentGroupNode); comment {
		return nil
	}
	return body
}

// prompt takes the text from an offset on.
func (p *parser) prompt(text []byte, offset int) {
	prompt := strings.ReplaceAll(string(text[offset:]), "\r\n", "\n")
	line := 1 + bytes.Count(text[:offset], []byte("\n"))
	for i, r := range prompt {
		if r == utf8.RuneError || unicode.IsControl(r) && r != '\n' && r != '\t' {
			before := prompt[:i]
			column := 1 + utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:])
			p.failAt(place{line + strings.Count(before, "\n"), column}, "take it out", "the prompt holds the character %U, which is no text", r)
			return
		}
	}
	prompt = strings.TrimRight(prompt, " \t\n")
	for head, rest, more := strings.Cut(prompt, "\n"); more && strings.TrimSpace(head) == ""; head, rest, more = strings.Cut(prompt, "\n") {
		prompt = rest
	}
	switch {
	case prompt == "":
		p.failAt(place{line, 1}, "say below the second --- who answers, such as: You are a helpful assistant.", "there is no prompt")
	case len(prompt) > MaxPrompt:
		p.failAt(place{line, 1}, "shorten it", "the prompt has %d bytes, at most %d are read", len(prompt), MaxPrompt)
	}
	p.persona.Prompt = prompt
}

func (p *parser) fail(n ast.Node, advice, format string, args ...any) {
	p.failAt(placeOf(n), advice, format, args...)
}

func (p *parser) failAt(at place, advice, format string, args ...any) {
	if len(p.errs) == maxMistakes {
		p.more++
		return
	}
	err := fmt.Errorf("%s:%d:%d: %s", p.persona.File, at.line, at.column, fmt.Sprintf(format, args...))
	p.errs = append(p.errs, positioned{at, hinted(err, advice)})
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
		errs = append(errs, fmt.Errorf("%s:%d:1: and %d more mistakes", p.persona.File, p.errs[len(p.errs)-1].line, p.more))
	}
	return errors.Join(errs...)
}

// placeOf is where a node begins: for a block mapping the library's own GetToken
// gives its first colon, which is not where a person looks.
func placeOf(n ast.Node) place {
	var t *token.Token
	switch n := n.(type) {
	case nil:
	case *ast.MappingNode:
		if n != nil && !n.IsFlowStyle && len(n.Values) > 0 {
			t = n.Values[0].Key.GetToken()
		} else if n != nil {
			t = n.GetToken()
		}
	default:
		t = n.GetToken()
	}
	if t == nil || t.Position == nil {
		return place{2, 1}
	}
	return place{t.Position.Line, t.Position.Column}
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
