package schema

import (
	"bytes"
	"encoding/json"
	"math/big"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// valid says whether a value fits a schema, by the words of draft 2020-12 and
// with nothing of this package: it is what grammars are held to.
func valid(schema, root, value any) bool {
	s, ok := schema.(map[string]any)
	if !ok {
		return schema == true
	}
	for keyword, argument := range s {
		if !validKeyword(keyword, argument, s, root, value) {
			return false
		}
	}
	return true
}

func validKeyword(keyword string, argument any, s map[string]any, root, value any) bool {
	each := func(check func(sub any) bool) (fit int) {
		for _, sub := range argument.([]any) {
			if check(sub) {
				fit++
			}
		}
		return fit
	}
	fits := func(sub any) bool { return valid(sub, root, value) }
	switch keyword {
	case "$ref":
		return fits(pointed(root, argument.(string)))
	case "allOf":
		return each(fits) == len(argument.([]any))
	case "anyOf", "oneOf": // as we read it
		return each(fits) > 0
	case "type":
		if name, one := argument.(string); one {
			argument = []any{name}
		}
		return each(func(name any) bool { return hasType(value, name.(string)) }) > 0
	case "enum":
		return each(func(v any) bool { return same(v, value) }) > 0
	case "const":
		return same(argument, value)
	}
	switch value := value.(type) {
	case string:
		return validText(keyword, argument, value)
	case json.Number:
		return validNumber(keyword, argument, value)
	case []any:
		return validList(keyword, argument, s, root, value)
	case map[string]any:
		return validObject(keyword, argument, s, root, value)
	}
	return true
}

func validText(keyword string, argument any, value string) bool {
	switch keyword {
	case "minLength":
		return utf8.RuneCountInString(value) >= integer(argument)
	case "maxLength":
		return utf8.RuneCountInString(value) <= integer(argument)
	case "pattern":
		return regexp.MustCompile(argument.(string)).MatchString(value)
	case "format":
		switch argument {
		case "date":
			_, err := time.Parse(time.DateOnly, value)
			return err == nil
		case "date-time":
			_, err := time.Parse(time.RFC3339Nano, value)
			return err == nil
		case "time":
			_, err := time.Parse(time.RFC3339Nano, "2000-01-01T"+value)
			return err == nil
		case "uuid":
			return regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`).MatchString(value)
		}
	}
	return true
}

func validNumber(keyword string, argument any, value json.Number) bool {
	compare := func() int { return rational(value).Cmp(rational(argument.(json.Number))) }
	switch keyword {
	case "minimum":
		return compare() >= 0
	case "maximum":
		return compare() <= 0
	case "exclusiveMinimum":
		return compare() > 0
	case "exclusiveMaximum":
		return compare() < 0
	}
	return true
}

func validList(keyword string, argument any, s map[string]any, root any, value []any) bool {
	prefix, _ := s["prefixItems"].([]any)
	switch keyword {
	case "minItems":
		return len(value) >= integer(argument)
	case "maxItems":
		return len(value) <= integer(argument)
	case "prefixItems":
		for i, v := range value {
			if i < len(prefix) && !valid(prefix[i], root, v) {
				return false
			}
		}
	case "items":
		for i, v := range value {
			if i >= len(prefix) && !valid(argument, root, v) {
				return false
			}
		}
	}
	return true
}

func validObject(keyword string, argument any, s map[string]any, root any, value map[string]any) bool {
	properties, _ := s["properties"].(map[string]any)
	switch keyword {
	case "minProperties":
		return len(value) >= integer(argument)
	case "maxProperties":
		return len(value) <= integer(argument)
	case "required":
		return !slices.ContainsFunc(argument.([]any), func(name any) bool { _, there := value[name.(string)]; return !there })
	case "properties":
		for name, v := range value {
			if sub, named := properties[name]; named && !valid(sub, root, v) {
				return false
			}
		}
	case "additionalProperties":
		for name, v := range value {
			if _, named := properties[name]; !named && !valid(argument, root, v) {
				return false
			}
		}
	}
	return true
}

func pointed(root any, pointer string) any {
	for step := range strings.SplitSeq(strings.TrimPrefix(strings.TrimPrefix(pointer, "#"), "/"), "/") {
		if step != "" {
			root = root.(map[string]any)[step]
		}
	}
	return root
}

func hasType(value any, name string) bool {
	switch v := value.(type) {
	case nil:
		return name == "null"
	case bool:
		return name == "boolean"
	case string:
		return name == "string"
	case []any:
		return name == "array"
	case map[string]any:
		return name == "object"
	case json.Number:
		return name == "number" || name == "integer" && rational(v).IsInt()
	}
	return false
}

func same(a, b any) bool {
	x, xIs := a.(json.Number)
	y, yIs := b.(json.Number)
	if xIs && yIs {
		return rational(x).Cmp(rational(y)) == 0
	}
	return reflect.DeepEqual(a, b)
}

func rational(n json.Number) *big.Rat {
	r, ok := new(big.Rat).SetString(n.String())
	if !ok {
		panic("no number: " + n.String())
	}
	return r
}

func integer(v any) int {
	n, _ := v.(json.Number).Int64()
	return int(n)
}

// decoded is a JSON text as a value, numbers as they are written.
func decoded(text string) (value any, err error) {
	if !json.Valid([]byte(text)) {
		err = json.Unmarshal([]byte(text), &value)
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.UseNumber()
	err = d.Decode(&value)
	return value, err
}
