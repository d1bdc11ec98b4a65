package schema

import (
	"regexp"
	"unicode/utf8"
)

// formats are what format may be: a rule, and the fewest and most characters it takes.
var formats = map[string]struct{ low, high int }{
	"date": {10, 10}, "time": {9, 24}, "date-time": {20, 35}, "uuid": {36, 36},
}

func checkFormat(v *node) error {
	if err := want(v, nodeText); err != nil {
		return err
	}
	if _, known := formats[v.text]; !known {
		return advise(fail(v, "this format is not supported"), "known are date, time, date-time and uuid; describe others by pattern")
	}
	return nil
}

// text is any string of a shape, quotes included; "" if none fits.
func (b *builder) text(s textShape) (string, error) {
	switch {
	case s.high != unbounded && s.low > s.high:
		return "", nil
	case s.format != nil && s.pattern != nil:
		return "", fail(s.pattern, "format and pattern together are not supported")
	case s.format != nil:
		f := formats[s.format.text]
		return b.within(s, f.low, f.high, s.format, sequence(literal(`"`), b.basic(s.format.text), literal(`"`)))
	case s.pattern != nil:
		re, low, high, err := readPattern(s.pattern)
		if err != nil {
			return "", err
		}
		p := &pattern{b, s.pattern}
		expression, err := p.convert(re, true, true)
		if err != nil {
			return "", err
		}
		return b.within(s, low, high, s.pattern, sequence(literal(`"`), expression, literal(`"`)))
	case s.low == 0 && s.high == unbounded:
		return b.basic("string"), nil
	}
	return sequence(literal(`"`), b.repeat(b.basic("char"), s.low, s.high), literal(`"`)), nil
}

// within returns an expression of low to high characters if all of them are
// within the lengths that the shape allows: there is no grammar for what two rules ask.
func (b *builder) within(s textShape, low, high int, at *node, expression string) (string, error) {
	if s.low <= low && (s.high == unbounded || high != unbounded && high <= s.high) {
		return expression, nil
	}
	return "", advise(fail(at, "this and minLength or maxLength together are not supported"), "say how long it may be in the pattern, such as ^[a-z]{2,8}$")
}

// fits says whether a string of enum or const fits the rest of the shape.
func (s *textShape) fits(value string) (bool, error) {
	n := utf8.RuneCountInString(value)
	if n < s.low || s.high != unbounded && n > s.high {
		return false, nil
	}
	if s.format != nil {
		return false, fail(s.format, "format beside enum or const is not supported")
	}
	if s.pattern == nil {
		return true, nil
	}
	if _, _, _, err := readPattern(s.pattern); err != nil {
		return false, err
	}
	re, err := regexp.Compile(s.pattern.text)
	if err != nil {
		return false, unsupportedPattern(s.pattern, "what can't be compiled")
	}
	return re.MatchString(value), nil
}

// The rules that others are made of, as they stand in a grammar.
var basics = map[string]struct {
	body string
	uses []string
}{
	"ws":      {body: `( " " | "\n" [ \t]{0,20} )?`},
	"value":   {`object | array | string | number | boolean | "null"`, []string{"object", "array", "string", "number", "boolean"}},
	"object":  {`"{" ws ( pair ( "," ws pair )* )? "}"`, []string{"ws", "pair"}},
	"pair":    {`string ws ":" ws value ws`, []string{"string", "ws", "value"}},
	"array":   {`"[" ws ( value ws ( "," ws value ws )* )? "]"`, []string{"ws", "value"}},
	"boolean": {body: `"true" | "false"`},
	"number":  {body: numberRule},
	"integer": {body: integerRule},
	"string":  {`"\"" char* "\""`, []string{"char"}},
	"key":     {characterIn(everyRune, false), nil},
	// One character: a pair of surrogates counts as one, half a pair is none.
	"char": {class(unescaped) + ` | "\\" ( ["\\/bfnrt] | "u" ( [0-9A-CEFa-cef] hex hex hex | [Dd] ( [0-7] hex hex | [89ABab] hex hex "\\u" [Dd] [C-Fc-f] hex hex ) ) )`, []string{"hex"}},
	"hex":  {body: `[0-9A-Fa-f]`},

	"date": {`( year "-" ( ( "01" | "03" | "05" | "07" | "08" | "10" | "12" ) "-" ( "0" [1-9] | [12] [0-9] | "3" [01] ) | ` +
		`( "04" | "06" | "09" | "11" ) "-" ( "0" [1-9] | [12] [0-9] | "30" ) | "02-" ( "0" [1-9] | "1" [0-9] | "2" [0-8] ) ) ) | leap-year "-02-29"`, []string{"year", "leap-year"}},
	"year":      {body: `[0-9]{4}`},
	"leap-year": {`[0-9] [0-9] ( "0" [48] | [2468] [048] | [13579] [26] ) | fourth "00"`, []string{"fourth"}},
	"fourth":    {body: `[02468] [048] | [13579] [26]`},
	"clock":     {body: `( [01] [0-9] | "2" [0-3] ) ":" [0-5] [0-9]`},
	"time":      {`clock ":" [0-5] [0-9] ( "." [0-9]{1,9} )? ( "Z" | [+\x2D] clock )`, []string{"clock"}},
	"date-time": {`date "T" time`, []string{"date", "time"}},
	"uuid":      {`hex{8} "-" hex{4} "-" hex{4} "-" hex{4} "-" hex{12}`, []string{"hex"}},
}
