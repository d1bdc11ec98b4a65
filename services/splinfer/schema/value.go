package schema

import "fmt"

// shape is an expression for each type that a shape allows.
func (b *builder) shape(s *shape) (ways []string, err error) {
	if s.listed {
		return b.listed(s)
	}
	if s.open() {
		return []string{b.basic("value")}, nil
	}
	add := func(way string, failed error) {
		if err == nil {
			err = failed
		}
		if way != "" {
			ways = append(ways, way)
		}
	}
	kinds := s.kinds()
	if kinds&typeObject != 0 {
		add(b.object(s))
	}
	if kinds&typeList != 0 {
		add(b.list(s))
	}
	if kinds&typeText != 0 {
		add(b.text(s.text))
	}
	if kinds&(typeNumber|typeInteger) != 0 {
		add(b.number(&s.number, kinds&typeNumber == 0), nil)
	}
	if kinds&typeBoolean != 0 {
		add(b.basic("boolean"), nil)
	}
	if kinds&typeNull != 0 {
		add(literal("null"), nil)
	}
	return ways, err
}

func (b *builder) number(n *numberShape, whole bool) string {
	switch {
	case n.low != nil || n.high != nil:
		return n.expression(whole)
	case whole:
		return b.basic("integer")
	}
	return b.basic("number")
}

// listed is an expression for each value of enum or const that fits.
func (b *builder) listed(s *shape) (ways []string, err error) {
	for _, v := range s.values {
		fits, err := s.fits(v)
		if err != nil {
			return nil, err
		}
		if fits {
			ways = append(ways, b.constant(v))
		}
	}
	return ways, nil
}

// fits says whether a value of enum or const fits the rest of the shape.
func (s *shape) fits(v *node) (bool, error) {
	of := typeNames[string(v.kind)]
	if v.kind == nodeNumber && !isWhole(v.text) {
		of = typeNumber
	}
	if s.types&of == 0 {
		return false, nil
	}
	switch v.kind {
	case nodeText:
		return s.text.fits(v.text)
	case nodeNumber:
		d, ok := parseDecimal(v.text)
		if !ok {
			return false, fail(v, "a number with more digits than are supported")
		}
		return s.number.fits(d), nil
	case nodeList:
		if s.list.given {
			return false, fail(v, "a list in enum or const beside items, minItems or maxItems is not supported")
		}
	case nodeObject:
		if s.object.given {
			return false, fail(v, "an object in enum or const beside properties is not supported")
		}
	}
	return true, nil
}

// constant writes one value.
func (b *builder) constant(v *node) string {
	switch v.kind {
	case nodeNull:
		return literal("null")
	case nodeBoolean:
		return literal(fmt.Sprint(v.truth))
	case nodeNumber:
		return literal(v.text)
	case nodeText:
		return literal(quoted(v.text))
	}
	ws, open, end, parts := b.basic("ws"), "{", "}", v.members
	if v.kind == nodeList {
		open, end, parts = "[", "]", v.items
	}
	all := []string{literal(open), ws}
	for i, part := range parts {
		if i > 0 {
			all = append(all, literal(","), ws)
		}
		if v.kind == nodeObject {
			all = append(all, literal(quoted(part.step)), ws, literal(":"), ws)
		}
		all = append(all, b.constant(part), ws)
	}
	return sequence(append(all, literal(end))...)
}
