package schema

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// maxCount bounds minLength, maxItems and the like, maxNames the properties of an
// object and the values of an enum: llama.cpp looks at all of them at once.
const (
	maxCount = 100_000
	maxNames = 1000
)

// annotations say nothing about which values fit.
var annotations = []string{
	"$schema", "$comment", "$defs", "definitions", "title", "description", "default", "examples", "example",
	"deprecated", "readOnly", "writeOnly", "discriminator", "contentMediaType", "contentEncoding",
}

// keywords are those that shape a value; each takes its value into the shape.
var keywords map[string]func(s *shape, value *node) error

func init() {
	keywords = map[string]func(s *shape, value *node) error{
		"type":  readType,
		"enum":  readEnum,
		"const": func(s *shape, v *node) error { return s.restrict([]*node{v}) },

		"minLength": func(s *shape, v *node) error { s.text.given = true; return lowCount(v, &s.text.low) },
		"maxLength": func(s *shape, v *node) error { s.text.given = true; return highCount(v, &s.text.high) },
		"pattern":   func(s *shape, v *node) error { s.text.given = true; s.text.pattern = v; return want(v, nodeText) },
		"format":    func(s *shape, v *node) error { s.text.given = true; s.text.format = v; return checkFormat(v) },

		"minimum":          func(s *shape, v *node) error { return s.number.atLeast(v, false) },
		"maximum":          func(s *shape, v *node) error { return s.number.atMost(v, false) },
		"exclusiveMinimum": func(s *shape, v *node) error { return s.number.atLeast(v, true) },
		"exclusiveMaximum": func(s *shape, v *node) error { return s.number.atMost(v, true) },

		"minItems":    func(s *shape, v *node) error { s.list.given = true; return lowCount(v, &s.list.low) },
		"maxItems":    func(s *shape, v *node) error { s.list.given = true; return highCount(v, &s.list.high) },
		"items":       readItems,
		"prefixItems": readPrefix,
		"uniqueItems": func(s *shape, v *node) error { return onlyFalse(v) },

		"minProperties":         func(s *shape, v *node) error { s.object.given = true; return lowCount(v, &s.object.low) },
		"maxProperties":         func(s *shape, v *node) error { s.object.given = true; return highCount(v, &s.object.high) },
		"properties":            readProperties,
		"required":              readRequired,
		"additionalProperties":  readAdditional,
		"unevaluatedProperties": func(s *shape, v *node) error { return onlyFalse(v) }, // what is not named isn't there
	}
}

// composers join schemas; expand follows them.
var composers = []string{"$ref", "allOf", "anyOf", "oneOf"}

// base reads what an object schema says of itself, leaving out composers.
func base(n *node) (shape, error) {
	s := openShape(n)
	for _, m := range n.members {
		name := m.step
		switch read := keywords[name]; {
		case read != nil:
			if err := read(&s, m); err != nil {
				return shape{}, err
			}
		case slices.Contains(composers, name), slices.Contains(annotations, name), strings.HasPrefix(name, "x-"):
		case name == "$id" && n.parent == nil:
		default:
			return shape{}, unknown(m)
		}
	}
	if s.list.low == 0 && len(s.list.prefix) > 0 && n.member("minItems") == nil {
		s.list.low = len(s.list.prefix)
		if s.list.high != unbounded {
			s.list.low = min(s.list.low, s.list.high)
		}
	}
	return s, nil
}

func unknown(m *node) error {
	known := slices.Clone(composers)
	for name := range keywords {
		known = append(known, name)
	}
	slices.Sort(known)
	return advise(fail(m, "this keyword is not supported"), "known: %s", strings.Join(known, ", "))
}

func want(v *node, kind nodeKind) error {
	if v.kind != kind {
		return fail(v, "type %s expected, not %s", kind, v.kind)
	}
	if n := max(len(v.members), len(v.items)); n > maxNames {
		return fail(v, "%d are given, at most %d are supported", n, maxNames)
	}
	return nil
}

// onlyFalse is for keywords that are understood where they ask for nothing more.
func onlyFalse(v *node) error {
	if v.kind != nodeBoolean || v.truth {
		return fail(v, "only false is supported here")
	}
	return nil
}

func count(v *node) (int, error) {
	if err := want(v, nodeNumber); err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(strings.TrimSuffix(v.text, ".0"))
	if err != nil || n < 0 {
		return 0, fail(v, "a whole number that is not negative expected")
	}
	return n, nil
}

func lowCount(v *node, to *int) error {
	n, err := count(v)
	if err == nil && n > maxCount {
		err = fail(v, "more than %d are not supported", maxCount)
	}
	*to = n
	return err
}

// highCount reads an upper bound. One that no answer reaches is kept as it is;
// what repeats makes it smaller.
func highCount(v *node, to *int) error {
	n, err := count(v)
	*to = min(n, maxCount)
	return err
}

func readType(s *shape, v *node) error {
	names := []*node{v}
	if v.kind == nodeList {
		names = v.items
	}
	s.types = 0
	for _, name := range names {
		t, known := typeNames[name.text]
		if name.kind != nodeText || !known {
			return advise(fail(name, "this is no type"), "types are string, number, integer, boolean, null, array and object")
		}
		s.types |= t
	}
	if s.types == 0 {
		return fail(v, "a list without a type")
	}
	return nil
}

func readEnum(s *shape, v *node) error {
	if err := want(v, nodeList); err != nil {
		return err
	}
	if len(v.items) == 0 {
		return fail(v, "a list without a value")
	}
	return s.restrict(v.items)
}

// restrict leaves only some values: const may stand beside enum.
func (s *shape) restrict(values []*node) error {
	if s.listed {
		values = common(values, s.values)
	}
	s.values, s.listed = values, true
	return nil
}

func readItems(s *shape, v *node) error {
	s.list.given = true
	if v.kind == nodeList { // as drafts before 2020-12 have it
		return readPrefix(s, v)
	}
	s.list.rest, s.list.restGiven = s.list.rest.with(all{v}), true
	return wantSchema(v)
}

func readPrefix(s *shape, v *node) error {
	s.list.given = true
	if err := want(v, nodeList); err != nil {
		return err
	}
	if len(s.list.prefix) > 0 {
		return fail(v, "items and prefixItems both list schemas")
	}
	for _, item := range v.items {
		if err := wantSchema(item); err != nil {
			return err
		}
		s.list.prefix = append(s.list.prefix, all{item})
	}
	return nil
}

func wantSchema(v *node) error {
	if v.kind != nodeObject && v.kind != nodeBoolean {
		return fail(v, "a schema expected, not type %s", v.kind)
	}
	return nil
}

func readProperties(s *shape, v *node) error {
	s.object.given = true
	if err := want(v, nodeObject); err != nil {
		return err
	}
	s.object.properties = map[string]all{}
	for _, m := range v.members {
		if err := wantSchema(m); err != nil {
			return err
		}
		s.object.names = append(s.object.names, m.step)
		s.object.properties[m.step] = all{m}
	}
	return nil
}

func readRequired(s *shape, v *node) error {
	s.object.given = true
	if err := want(v, nodeList); err != nil {
		return err
	}
	for _, name := range v.items {
		if err := want(name, nodeText); err != nil {
			return err
		}
		if !slices.Contains(s.object.required, name.text) {
			s.object.required = append(s.object.required, name.text)
		}
	}
	return nil
}

func readAdditional(s *shape, v *node) error {
	s.object.given = true
	s.object.rest, s.object.restGiven = all{v}, true
	return wantSchema(v)
}

// common are the values that are in both lists.
func common(a, b []*node) []*node {
	in := map[string]bool{}
	for _, v := range b {
		in[v.canonical()] = true
	}
	return slices.DeleteFunc(slices.Clone(a), func(v *node) bool { return !in[v.canonical()] })
}

// canonical is a text that equal values share: members by name, numbers by value.
func (n *node) canonical() string {
	switch n.kind {
	case nodeNull:
		return "null"
	case nodeBoolean:
		return strconv.FormatBool(n.truth)
	case nodeText:
		return quoted(n.text)
	case nodeNumber:
		if d, ok := parseDecimal(n.text); ok {
			return d.String()
		}
		return n.text
	case nodeList:
		var parts []string
		for _, item := range n.items {
			parts = append(parts, item.canonical())
		}
		return "[" + strings.Join(parts, ",") + "]"
	}
	var parts []string
	for _, m := range n.members {
		parts = append(parts, fmt.Sprintf("%s:%s", quoted(m.step), m.canonical()))
	}
	slices.Sort(parts)
	return "{" + strings.Join(parts, ",") + "}"
}
