package hook

import (
	"math"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// wanted is a sound verdict of each action, from the mildest to the strictest.
var wanted = []Verdict{
	{Action: Allow, Rule: "flag"},
	{Action: BiasNext, Bias: []Bias{{7, -2.5}, {9, float32(math.Inf(-1))}}, Rule: "bias.1"},
	{Action: Whisper, Text: "Speak of\nbirds.", Rule: "whisper.1"},
	{Action: Mask, Mask: 31999, Rule: "mask.1"},
	{Action: Hold, Rule: "hold.1"},
	{Action: Stop, Text: "Not this, sorry.", Rule: "policy/stop:1"},
}

func TestEveryActionPassesItsCheck(t *testing.T) {
	for _, v := range append([]Verdict{{}}, wanted...) {
		if err := v.Check(32000); err != nil {
			t.Errorf("%v: %v", v.Action, err)
		}
	}
}

func TestAVerdictThatCannotBeMeantIsRefusedWithoutQuotingIt(t *testing.T) {
	for name, v := range map[string]Verdict{
		"unknown action":    {Action: Stop + 1},
		"rule of words":     {Rule: secret + " and cream"},
		"long rule":         {Rule: strings.Repeat("a", MaxRule+1)},
		"empty whisper":     {Action: Whisper},
		"long text":         {Action: Stop, Text: strings.Repeat(secret, MaxText)},
		"cut character":     {Action: Stop, Text: secret + "\xc3"},
		"escape sequence":   {Action: Stop, Text: secret + "\x1b[2J"},
		"C1 control":        {Action: Whisper, Text: secret + "\u009b2J"},
		"mask below":        {Action: Mask, Mask: -1},
		"mask beyond":       {Action: Mask, Mask: 32000},
		"bias below":        {Action: BiasNext, Bias: []Bias{{-1, 1}}},
		"bias beyond":       {Action: BiasNext, Bias: []Bias{{1, 1}, {32000, 1}}},
		"bias not a number": {Action: BiasNext, Bias: []Bias{{1, float32(math.NaN())}}},
		"bias to infinity":  {Action: BiasNext, Bias: []Bias{{1, float32(math.Inf(1))}}},
		"too many biases":   {Action: BiasNext, Bias: make([]Bias, MaxBias+1)},
	} {
		err := v.Check(32000)
		if err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheStrictestOfTwoCounts(t *testing.T) {
	for i, a := range wanted {
		for j, b := range wanted {
			if got := stricter(a, b); i != j && !reflect.DeepEqual(got, wanted[max(i, j)]) {
				t.Errorf("%v and %v give %v", a.Action, b.Action, got.Action)
			}
		}
	}
}

func TestOfEqualVerdictsTheFirstCountsAndNoFlagOrBiasIsLost(t *testing.T) {
	first, second := Verdict{Action: Mask, Mask: 1, Rule: "a"}, Verdict{Action: Mask, Mask: 2, Rule: "b"}
	if got := stricter(first, second); got.Mask != 1 || got.Rule != "a" {
		t.Errorf("of two masks %+v", got)
	}
	if got := stricter(Verdict{}, Verdict{Rule: "flag"}); got.Rule != "flag" {
		t.Errorf("the flag was lost: %+v", got)
	}
	a := Verdict{Action: BiasNext, Bias: make([]Bias, 1, 8)}
	b := Verdict{Action: BiasNext, Bias: []Bias{{3, 1}}}
	if got := stricter(a, b); !reflect.DeepEqual(got.Bias, []Bias{{0, 0}, {3, 1}}) {
		t.Errorf("of two biases %+v", got.Bias)
	}
	if spare := a.Bias[:2][1]; spare != (Bias{}) {
		t.Error("joining wrote into the first hook's memory")
	}
}

func TestNoOrderOfHooksMakesTheOutcomeMilder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		verdicts := rapid.SliceOfN(rapid.SampledFrom(append([]Verdict{{}}, wanted...)), 1, 6).Draw(t, "verdicts")
		var hooks []Hook
		strictest := Allow
		for _, v := range verdicts {
			if v.Action == Hold {
				v.Action = Stop // a Func's
			}
			strictest = max(strictest, v.Action)
			hooks = append(hooks, Func(func(Token) Verdict { return v }))
		}
		s, _, err := Chain(hooks...).Begin(Answer{})
		if err != nil {
			t.Fatal(err)
		}
		if got, decided := s.Judge(Token{}); !decided || got.Action != strictest {
			t.Fatalf("%v, decided %v, want %v", got.Action, decided, strictest)
		}
	})
}
