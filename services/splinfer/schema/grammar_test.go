package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"runa/services/hint"
)

// person is what people ask for most: an object with some properties.
const person = `{
	"title": "A person", "type": "object",
	"properties": {
		"name": {"type": "string", "minLength": 1},
		"age": {"type": "integer", "minimum": 0, "maximum": 150},
		"mail": {"type": ["string", "null"]},
		"tags": {"type": "array", "items": {"enum": ["a", "b c", "\"é\""]}, "maxItems": 3}
	},
	"required": ["name", "tags"]
}`

const tree = `{"$defs": {"node": {"type": "object", "properties": {
	"value": {"type": "integer"}, "children": {"type": "array", "items": {"$ref": "#/$defs/node"}}}, "required": ["value"]}},
	"$ref": "#/$defs/node"}`

// understood are schemas with texts that their grammars let through or not.
var understood = []struct {
	schema  string
	yes, no []string
}{
	{
		person,
		[]string{`{"name":"x","tags":[]}`, "{ \"name\": \"Anna\", \"age\": 150, \"mail\": null, \"tags\": [\"a\", \"b c\", \"\\\"é\\\"\"] }", "{\n  \"name\": \"x\",\n  \"tags\": [\n    \"a\"\n  ]\n}"},
		[]string{`{"name":"","tags":[]}`, `{"tags":[],"name":"x"}`, `{"name":"x"}`, `{"name":"x","age":151,"tags":[]}`, `{"name":"x","tags":["c"]}`, `{"name":"x","tags":["a","a","a","a"]}`, `{"name":"x","tags":[],"more":1}`, `{"name":"x","tags":[],}`, ` {"name":"x","tags":[]}`, `{"name":"x","tags":[]} `},
	},
	{tree, []string{`{"value":1}`, `{"value":1,"children":[]}`, `{"value":1,"children":[{"value":2,"children":[{"value":3}]},{"value":4}]}`}, []string{`{"value":1,"children":[1]}`, `{"children":[]}`}},
	{`true`, []string{`null`, `true`, `-0.5e+3`, `"a\n\u00e9\ud83d\ude00\/"`, `[]`, `{}`, `[1, {"a": [null]}, "x"]`, `{"": {"a": []}}`}, []string{``, `01`, `"\x"`, `"\ud83d"`, "\"\n\"", `[1,]`, `{"a"}`, `nul`, `1.`, `.5`, `1e1234`}},
	{`{}`, []string{`1`, `"x"`}, []string{`x`}},
	{`{"type":"boolean"}`, []string{`true`, `false`}, []string{`null`}},
	{`{"type":"integer"}`, []string{`0`, `-1`, `1234567890123456`}, []string{`1.0`, `01`, `12345678901234567`}},
	{`{"type":["integer","null"]}`, []string{`0`, `null`}, []string{`"0"`}},
	{`{"const":{"a":[1,2.50,null],"b":"x"}}`, []string{`{"a":[1,2.50,null],"b":"x"}`, `{ "a": [ 1, 2.50, null ], "b": "x" }`}, []string{`{"a":[1,2.5,null],"b":"x"}`}},
	{`{"enum":[1,"a",null],"type":["string","null"]}`, []string{`"a"`, `null`}, []string{`1`}},
	{`{"enum":["a","bb","ccc"],"maxLength":2,"pattern":"^[bc]"}`, []string{`"bb"`}, []string{`"a"`, `"ccc"`}},
	{`{"enum":[1,2,3.5,4],"type":"integer","minimum":2}`, []string{`2`, `4`}, []string{`1`, `3.5`}},
	{`{"enum":[1,2],"const":2.0}`, []string{`2.0`}, []string{`1`}},
	{`{"type":"string","maxLength":2}`, []string{`""`, `"ab"`, `"\u00e9\ud83d\uDE00"`, `"é😀"`}, []string{`"abc"`}},
	{`{"type":"string","minLength":2}`, []string{`"ab"`, `"abcdefg"`}, []string{`"a"`}},
	{`{"type":"string","minLength":250,"maxLength":10000}`, []string{`"` + strings.Repeat("x", 250) + `"`, `"` + strings.Repeat("x", 777) + `"`}, []string{`"` + strings.Repeat("x", 249) + `"`}},
	{`{"type":"string","maxLength":300}`, []string{`""`, `"` + strings.Repeat("x", 299) + `"`, `"` + strings.Repeat("x", 300) + `"`}, []string{`"` + strings.Repeat("x", 301) + `"`}},
	{`{"minLength":1}`, []string{`"a"`}, []string{`""`, `1`}},
	{`{"type":"string","pattern":"^(\\([0-9]{3}\\))?[0-9]{3}-[0-9]{4}$"}`, []string{`"555-1212"`, `"(888)555-1212"`}, []string{`"(800)FLOWERS"`, `"x555-1212"`, `"555-12123"`}},
	{`{"type":"string","pattern":"b+"}`, []string{`"b"`, `"abbc"`}, []string{`"ac"`}},
	{`{"type":"string","pattern":"^a|b$"}`, []string{`"axx"`, `"xxb"`, `"a"`}, []string{`"xax"`, `"bx"`}},
	{`{"type":"string","pattern":"^[^a]\"\\\\.\\n?$"}`, []string{`"\"\"\\x"`, `"b\"\\é\n"`, `"\u0001\"\\\\"`}, []string{`"a\"\\x"`}},
	{`{"type":"string","pattern":"^[a-z]{2,3}$","maxLength":3}`, []string{`"ab"`}, []string{`"abcd"`}},
	{`{"type":"string","pattern":""}`, []string{`""`, `"abc"`}, []string{`1`}},
	{`{"type":"string","format":"date"}`, []string{`"2024-02-29"`, `"2000-02-29"`, `"2023-12-31"`, `"2023-11-30"`}, []string{`"2023-02-29"`, `"1900-02-29"`, `"2023-11-31"`, `"2023-13-01"`, `"2023-00-01"`, `"2023-1-1"`}},
	{`{"type":"string","format":"time"}`, []string{`"23:59:59Z"`, `"00:00:00.123+05:30"`}, []string{`"24:00:00Z"`, `"12:00:00"`, `"12:60:00Z"`}},
	{`{"type":"string","format":"date-time","minLength":20}`, []string{`"2024-02-29T12:00:00Z"`}, []string{`"2024-02-29 12:00:00Z"`}},
	{`{"type":"string","format":"uuid"}`, []string{`"123e4567-e89b-12d3-A456-426614174000"`}, []string{`"123e4567e89b12d3a456426614174000"`}},
	{`{"type":"array"}`, []string{`[]`, `[1,"a"]`}, []string{`{}`}},
	{`{"items":{"type":"integer"},"minItems":2,"maxItems":3}`, []string{`[1,2]`, `[1, 2, 3]`}, []string{`[]`, `[1]`, `[1,2,3,4]`, `["a",1]`}},
	{`{"items":{"type":"null"},"maxItems":1000}`, []string{`[]`, `[` + strings.Repeat("null,", 999) + `null]`}, []string{`[` + strings.Repeat("null,", 1000) + `null]`}},
	{`{"type":"array","maxItems":0}`, []string{`[]`, `[ ]`}, []string{`[1]`}},
	{`{"prefixItems":[{"type":"integer"},{"type":"string"}]}`, []string{`[1,"a"]`}, []string{`[1]`, `[1,"a",2]`, `[]`}},
	{`{"prefixItems":[{"type":"integer"},{"type":"string"}],"minItems":0,"items":{"type":"null"}}`, []string{`[]`, `[1]`, `[1,"a",null,null]`}, []string{`[null]`, `[1,"a",1]`}},
	{`{"prefixItems":[{"type":"integer"}],"items":{"type":"null"},"minItems":2,"maxItems":3}`, []string{`[1,null]`, `[1,null,null]`}, []string{`[1]`, `[1,null,null,null]`}},
	{`{"prefixItems":[true,false],"minItems":0}`, []string{`[]`, `[1]`}, []string{`[1,1]`}},
	{`{"items":[{"const":1},{"const":2}]}`, []string{`[1,2]`}, []string{`[1,3]`}},
	{`{"type":"object"}`, []string{`{}`, `{"a":1,"b":{}}`}, []string{`[]`}},
	{`{"type":"object","additionalProperties":false}`, []string{`{}`}, []string{`{"a":1}`}},
	{`{"properties":{"a":{"const":1},"b":{"const":2},"c":{"const":3}}}`, []string{`{}`, `{"a":1}`, `{"b":2}`, `{"c":3}`, `{"a":1,"c":3}`, `{"b":2,"c":3}`, `{"a":1,"b":2,"c":3}`}, []string{`{"c":3,"a":1}`, `{"a":1,}`, `{,"a":1}`, `{"a":1"b":2}`}},
	{`{"properties":{"a":{"const":1},"b":{"const":2},"c":{"const":3}},"required":["b"]}`, []string{`{"b":2}`, `{"a":1,"b":2}`, `{"b":2,"c":3}`, `{"a":1,"b":2,"c":3}`}, []string{`{}`, `{"a":1}`, `{"a":1,"c":3}`}},
	{`{"properties":{"a":{"const":1},"ab":{"const":2},"\"":{"const":3}},"additionalProperties":{"type":"null"}}`, []string{`{}`, `{"a":1,"x":null}`, `{"abc":null,"b":null,"":null}`, `{"\"":3,"\\":null,"é":null,"aa":null}`}, []string{`{"a":null}`, `{"ab":null}`, `{"\u0061":null}`, `{"\"":null}`, `{"x":1}`}},
	{`{"type":"object","required":["a"]}`, []string{`{"a":1}`, `{"a":1,"b":2}`}, []string{`{}`, `{"b":2}`}},
	{`{"properties":{"a":{"const":1}},"required":["a","z"]}`, []string{`{"a":1,"z":[]}`}, []string{`{"a":1}`}},
	{`{"properties":{"a":false,"b":{"const":1}},"additionalProperties":{"const":2}}`, []string{`{"b":1,"c":2}`, `{}`}, []string{`{"a":2}`}},
	{`{"type":"object","additionalProperties":{"const":1},"minProperties":1,"maxProperties":2}`, []string{`{"a":1}`, `{"a":1,"b":1}`}, []string{`{}`, `{"a":1,"b":1,"c":1}`}},
	{`{"properties":{"a":{"const":1},"b":{"const":2}},"minProperties":2}`, []string{`{"a":1,"b":2}`}, []string{`{"a":1}`}},
	{`{"properties":{"a":{"const":1},"b":{"const":2}},"required":["b"],"maxProperties":1}`, []string{`{"b":2}`}, []string{`{"a":1,"b":2}`}},
	{`{"anyOf":[{"type":"integer"},{"type":"string","maxLength":1}]}`, []string{`1`, `"a"`}, []string{`"ab"`, `null`}},
	{`{"oneOf":[{"const":"a"},{"const":"b"}],"type":"string"}`, []string{`"a"`, `"b"`}, []string{`"c"`}},
	{`{"type":"object","properties":{"a":{"const":1},"b":{"const":2}},"anyOf":[{"required":["a"]},{"required":["b"]}]}`, []string{`{"a":1}`, `{"b":2}`, `{"a":1,"b":2}`}, []string{`{}`}},
	{`{"allOf":[{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]},{"properties":{"a":{"minimum":3},"b":{"const":1}}}]}`, []string{`{"a":3}`, `{"a":33,"b":1}`}, []string{`{"a":2}`, `{"b":1}`}},
	{`{"allOf":[{"properties":{"a":{"const":1}},"additionalProperties":false},{"properties":{"b":{"const":1}}}]}`, []string{`{"a":1}`, `{}`}, []string{`{"b":1}`}},
	{`{"allOf":[{"prefixItems":[{"type":"integer"}]},{"items":{"minimum":5}}]}`, []string{`[5]`}, []string{`[4]`}},
	{`{"allOf":[{"enum":[1,2,3]},{"enum":[2,3,4]}],"maximum":2}`, []string{`2`}, []string{`3`, `1`}},
	{`{"$ref":"#/definitions/a~1b","definitions":{"a/b":{"type":"null"}}}`, []string{`null`}, []string{`1`}},
	{`{"$ref":"#/$defs/a%22b","$defs":{"a\"b":{"type":"null"}}}`, []string{`null`}, []string{`1`}},
	{`{"type":["array","null"],"items":{"$ref":"#"}}`, []string{`null`, `[]`, `[null,[[],null]]`}, []string{`[1]`}},
	{`{"anyOf":[{"const":0},{"prefixItems":[{"$ref":"#"}]}]}`, []string{`0`, `[[[0]]]`}, []string{`[]`, `[[[]]]`}},
}

func TestAGrammarLetsThroughWhatFitsAndNothingElse(t *testing.T) {
	for _, c := range understood {
		t.Run(short(c.schema), func(t *testing.T) {
			gbnf, err := Grammar([]byte(c.schema))
			if err != nil {
				t.Fatal(err)
			}
			for _, text := range c.yes {
				if !matches(t, gbnf, text) {
					t.Errorf("%s does not match\n%s", short(text), gbnf)
				}
			}
			for _, text := range c.no {
				if matches(t, gbnf, text) {
					t.Errorf("%s matches\n%s", short(text), gbnf)
				}
			}
		})
	}
}

func short(s string) string { return s[:min(len(s), 100)] }

func TestNumbersAreHeldToTheirBounds(t *testing.T) {
	bounds := []string{"-1000.5", "-101", "-100", "-10.25", "-9", "-1", "-0.5", "-0.05", "0", "0.05", "0.5", "1", "1.5", "9", "9.99", "10", "10.05", "99", "100", "101.125", "1e3"}
	texts := []string{"0", "1000", "-1000", "999.9", "1000.0", "1000.4", "1000.6"}
	for _, b := range bounds {
		texts = append(texts, b, strings.TrimPrefix(b, "-"), b+"1", strings.TrimSuffix(b, "5"), strings.Split(b, ".")[0], strings.Split(b, ".")[0]+"1", strings.Split(b, ".")[0]+".0", strings.Split(b, ".")[0]+".01", strings.Split(b, ".")[0]+".5")
	}
	for _, kind := range []string{"number", "integer"} {
		for i, low := range bounds {
			for _, high := range bounds[i:] {
				for _, names := range [][2]string{{"minimum", "maximum"}, {"exclusiveMinimum", "exclusiveMaximum"}, {"minimum", "exclusiveMaximum"}, {"minimum", "title"}, {"title", "exclusiveMaximum"}} {
					source := fmt.Sprintf(`{"type":%q,%q:%s,%q:%s}`, kind, names[0], low, names[1], high)
					checkNumbers(t, source, kind, texts)
				}
			}
		}
	}
}

func checkNumbers(t *testing.T, source, kind string, texts []string) {
	t.Helper()
	schema, err := decoded(source)
	if err != nil {
		t.Fatal(err)
	}
	gbnf, err := Grammar([]byte(source))
	var g *grammar
	if err == nil {
		if g, err = checkedGrammar(gbnf); err != nil {
			t.Fatal(err)
		}
	}
	for _, text := range texts {
		value, err := decoded(text)
		if err != nil || strings.Contains(text, "e") || strings.HasPrefix(text, "-0") && strings.Trim(text, "-0.") == "" || kind == "integer" && strings.Contains(text, ".") {
			continue // no JSON, or a way of writing that bounds leave out
		}
		if want, got := valid(schema, schema, value), g != nil && g.matches(text); got != want {
			t.Errorf("%s: %s matches: %v, fits: %v\n%s", source, text, got, want, gbnf)
		}
	}
}

func TestWhatIsNotUnderstoodIsToldWithItsPlace(t *testing.T) {
	for _, c := range []struct{ schema, want string }{
		{``, "line 1, column 1: this is not JSON: unexpected end of JSON input"},
		{"{\n \"type\" \"x\"}", "line 2, column 9: this is not JSON: invalid character '\"' after object key"},
		{"\"\xff\"", "it is not text in UTF-8"},
		{`"string"`, "#: a schema expected, not type string"},
		{strings.Repeat(" ", MaxSchemaBytes+1), "it has 65537 bytes, at most 65536 are read"},
		{strings.Repeat(`{"items":`, 100) + `{}` + strings.Repeat(`}`, 100), "lists and objects stand in each other over 64 deep"},
		{`{"type":"string","type":"string"}`, `#: "type" is there twice`},
		{`{"properties":{"a/b":{"requierd":[]}}}`, "#/properties/a~1b/requierd: this keyword is not supported"},
		{`{"type":"strnig"}`, "#/type: this is no type"},
		{`{"type":["string",1]}`, "#/type/1: this is no type"},
		{`{"type":[]}`, "#/type: a list without a type"},
		{`{"not":{}}`, "#/not: this keyword is not supported"},
		{`{"items":{"patternProperties":{}}}`, "#/items/patternProperties: this keyword is not supported"},
		{`{"multipleOf":2}`, "#/multipleOf: this keyword is not supported"},
		{`{"uniqueItems":true}`, "#/uniqueItems: only false is supported here"},
		{`{"enum":[]}`, "#/enum: a list without a value"},
		{`{"enum":{}}`, "#/enum: type array expected, not object"},
		{`{"anyOf":[]}`, "#/anyOf: a list without a schema"},
		{`{"anyOf":[{"type":"null"},1]}`, "#/anyOf/1: a schema expected, not type number"},
		{`{"properties":{"a":1}}`, "#/properties/a: a schema expected, not type number"},
		{`{"items":1}`, "#/items: a schema expected, not type number"},
		{`{"prefixItems":{}}`, "#/prefixItems: type array expected, not object"},
		{`{"required":[1]}`, "#/required/0: type string expected, not number"},
		{`{"minLength":-1}`, "#/minLength: a whole number that is not negative expected"},
		{`{"minLength":1.5}`, "#/minLength: a whole number that is not negative expected"},
		{`{"minLength":1000000}`, "#/minLength: more than 100000 are not supported"},
		{`{"minimum":"1"}`, "#/minimum: type number expected, not string"},
		{`{"minimum":0.123456789012345678901}`, "#/minimum: a bound with more digits than are supported"},
		{`{"minimum":1e999999999}`, "#/minimum: a bound with more digits than are supported"},
		{`{"minimum":1e30}`, "#: no value fits this schema"},
		{`{"format":"email"}`, "#/format: this format is not supported"},
		{`{"format":"date","maxLength":9}`, "#/format: this and minLength or maxLength together are not supported"},
		{`{"pattern":"(?=a)"}`, "#/pattern: this pattern is not supported"},
		{`{"pattern":"a\\b"}`, "#/pattern: this pattern is not supported: it uses \\b"},
		{`{"pattern":"(a)\\1"}`, "#/pattern: this pattern is not supported"},
		{`{"pattern":"a^b"}`, "#/pattern: this pattern is not supported: it uses ^ in the middle"},
		{`{"pattern":"(?i)a"}`, "#/pattern: this pattern is not supported: it uses (?i)"},
		{`{"pattern":"(a*)*"}`, "#/pattern: this pattern is not supported: it uses a repetition without end of what may be empty"},
		{`{"pattern":"a","maxLength":3}`, "#/pattern: this and minLength or maxLength together are not supported"},
		{`{"pattern":"a","format":"date"}`, "#/pattern: format and pattern together are not supported"},
		{`{"allOf":[{"pattern":"a"},{"pattern":"b"}]}`, "#/allOf/1/pattern: a string can't be held to two of these at once, the other is at #/allOf/0/pattern"},
		{`{"$ref":"http://x/y"}`, "#/$ref: only a place in the same document can be referred to"},
		{`{"$ref":"#/$defs/a"}`, "#/$ref: there is nothing at the place it refers to"},
		{`{"$ref":"#/x-a","x-a":3}`, "#/$ref: what it refers to is no schema but of type number"},
		{`{"$ref":"#"}`, "#: this refers to itself with no list or object between"},
		{`{"anyOf":[{"type":"null"},{"$ref":"#"}]}`, "#: this refers to itself with no list or object between"},
		{`{"properties":{"a":{"$ref":"#"}},"required":["a"]}`, "#: a value that fits can never end"},
		{`{"items":{"$ref":"#"},"minItems":1}`, "#: a value that fits can never end"},
		{`false`, "#: no value fits this schema"},
		{`{"type":"string","const":1}`, "#: no value fits this schema"},
		{`{"properties":{"a":{"allOf":[{"type":"string"},{"type":"null"}]}},"required":["a"]}`, "#/properties/a: no value fits this schema"},
		{`{"minimum":3,"maximum":2}`, "#: no value fits this schema"},
		{`{"items":{},"minItems":3,"maxItems":2}`, "#: no value fits this schema"},
		{`{"type":"object","properties":{"a":{}},"maxProperties":3,"additionalProperties":true}`, "#: minProperties and maxProperties beside properties are not supported"},
		{`{"enum":[[1]],"minItems":1}`, "#/enum/0: a list in enum or const beside items, minItems or maxItems is not supported"},
		{`{"enum":["a"],"format":"date"}`, "#/format: format beside enum or const is not supported"},
	} {
		t.Run(short(c.schema), func(t *testing.T) {
			gbnf, err := Grammar([]byte(c.schema))
			if err == nil || !strings.Contains(err.Error(), c.want) || !errors.Is(err, ErrSchema) {
				t.Fatalf("got %v\nwant %s\n%s", err, c.want, gbnf)
			}
			if len(err.Error()) > 300 {
				t.Errorf("%d bytes of error: %v", len(err.Error()), err)
			}
		})
	}
}

func TestUnknownKeywordsComeWithTheKnownOnes(t *testing.T) {
	_, err := Grammar([]byte(`{"not":{}}`))
	if advice := hint.Of(err); !strings.HasPrefix(advice, "known: $ref, additionalProperties, allOf, anyOf, ") {
		t.Errorf("got %q", advice)
	}
}

// many is an object with n properties, each made by one.
func many(n int, one string) string {
	properties := map[string]json.RawMessage{}
	for i := range n {
		properties[fmt.Sprintf("property%d", i)] = json.RawMessage(one)
	}
	text, _ := json.Marshal(map[string]any{"type": "object", "properties": properties})
	return string(text)
}

func TestHostileSchemasEndSoonWithAnError(t *testing.T) {
	var doubling strings.Builder // each is the next one twice
	doubling.WriteString(`{"$ref":"#/$defs/0","$defs":{`)
	for i := range 60 {
		fmt.Fprintf(&doubling, `"%d":{"anyOf":[{"$ref":"#/$defs/%d"},{"allOf":[{"$ref":"#/$defs/%d"},{"minimum":%d}]}]},`, i, i+1, i+1, i)
	}
	doubling.WriteString(`"60":{"type":"null"}}}`)
	for name, source := range map[string]string{
		"doubling":        doubling.String(),
		"many properties": many(1001, `{}`),
		"large":           many(700, `{"type":"integer","minimum":-1234567,"maximum":7654321}`),
		"crossing":        `{"allOf":[` + strings.Repeat(`{"anyOf":[{"minimum":1},{"maximum":2},{"minLength":3},{"items":true}]},`, 20) + `{}]}`,
		"long name":       `{"additionalProperties":true,"properties":{"` + strings.Repeat("a", 60000) + `":{}}}`,
		"many values":     `{"enum":[` + strings.Repeat(`0,`, 5000) + `0]}`,
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Grammar([]byte(source)); !errors.Is(err, ErrSchema) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAHundredPropertiesAreNoTrouble(t *testing.T) {
	if gbnf, err := Grammar([]byte(many(100, `{"type":"string","maxLength":500}`))); err != nil {
		t.Error(err)
	} else {
		t.Logf("%d bytes", len(gbnf))
	}
}

func FuzzGrammar(f *testing.F) {
	for _, source := range []string{
		person, tree, `{"type":"number","minimum":-1.5,"exclusiveMaximum":1e2}`, `{"type":"string","pattern":"^([^a-c]|\\d{2,3})+?.$"}`,
		`{"anyOf":[{"const":0},{"prefixItems":[{"$ref":"#"},false],"items":{"format":"date-time"},"minItems":1}],"$defs":{"a":{}}}`,
		`{"allOf":[{"properties":{"a":{"enum":[1,"x",[{}]]}},"additionalProperties":{"type":["null","object"]}},{"required":["b"],"maxProperties":3}]}`,
	} {
		f.Add([]byte(source))
	}
	f.Fuzz(func(t *testing.T, source []byte) {
		gbnf, err := Grammar(source)
		if err != nil {
			if !errors.Is(err, ErrSchema) {
				t.Fatalf("an error of another kind: %v", err)
			}
			return
		}
		if err := CheckGrammar(gbnf); err != nil {
			t.Fatalf("%v in\n%s", err, gbnf)
		}
	})
}
