package schema

// Bounds of what composed schemas come to.
const (
	maxShapes = 256     // alternatives of one value
	maxMerges = 1 << 20 // in the whole schema, each counted by the size of its parts
)

// expander turns schemas that hold together into shapes, one of which fits.
type expander struct {
	known  map[*node][]shape
	inside map[*node]bool // being expanded
	merges int
}

// shapes are the alternatives of schemas that hold together. None: nothing fits.
func (e *expander) shapes(schemas all, at *node) ([]shape, error) {
	shapes := []shape{openShape(at)}
	for _, n := range schemas {
		of, err := e.of(n)
		if err != nil {
			return nil, err
		}
		if shapes, err = e.cross(shapes, of, n); err != nil {
			return nil, err
		}
	}
	for i := range shapes {
		shapes[i].at = at
	}
	return shapes, nil
}

// of are the alternatives of one schema.
func (e *expander) of(n *node) ([]shape, error) {
	if n.kind == nodeBoolean {
		if n.truth {
			return []shape{openShape(n)}, nil
		}
		return nil, nil
	}
	if shapes, known := e.known[n]; known {
		return shapes, nil
	}
	if e.inside[n] {
		return nil, fail(n, "this refers to itself with no list or object between")
	}
	e.inside[n] = true
	defer delete(e.inside, n)
	own, err := base(n)
	if err != nil {
		return nil, err
	}
	shapes := []shape{own}
	for _, m := range n.members {
		alternatives, composed, err := e.composed(m)
		if err != nil {
			return nil, err
		}
		if composed {
			if shapes, err = e.cross(shapes, alternatives, m); err != nil {
				return nil, err
			}
		}
	}
	e.known[n] = shapes
	return shapes, nil
}

// composed are the alternatives that a keyword which joins schemas comes to.
func (e *expander) composed(m *node) (shapes []shape, composed bool, err error) {
	switch m.step {
	case "$ref":
		target, err := m.resolve()
		if err != nil {
			return nil, false, err
		}
		shapes, err := e.of(target)
		return shapes, true, err
	case "allOf", "anyOf", "oneOf":
	default:
		return nil, false, nil
	}
	if err := want(m, nodeList); err != nil {
		return nil, false, err
	}
	if len(m.items) == 0 {
		return nil, false, fail(m, "a list without a schema")
	}
	for _, item := range m.items {
		if err := wantSchema(item); err != nil {
			return nil, false, err
		}
	}
	if m.step == "allOf" {
		shapes, err := e.shapes(m.items, m)
		return shapes, true, err
	}
	for _, item := range m.items {
		of, err := e.of(item)
		if err != nil {
			return nil, false, err
		}
		if shapes = append(shapes, of...); len(shapes) > maxShapes {
			return nil, false, fail(m, "more than %d alternatives", maxShapes)
		}
	}
	return shapes, true, nil
}

// cross joins each of a with each of b and keeps what can be.
func (e *expander) cross(a, b []shape, at *node) (joined []shape, err error) {
	for _, x := range a {
		for _, y := range b {
			if e.merges += x.size() + y.size(); e.merges > maxMerges {
				return nil, fail(at, "the alternatives of anyOf and oneOf come to too many")
			}
			m, fits, err := merge(x, y)
			if err != nil {
				return nil, err
			}
			if fits {
				joined = append(joined, m)
			}
		}
	}
	if len(joined) > maxShapes {
		return nil, fail(at, "more than %d alternatives", maxShapes)
	}
	return joined, nil
}
