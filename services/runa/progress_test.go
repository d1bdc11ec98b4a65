package runa

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"runa/services/rmp"
)

func TestATerminalIsToldHowLongALongActionStillTakes(t *testing.T) {
	now := time.Unix(0, 0)
	var out bytes.Buffer
	p := progress{e: Environment{Out: &out, Terminal: true, Now: func() time.Time { return now }}}
	for _, step := range []struct {
		after time.Duration
		part  float64
		text  string
		want  string
	}{
		{0, 0, "copying", "copying: 0 %"},
		{100 * time.Millisecond, 0.4, "copying", "copying: 40 %"}, // too soon to guess
		{30 * time.Second, 0.5, "copying", "copying: 50 %, 30s left"},
		{40 * time.Second, 0.5, "check\x1b[2J\ning", "check[2J ing: 50 %"}, // another thing, another clock
		{50 * time.Second, 0.75, "check\x1b[2J\ning", "check[2J ing: 75 %, 10s left"},
		{60 * time.Second, 7, "check\x1b[2J\ning", "check[2J ing: 100 %"},
		{60 * time.Second, 1, strings.Repeat("long ", 30), short(strings.Repeat("long ", 30))},
	} {
		out.Reset()
		now = time.Unix(0, 0).Add(step.after)
		p.update(rmp.Progress{Part: step.part, Text: step.text})
		if got := strings.TrimPrefix(out.String(), eraseLine); got != step.want {
			t.Errorf("after %v: %q, want %q", step.after, got, step.want)
		}
	}
	out.Reset()
	p.end()
	p.end()
	if out.String() != eraseLine {
		t.Errorf("the end wrote %q", out.String())
	}
}

func TestANewConversationNeverTakesANameThatIsThere(t *testing.T) {
	kept := []rmp.Conversation{{ID: "a"}, {ID: "a-2"}, {ID: "b-2"}}
	for wanted, want := range map[string]string{"a": "a-3", "b": "b", "c": "c"} {
		if got := newName(wanted, kept); got != want {
			t.Errorf("%s became %s, want %s", wanted, got, want)
		}
	}
}
