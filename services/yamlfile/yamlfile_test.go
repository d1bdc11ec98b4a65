package yamlfile

import (
	"strings"
	"testing"
)

func TestTheFirstLineThatIsTooDeepIsFound(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		line int
	}{
		"nothing":             {"", 0},
		"brackets":            {"a: 1\nb: [[[1]]]\n", 0},
		"one bracket more":    {"a: 1\nb: [[[[1]]]]\n", 2},
		"mappings":            {"{a: {b: {c: {d: 1}}}}", 1},
		"over lines":          {"[\n[\n[\n[\n", 4},
		"closed again":        {strings.Repeat("[]\n", 99), 0},
		"dashes":              {"- - - 1\n- - - - 1\n", 2},
		"dashes and tabs":     {"-\t-\t-\t-\t1\n", 1},
		"more closed than is": {"]]]]][[[", 0},
	} {
		if line := TooDeep([]byte(c.text), 3); line != c.line {
			t.Errorf("%s: line %d, want %d", name, line, c.line)
		}
	}
}
