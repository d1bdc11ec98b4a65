package splinfer

import (
	"fmt"
	"math"
	"reflect"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"runa/services/hint"
	"runa/services/rmp"
)

// Kind is the type of a parameter's value.
type Kind string

// The kinds of parameters.
const (
	Integer Kind = "integer"
	Number  Kind = "number"
	Switch  Kind = "boolean"
	Text    Kind = "text"
	List    Kind = "list of texts"
)

// Parameter describes one value that shapes an answer. Its name is that of
// llama.cpp's command line; so are defaults, which llama.cpp's common.h gives.
type Parameter struct {
	Name     string
	Kind     Kind
	Default  any     // int64, float64, bool, string or []string, as Kind says
	Min, Max float64 // bounds of integers and numbers, both included
	Doc      string
}

// parameters is the one table behind command-line flags and requests.
var parameters = []Parameter{
	{"n-predict", Integer, int64(-1), -1, 1 << 24, "most tokens to generate; -1: until the context is full"},
	{"seed", Integer, int64(-1), -1, math.MaxUint32, "seed of the random draw; -1: a new one for each request"},
	{"temp", Number, 0.8, 0, 100, "temperature; 0: always the likeliest token"},
	{"top-k", Integer, int64(40), 0, math.MaxInt32, "draw from the k likeliest tokens; 0: off"},
	{"top-p", Number, 0.95, 0, 1, "draw from the likeliest tokens that together have this probability; 1: off"},
	{"min-p", Number, 0.05, 0, 1, "least probability relative to the likeliest token; 0: off"},
	{"typical-p", Number, 1.0, 0, 1, "locally typical sampling; 1: off"},
	{"top-n-sigma", Number, -1.0, -1, 100, "draw from the tokens within n standard deviations of the likeliest; -1: off"},
	{"dynatemp-range", Number, 0.0, 0, 100, "temperature varies by this much with how sure the model is; 0: off"},
	{"dynatemp-exp", Number, 1.0, 0, 100, "how the model's uncertainty maps to temperature"},
	{"xtc-probability", Number, 0.0, 0, 1, "chance of leaving out the likeliest tokens but one; 0: off"},
	{"xtc-threshold", Number, 0.1, 0, 1, "probability a token needs to be left out by it; over 0.5: off"},
	{"min-keep", Integer, int64(0), 0, math.MaxInt32, "tokens that top-p, min-p, typical-p and xtc leave at least"},
	{"repeat-last-n", Integer, int64(64), -1, 1 << 20, "how many tokens back penalties look; 0: off, -1: all the model can"},
	{"repeat-penalty", Number, 1.0, 0.01, 100, "penalty on repeated tokens; 1: off"},
	{"presence-penalty", Number, 0.0, -100, 100, "penalty on tokens that are there at all; 0: off"},
	{"frequency-penalty", Number, 0.0, -100, 100, "penalty per occurrence of a token; 0: off"},
	{"dry-multiplier", Number, 0.0, 0, 100, "penalty on repeating long passages (DRY); 0: off"},
	{"dry-base", Number, 1.75, 0, 100, "how fast DRY's penalty grows with a passage's length"},
	{"dry-allowed-length", Integer, int64(2), 0, 1 << 20, "passages up to this many tokens are free of DRY's penalty"},
	{"dry-penalty-last-n", Integer, int64(-1), -1, 1 << 20, "how many tokens back DRY looks; 0: off, -1: all the model can"},
	{"dry-sequence-breaker", List, []string{"\n", ":", "\"", "*"}, 0, 0, "texts that end a passage for DRY"},
	{"samplers", List, []string(nil), 0, 0, "which samplers run, in which order (penalties, dry, top_n_sigma, top_k, typ_p, top_p, min_p, xtc, temperature)"},
	{"logit-bias", List, []string(nil), 0, 0, "what is added to the chance of tokens, such as 15043+1.5 or 15043-inf"},
	{"mirostat", Integer, int64(0), 0, 2, "Mirostat version; top-k, top-p, min-p, typical-p are then not used; 0: off"},
	{"mirostat-lr", Number, 0.1, 0, 1, "Mirostat's learning rate eta"},
	{"mirostat-ent", Number, 5.0, 0, 100, "Mirostat's target entropy tau"},
	{"ignore-eos", Switch, false, 0, 0, "go on where the model would end"},
	{"grammar", Text, "", 0, 0, "GBNF grammar the answer must follow"},
	{"json-schema", Text, "", 0, 0, "JSON schema the answer must follow; {} is any JSON"},
	{"stop", List, []string(nil), 0, 0, "texts before which the answer ends"},
	{"n-probs", Integer, int64(0), 0, 1 << 10, "how many of the likeliest tokens to tell with each"},
	{"lora", List, []string(nil), 0, 0, "LoRA adapters, by name, or NAME=SCALE"},
}

// Parameters lists all parameters in the order of the documentation.
func Parameters() []Parameter { return append([]Parameter(nil), parameters...) }

// Values holds one value per name, of the type the parameter's Kind says.
type Values map[string]any

// Defaults returns llama.cpp's default for every parameter.
func Defaults() Values {
	values := Values{}
	for _, p := range parameters {
		values[p.Name] = p.Default
	}
	return values
}

// With returns a copy of v in which the given values replace those of the same
// name. Values may be of any of Go's number types. The error is a *Failure
// with code "parameter.unknown" or "parameter.invalid".
func (v Values) With(given map[string]any) (Values, error) {
	merged := Values{}
	for name, value := range v {
		merged[name] = value
	}
	names := make([]string, 0, len(given))
	for name := range given {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		p, ok := find(name)
		if !ok {
			return nil, unknown(name)
		}
		value, err := p.convert(given[name])
		if err != nil {
			return nil, fail(rmp.CodeParameterInvalid, err)
		}
		merged[name] = value
	}
	return merged, nil
}

func find(name string) (Parameter, bool) {
	for _, p := range parameters {
		if p.Name == name {
			return p, true
		}
	}
	return Parameter{}, false
}

// unknown names the parameter and the known one that is closest to it. What is
// no plain name may be a person's words and isn't repeated.
func unknown(name string) error {
	shown := strconv.Quote(name)
	if len(name) > 40 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") != "" {
		shown = "with a name of " + strconv.Itoa(len(name)) + " bytes"
	}
	near := nearest(name)
	return fail(rmp.CodeParameterUnknown, hint.New(fmt.Errorf("parameter %s is unknown", shown), "did you mean %q?", near))
}

// Parse reads a value as it stands on a command line.
func (p Parameter) Parse(text string) (any, error) {
	switch p.Kind {
	case Integer:
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return p.convert(n)
		}
	case Number:
		if n, err := strconv.ParseFloat(text, 64); err == nil {
			return p.convert(n)
		}
	case Switch:
		if b, err := strconv.ParseBool(text); err == nil {
			return b, nil
		}
	case Text:
		return p.convert(text)
	case List:
		return p.convert([]string{text})
	}
	return nil, p.refuse("it is not")
}

// convert checks type and range and returns int64, float64, bool, string or []string.
func (p Parameter) convert(value any) (any, error) {
	v := reflect.ValueOf(value)
	switch p.Kind {
	case Switch:
		if v.Kind() == reflect.Bool {
			return v.Bool(), nil
		}
	case Text:
		if v.Kind() == reflect.String && isText(v.String()) {
			return v.String(), nil
		}
	case List:
		if list, ok := asList(v); ok {
			return list, nil
		}
	case Integer:
		if n, whole := asNumber(v); whole && n == math.Trunc(n) {
			return p.bounded(n, int64(n))
		}
	case Number:
		if n, ok := asNumber(v); ok {
			return p.bounded(n, n)
		}
	}
	return nil, p.refuse("the one given is not")
}

func isText(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }

// maxList bounds a list of texts; what it is for has closer bounds.
const maxList = 256

// asList turns one text, or a list of texts of any element type, into a list.
func asList(v reflect.Value) (list []string, ok bool) {
	if !v.IsValid() {
		return nil, true
	}
	if v.Kind() == reflect.String {
		return []string{v.String()}, isText(v.String())
	}
	if v.Kind() != reflect.Slice || v.Len() > maxList {
		return nil, false
	}
	for i := range v.Len() {
		element := v.Index(i)
		if element.Kind() == reflect.Interface {
			element = element.Elem()
		}
		if element.Kind() != reflect.String || !isText(element.String()) {
			return nil, false
		}
		list = append(list, element.String())
	}
	return list, true
}

// asNumber turns any of Go's numbers into a float64, which holds every value
// within a parameter's range exactly.
func asNumber(v reflect.Value) (float64, bool) {
	switch {
	case !v.IsValid():
		return 0, false
	case v.CanInt():
		return float64(v.Int()), true
	case v.CanUint():
		return float64(v.Uint()), true
	case v.Kind() == reflect.Float32:
		// 0.8 sent as float32 means 0.8, not 0.800000011920929.
		n, err := strconv.ParseFloat(strconv.FormatFloat(v.Float(), 'g', -1, 32), 64)
		return n, err == nil
	case v.CanFloat():
		return v.Float(), true
	}
	return 0, false
}

func (p Parameter) bounded(n float64, value any) (any, error) {
	if !(n >= p.Min && n <= p.Max) { // refuses NaN too
		return nil, p.refuse(fmt.Sprintf("%g is not", n))
	}
	return value, nil
}

// refuse says what was expected of a parameter.
func (p Parameter) refuse(what string) error {
	expected := string(p.Kind)
	if p.Kind == Integer || p.Kind == Number {
		expected = fmt.Sprintf("%s from %.10g to %.10g", p.Kind, p.Min, p.Max)
	}
	return hint.New(fmt.Errorf("parameter %s must be of type %s, %s", p.Name, expected, what), "%s: %s", p.Name, p.Doc)
}

// nearest is the known name with the fewest edits to the given one.
func nearest(name string) string {
	name = strings.ReplaceAll(name[:min(len(name), 64)], "_", "-")
	best, least := "", math.MaxInt
	for _, p := range parameters {
		distance := hint.Edits(name, p.Name)
		if strings.HasPrefix(name, p.Name) || strings.HasPrefix(p.Name, name) {
			distance /= 2 // temperature: temp
		}
		if distance < least {
			best, least = p.Name, distance
		}
	}
	return best
}
