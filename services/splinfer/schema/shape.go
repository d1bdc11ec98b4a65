package schema

import "slices"

// types is a set of JSON's types.
type types uint8

const (
	typeNull types = 1 << iota
	typeBoolean
	typeInteger
	typeNumber // whole numbers among them
	typeText
	typeList
	typeObject

	anyType = typeNull | typeBoolean | typeInteger | typeNumber | typeText | typeList | typeObject
)

var typeNames = map[string]types{
	"null": typeNull, "boolean": typeBoolean, "integer": typeInteger, "number": typeNumber | typeInteger,
	"string": typeText, "array": typeList, "object": typeObject,
}

// all is a list of schemas that hold together; none: anything fits.
type all []*node

// with joins two lists, each schema once, in the order of the document.
func (a all) with(b all) all {
	joined := slices.Concat(a, b)
	slices.SortFunc(joined, func(a, b *node) int { return a.id - b.id })
	return slices.Compact(joined)
}

// A shape is what schemas that hold together come to, where there is nothing
// left to choose between. Its parts are never changed, only replaced.
type shape struct {
	at    *node // what is to blame in messages
	types types

	values []*node // enum and const: one of these
	listed bool    // values counts, though it may be empty

	text   textShape
	number numberShape
	list   listShape
	object objectShape
}

type textShape struct {
	given     bool
	low, high int // characters; high may be unbounded
	pattern   *node
	format    *node
}

type numberShape struct {
	given     bool
	low, high *limit
}

type listShape struct {
	given     bool
	prefix    []all
	rest      all  // of the items after prefix
	restGiven bool // else there are none after prefix
	low, high int
}

type objectShape struct {
	given      bool
	names      []string // in their order
	properties map[string]all
	rest       all  // of the properties that are not named
	restGiven  bool // else there are none, if any is named
	required   []string
	low, high  int
}

func openShape(at *node) shape {
	return shape{
		at: at, types: anyType,
		text: textShape{high: unbounded}, list: listShape{high: unbounded}, object: objectShape{high: unbounded},
	}
}

// kinds are the types that a value may have. A schema that says nothing of
// types but something of strings is meant for strings.
func (s *shape) kinds() types {
	if s.types != anyType || s.listed {
		return s.types
	}
	var meant types
	for _, m := range []struct {
		given bool
		types types
	}{
		{s.text.given, typeText},
		{s.number.given, typeNumber | typeInteger},
		{s.list.given, typeList},
		{s.object.given, typeObject},
	} {
		if m.given {
			meant |= m.types
		}
	}
	if meant == 0 {
		return anyType
	}
	return meant
}

// open says that anything fits.
func (s *shape) open() bool { return !s.listed && s.kinds() == anyType && s.types == anyType }

// size is what it costs to merge the shape.
func (s *shape) size() int {
	return 1 + len(s.values) + len(s.list.prefix) + len(s.object.names) + len(s.object.required)
}

// merge is the shape of what fits both a and b; false if there is nothing.
// An error is about what can't be joined.
func merge(a, b shape) (shape, bool, error) {
	m := a
	m.types &= b.types
	switch {
	case a.listed && b.listed:
		m.values = common(a.values, b.values)
	case b.listed:
		m.values, m.listed = b.values, true
	}
	var err error
	if m.text, err = mergeText(a.text, b.text); err != nil {
		return shape{}, false, err
	}
	m.number = mergeNumber(a.number, b.number)
	m.list = mergeList(a.list, b.list)
	m.object = mergeObject(a.object, b.object)
	return m, m.types != 0 && (!m.listed || len(m.values) > 0), nil
}

func mergeText(a, b textShape) (textShape, error) {
	m := textShape{given: a.given || b.given, low: max(a.low, b.low), high: lesser(a.high, b.high), pattern: a.pattern, format: a.format}
	for _, pair := range []struct{ a, b, to **node }{{&a.pattern, &b.pattern, &m.pattern}, {&a.format, &b.format, &m.format}} {
		switch {
		case *pair.a == nil:
			*pair.to = *pair.b
		case *pair.b != nil && (*pair.a).text != (*pair.b).text:
			return m, fail(*pair.b, "a string can't be held to two of these at once, the other is at %s", (*pair.a).path())
		}
	}
	return m, nil
}

func mergeNumber(a, b numberShape) numberShape {
	m := numberShape{given: a.given || b.given, low: a.low, high: a.high}
	if b.low != nil && (m.low == nil || m.low.beforeLow(b.low)) {
		m.low = b.low
	}
	if b.high != nil && (m.high == nil || b.high.beforeHigh(m.high)) {
		m.high = b.high
	}
	return m
}

func mergeList(a, b listShape) listShape {
	m := listShape{
		given: a.given || b.given, low: max(a.low, b.low), high: lesser(a.high, b.high),
		rest: a.rest.with(b.rest), restGiven: a.restGiven || b.restGiven,
	}
	// Where only one says what stands at a place, the other's items hold there.
	for i := range max(len(a.prefix), len(b.prefix)) {
		m.prefix = append(m.prefix, a.place(i).with(b.place(i)))
	}
	return m
}

func (l *listShape) place(i int) all {
	if i < len(l.prefix) {
		return l.prefix[i]
	}
	return l.rest
}

func mergeObject(a, b objectShape) objectShape {
	m := objectShape{
		given: a.given || b.given, low: max(a.low, b.low), high: lesser(a.high, b.high),
		rest: a.rest.with(b.rest), restGiven: a.restGiven || b.restGiven,
		required: slices.Clone(a.required), properties: map[string]all{},
	}
	for _, name := range slices.Concat(a.names, b.names) {
		if _, there := m.properties[name]; !there {
			m.names = append(m.names, name)
			m.properties[name] = a.property(name).with(b.property(name))
		}
	}
	for _, name := range b.required {
		if !slices.Contains(m.required, name) {
			m.required = append(m.required, name)
		}
	}
	return m
}

func (o *objectShape) property(name string) all {
	if schemas, named := o.properties[name]; named {
		return schemas
	}
	return o.rest
}

// lesser is the smaller of two upper bounds.
func lesser(a, b int) int {
	if a == unbounded || b != unbounded && b < a {
		return b
	}
	return a
}
