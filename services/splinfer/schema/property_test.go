package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// drawSchema draws a schema of a few keywords; those with alternatives and
// lists hold others.
func drawSchema(t *rapid.T, depth int) map[string]any {
	kinds := []string{"null", "boolean", "integer", "number", "text", "pattern", "format", "enum"}
	if depth > 0 {
		kinds = append(kinds, "list", "tuple", "object", "map", "anyOf", "allOf", "any")
	}
	s := map[string]any{}
	below := func() map[string]any { return drawSchema(t, depth-1) }
	small := rapid.IntRange(0, 3)
	switch kind := rapid.SampledFrom(kinds).Draw(t, "kind"); kind {
	case "null", "boolean":
		s["type"] = kind
	case "integer", "number":
		s["type"] = kind
		low := rapid.IntRange(-120, 120).Draw(t, "low")
		s[rapid.SampledFrom([]string{"minimum", "exclusiveMinimum"}).Draw(t, "from")] = json.Number(fmt.Sprint(float64(low) / 4))
		s[rapid.SampledFrom([]string{"maximum", "exclusiveMaximum"}).Draw(t, "to")] = json.Number(fmt.Sprint(low + 5 + rapid.IntRange(0, 999).Draw(t, "more")))
	case "text":
		low := small.Draw(t, "low")
		s["type"], s["minLength"], s["maxLength"] = "string", number(low), number(low+small.Draw(t, "more"))
	case "pattern":
		s["type"] = "string"
		s["pattern"] = rapid.SampledFrom([]string{`^a+b?$`, `b`, `^(a|"b\\)*$`, `^[^a]{1,2}$`, `^a|b$`, `^.\n$`}).Draw(t, "pattern")
	case "format":
		s["type"], s["format"] = "string", rapid.SampledFrom([]string{"date", "time", "date-time", "uuid"}).Draw(t, "format")
	case "enum":
		s["enum"] = []any{nil, true, number(-3), "a\"\n", []any{number(1)}, map[string]any{"a": "b"}}[rapid.IntRange(0, 5).Draw(t, "first"):]
	case "list":
		s["type"], s["items"], s["minItems"] = "array", below(), number(small.Draw(t, "low"))
	case "tuple":
		s["prefixItems"], s["minItems"], s["maxItems"] = []any{below(), below()}, number(small.Draw(t, "low")), number(3)
		if rapid.Bool().Draw(t, "rest") {
			s["items"] = below()
		}
		s["type"] = "array"
	case "object":
		s["type"] = "object"
		s["properties"] = map[string]any{"a": below(), "ab": below(), "\"": below()}
		s["required"] = [][]any{{}, {"a"}, {"ab", "\""}}[rapid.IntRange(0, 2).Draw(t, "required")]
		if rapid.Bool().Draw(t, "open") {
			s["additionalProperties"] = below()
		}
	case "map":
		s["type"], s["additionalProperties"], s["maxProperties"] = "object", below(), number(small.Draw(t, "high"))
	case "anyOf":
		s["anyOf"] = []any{below(), below()}
	case "allOf":
		s["allOf"] = []any{below(), map[string]any{"anyOf": []any{below(), true}}}
	}
	return s
}

func number(n int) json.Number { return json.Number(fmt.Sprint(n)) }

// sentence draws a text that a grammar allows. Deep down it takes what ends soonest.
type sentence struct {
	*grammar
	t     *rapid.T
	text  strings.Builder
	depth int
	cost  []int // of each rule, in rules that it needs at least
}

func (g *grammar) draw(t *rapid.T) string {
	s := &sentence{grammar: g, t: t, cost: make([]int, len(g.rules))}
	for i := range s.cost {
		s.cost[i] = far
	}
	for range g.rules {
		for i := range g.rules {
			s.cost[i] = min(far, 1+s.cheapest(g.rules[i].alternates))
		}
	}
	s.alternates(g.rules[g.index["root"]].alternates)
	return s.text.String()
}

const far = 1 << 20

func (s *sentence) cheapest(alternates [][]item) int {
	best := far
	for _, sequence := range alternates {
		most := 0
		for i := range sequence {
			most = max(most, s.costOf(&sequence[i]))
		}
		best = min(best, most)
	}
	return best
}

func (s *sentence) costOf(part *item) int {
	switch part.kind {
	case itemRule:
		return s.cost[part.rule]
	case itemGroup:
		return s.cheapest(part.alternates)
	case itemRepeated:
		if part.low > 0 {
			return s.costOf(&part.of[0])
		}
	}
	return 0
}

func (s *sentence) alternates(alternates [][]item) {
	s.depth++
	defer func() { s.depth-- }()
	i := rapid.IntRange(0, len(alternates)-1).Draw(s.t, "alternative")
	if s.depth > 40 {
		i = 0
		for k := range alternates {
			if s.cheapest(alternates[k:k+1]) < s.cheapest(alternates[i:i+1]) {
				i = k
			}
		}
	}
	for k := range alternates[i] {
		s.item(&alternates[i][k])
	}
}

func (s *sentence) item(part *item) {
	switch part.kind {
	case itemLiteral:
		s.text.WriteString(string(part.text))
	case itemClass:
		r := part.ranges[rapid.IntRange(0, len(part.ranges)-1).Draw(s.t, "range")]
		s.text.WriteRune(r.first + rune(rapid.IntRange(0, int(r.last-r.first)).Draw(s.t, "character")))
	case itemRule:
		s.alternates(s.rules[part.rule].alternates)
	case itemGroup:
		s.alternates(part.alternates)
	case itemRepeated:
		n := part.low
		if s.depth <= 40 {
			high := part.low + 2
			if part.high != unbounded {
				high = min(high, part.high)
			}
			n = rapid.IntRange(part.low, high).Draw(s.t, "times")
		}
		for range n {
			s.item(&part.of[0])
		}
	}
}

// drawn is a schema as JSON with its grammar, and a value that fits it.
type drawn struct {
	schema map[string]any
	source []byte
	gbnf   string
	value  any
	known  bool
}

// readable are schemas that Grammar reads. It refuses some that drawSchema makes,
// such as two patterns at once or one that nothing fits, and may refuse only by
// saying so.
var readable = rapid.Custom(func(t *rapid.T) drawn {
	d := drawn{schema: drawSchema(t, 2)}
	var err error
	if d.source, err = json.Marshal(d.schema); err != nil {
		t.Fatal(err)
	}
	if d.gbnf, err = Grammar(d.source); err != nil && !errors.Is(err, ErrSchema) {
		t.Fatalf("%s: %v", d.source, err)
	}
	return d
}).Filter(func(d drawn) bool { return d.gbnf != "" })

// withValue are those of them of which drawValue knows a value.
var withValue = rapid.Custom(func(t *rapid.T) drawn {
	d := readable.Draw(t, "schema")
	d.value, d.known = drawValue(t, d.schema)
	return d
}).Filter(func(d drawn) bool { return d.known })

func TestWhatAGrammarAllowsFitsItsSchema(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := readable.Draw(t, "schema")
		source, gbnf := d.source, d.gbnf
		g, err := checkedGrammar(gbnf)
		if err != nil {
			t.Fatal(err)
		}
		text := g.draw(t)
		value, err := decoded(text)
		if err != nil {
			t.Fatalf("%s lets through %q, which is no JSON: %v", source, text, err)
		}
		read, err := decoded(string(source))
		if err != nil {
			t.Fatal(err)
		}
		if !valid(read, read, value) {
			t.Fatalf("%s lets through %s\n%s", source, text, gbnf)
		}
		if !g.matches(text) {
			t.Fatalf("the matcher does not know %q in\n%s", text, gbnf)
		}
	})
}

// drawValue draws a value that fits a schema of drawSchema's, false where it
// does not know one. Properties come in the order of their names, as json.Marshal has them.
func drawValue(t *rapid.T, s map[string]any) (any, bool) {
	for _, keyword := range []string{"anyOf", "allOf"} {
		if list, there := s[keyword].([]any); there {
			i := 0
			if keyword == "anyOf" {
				i = rapid.IntRange(0, len(list)-1).Draw(t, "branch")
			}
			return drawValue(t, list[i].(map[string]any))
		}
	}
	if values, there := s["enum"].([]any); there {
		return rapid.SampledFrom(values).Draw(t, "value"), true
	}
	switch s["type"] {
	case "null":
		return nil, true
	case "boolean":
		return rapid.Bool().Draw(t, "boolean"), true
	case "integer":
		return number(rapid.IntRange(-100, 1100).Draw(t, "integer")), true
	case "number":
		return json.Number(fmt.Sprint(float64(rapid.IntRange(-800, 8800).Draw(t, "eighths")) / 8)), true
	case "string":
		return strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "\"b\\", "\n", "é", "\U0001f600", "\x01"}), 0, 4).Draw(t, "text"), ""), true
	case "array":
		return drawList(t, s)
	case "object":
		return drawObject(t, s)
	}
	return nil, false
}

func drawList(t *rapid.T, s map[string]any) (any, bool) {
	list := []any{}
	prefix, _ := s["prefixItems"].([]any)
	items, more := s["items"].(map[string]any)
	most := len(prefix)
	if more {
		most += 2
	}
	for i := range rapid.IntRange(0, most).Draw(t, "length") {
		of := items
		if i < len(prefix) {
			of = prefix[i].(map[string]any)
		}
		v, ok := drawValue(t, of)
		if !ok {
			return nil, false
		}
		list = append(list, v)
	}
	return list, true
}

func drawObject(t *rapid.T, s map[string]any) (any, bool) {
	object := map[string]any{}
	properties, _ := s["properties"].(map[string]any)
	other, open := s["additionalProperties"].(map[string]any)
	for _, name := range []string{"\"", "a", "ab", "zz", "é"} {
		of, named := properties[name].(map[string]any)
		if !named && open {
			of, named = other, true
		}
		if named && rapid.Bool().Draw(t, "there") {
			v, ok := drawValue(t, of)
			if !ok {
				return nil, false
			}
			object[name] = v
		}
	}
	return object, true
}

// closeUp forbids in all of a schema what grammars leave out.
func closeUp(schema any) {
	switch s := schema.(type) {
	case []any:
		for _, sub := range s {
			closeUp(sub)
		}
	case map[string]any:
		for _, sub := range s {
			closeUp(sub)
		}
		for with, without := range map[string]string{"properties": "additionalProperties", "prefixItems": "items"} {
			if _, named := s[with]; named && s[without] == nil {
				s[without] = false
			}
		}
	}
}

func TestWhatFitsASchemaIsAllowedByItsGrammar(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := withValue.Draw(t, "schema")
		source, gbnf, value := d.source, d.gbnf, d.value
		read, err := decoded(string(source))
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		if rapid.Bool().Draw(t, "indent") {
			if text, err = json.MarshalIndent(value, "", "  "); err != nil {
				t.Fatal(err)
			}
		}
		again, err := decoded(string(text))
		if err != nil {
			t.Fatal(err)
		}
		g, err := checkedGrammar(gbnf)
		if err != nil {
			t.Fatal(err)
		}
		got := g.matches(string(text))
		if got && !valid(read, read, again) {
			t.Fatalf("%s: %s matches and does not fit\n%s", source, text, gbnf)
		}
		closeUp(read)
		if !got && valid(read, read, again) {
			t.Fatalf("%s: %s fits and does not match\n%s", source, text, gbnf)
		}
	})
}
