package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A node is one value of the schema's document, with its members in their
// order.
type node struct {
	id     int // in the order of the document
	kind   nodeKind
	parent *node
	step   string // the member or index it is in its parent

	members []*node // of an object, each with its name as step
	items   []*node // of a list
	text    string  // of a string, or a number as it was written
	truth   bool
}

type nodeKind string

const (
	nodeNull    nodeKind = "null"
	nodeBoolean nodeKind = "boolean"
	nodeNumber  nodeKind = "number"
	nodeText    nodeKind = "string"
	nodeList    nodeKind = "array"
	nodeObject  nodeKind = "object"
)

// member is the value of a name in an object, or nil.
func (n *node) member(name string) *node {
	for _, m := range n.members {
		if m.step == name {
			return m
		}
	}
	return nil
}

// shownSteps is how much of a path's beginning and end messages show.
const shownSteps = 6

// path is where the node stands, as a JSON pointer after #.
func (n *node) path() string {
	var steps []string
	for ; n.parent != nil; n = n.parent {
		steps = append(steps, strings.NewReplacer("~", "~0", "/", "~1").Replace(shortName(n.step)))
	}
	slices.Reverse(steps)
	if n := len(steps); n > 2*shownSteps { // the middle of a long way helps nobody
		steps = slices.Concat(steps[:shownSteps], []string{"..."}, steps[n-shownSteps:])
	}
	return strings.Join(append([]string{"#"}, steps...), "/")
}

// document reads a schema.
type document struct {
	decoder *json.Decoder
	count   int
}

func readDocument(text []byte) (*node, error) {
	switch {
	case len(text) > MaxSchemaBytes:
		return nil, fmt.Errorf("%w: it has %d bytes, at most %d are read", ErrSchema, len(text), MaxSchemaBytes)
	case !utf8.Valid(text):
		return nil, fmt.Errorf("%w: it is not text in UTF-8", ErrSchema)
	}
	var raw json.RawMessage
	if err := json.Unmarshal(text, &raw); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			before := text[:min(len(text), max(0, int(syntax.Offset)-1))]
			line := 1 + bytes.Count(before, []byte("\n"))
			column := 1 + utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:])
			return nil, fmt.Errorf("%w: line %d, column %d: this is not JSON: %w", ErrSchema, line, column, err)
		}
		return nil, fmt.Errorf("%w: this is not JSON: %w", ErrSchema, err)
	}
	d := &document{decoder: json.NewDecoder(bytes.NewReader(text))}
	d.decoder.UseNumber()
	return d.read(nil, "", 0)
}

func (d *document) read(parent *node, step string, depth int) (*node, error) {
	n := &node{id: d.count, parent: parent, step: step}
	d.count++
	if depth > MaxSchemaDepth {
		return nil, fail(n, "lists and objects stand in each other over %d deep", MaxSchemaDepth)
	}
	token, err := d.decoder.Token()
	if err != nil {
		return nil, fail(n, "this is not JSON: %v", err)
	}
	switch value := token.(type) {
	case nil:
		n.kind = nodeNull
	case bool:
		n.kind, n.truth = nodeBoolean, value
	case json.Number:
		n.kind, n.text = nodeNumber, value.String()
	case string:
		n.kind, n.text = nodeText, value
	case json.Delim:
		if value == '[' {
			n.kind = nodeList
			return n, d.list(n, depth)
		}
		n.kind = nodeObject
		return n, d.object(n, depth)
	}
	return n, nil
}

func (d *document) list(n *node, depth int) error {
	for d.decoder.More() {
		item, err := d.read(n, strconv.Itoa(len(n.items)), depth+1)
		if err != nil {
			return err
		}
		n.items = append(n.items, item)
	}
	_, err := d.decoder.Token()
	return err
}

func (d *document) object(n *node, depth int) error {
	seen := map[string]bool{}
	for d.decoder.More() {
		token, err := d.decoder.Token()
		if err != nil {
			return fail(n, "this is not JSON: %v", err)
		}
		name, _ := token.(string)
		if seen[name] {
			return fail(n, "%q is there twice", shortName(name))
		}
		seen[name] = true
		value, err := d.read(n, name, depth+1)
		if err != nil {
			return err
		}
		n.members = append(n.members, value)
	}
	_, err := d.decoder.Token()
	return err
}

// resolve finds what a $ref points to.
func (n *node) resolve() (*node, error) {
	pointer, ok := strings.CutPrefix(n.text, "#")
	if n.kind != nodeText || !ok || pointer != "" && pointer[0] != '/' {
		return nil, advise(fail(n, "only a place in the same document can be referred to"), "write it as #/$defs/NAME")
	}
	target := n
	for target.parent != nil {
		target = target.parent
	}
	pointer, err := url.PathUnescape(pointer)
	if err != nil {
		return nil, fail(n, "this is not a JSON pointer")
	}
	for step := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		if pointer == "" {
			break
		}
		target = target.child(strings.NewReplacer("~1", "/", "~0", "~").Replace(step))
		if target == nil {
			return nil, fail(n, "there is nothing at the place it refers to")
		}
	}
	if target.kind != nodeObject && target.kind != nodeBoolean {
		return nil, fail(n, "what it refers to is no schema but of type %s", target.kind)
	}
	return target, nil
}

func (n *node) child(step string) *node {
	if n.kind == nodeList {
		if i, err := strconv.Atoi(step); err == nil && i >= 0 && i < len(n.items) {
			return n.items[i]
		}
		return nil
	}
	return n.member(step)
}
