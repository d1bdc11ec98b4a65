package splinfer

import (
	"fmt"
	"reflect"
	"strings"
)

// Flags is a struct with one field per parameter, made from the table, for a
// command-line parser that reads struct tags (name, help, placeholder, group).
type Flags struct {
	value reflect.Value // of *struct of *string, bool for switches, []string for lists
}

// NewFlags returns flags of which none is set.
func NewFlags() Flags {
	fields := make([]reflect.StructField, len(parameters))
	for i, p := range parameters {
		help := fmt.Sprintf("%s (default %v)", p.Doc, p.Default)
		if p.Default == "" || p.Kind == Switch || p.Kind == List {
			help = p.Doc
		}
		kind := reflect.TypeFor[*string]()
		switch p.Kind {
		case Switch:
			kind = reflect.TypeFor[bool]()
		case List:
			kind = reflect.TypeFor[[]string]()
		}
		fields[i] = reflect.StructField{
			Name: "P" + strings.ReplaceAll(p.Name, "-", "_"),
			Type: kind,
			Tag:  reflect.StructTag(fmt.Sprintf(`name:%q help:%q placeholder:%q sep:"none" group:"Defaults of requests:"`, p.Name, help, placeholder(p.Kind))),
		}
	}
	return Flags{reflect.New(reflect.StructOf(fields))}
}

func placeholder(kind Kind) string {
	if kind == List {
		return "TEXT"
	}
	return strings.ToUpper(string(kind))
}

// Struct is the pointer to hand to the parser.
func (f Flags) Struct() any { return f.value.Interface() }

// Values are llama.cpp's defaults with the flags that were set.
func (f Flags) Values() (Values, error) {
	given := map[string]any{}
	for i, p := range parameters {
		switch field := f.value.Elem().Field(i).Interface().(type) {
		case bool:
			if field {
				given[p.Name] = true
			}
		case []string:
			if len(field) > 0 {
				given[p.Name] = field
			}
		case *string:
			if field == nil {
				continue
			}
			value, err := p.Parse(*field)
			if err != nil {
				return nil, fmt.Errorf("read --%s: %w", p.Name, err)
			}
			given[p.Name] = value
		}
	}
	return Defaults().With(given)
}
