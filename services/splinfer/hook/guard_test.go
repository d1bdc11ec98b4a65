package hook

import (
	"errors"
	"strings"
	"testing"
)

func TestEmptyAllowsEverythingAndTakesNoMemory(t *testing.T) {
	s := begun(t, Empty(), Answer{}, Allow)
	token := Token{ID: 7, Piece: []byte(secret), Text: secret}
	allocated := testing.AllocsPerRun(1000, func() {
		if v, decided := s.Judge(token); !decided || v.Action != Allow || v.Rule != "" {
			t.Fatalf("%+v, decided %v", v, decided)
		}
	})
	if allocated != 0 {
		t.Errorf("%v allocations for each token", allocated)
	}
	s.End("stop")
	if s.Later() != nil {
		t.Error("it has a channel for verdicts that never come")
	}
}

func TestAFunctionThatAllowsTakesNoMemory(t *testing.T) {
	for _, h := range []Hook{
		Func(func(Token) Verdict { return Verdict{} }),
		Chain(Func(func(Token) Verdict { return Verdict{} }), Func(func(Token) Verdict { return Verdict{} })),
	} {
		s := begun(t, h, Answer{}, Allow)
		if n := testing.AllocsPerRun(1000, func() { s.Judge(Token{}) }); n != 0 {
			t.Errorf("%T: %v allocations for each token", h, n)
		}
	}
}

func TestAFunctionDoesEveryActionButHold(t *testing.T) {
	for _, v := range wanted {
		s := begun(t, Func(func(Token) Verdict { return v }), Answer{}, Allow)
		got, decided := s.Judge(Token{})
		want := v.Action
		if want == Hold {
			want = Stop
		}
		if !decided || got.Action != want {
			t.Errorf("%v became %v", v.Action, got.Action)
		}
	}
}

func TestWhatCannotBeMeantIsAStop(t *testing.T) {
	for name, h := range map[string]Hook{
		RuleInvalid: Chain(&scripted{judge: always(Verdict{Action: Mask, Mask: -1})}),
		RuleNoLater: Chain(&scripted{judge: undecided}),
	} {
		s := begun(t, h, Answer{}, Allow)
		if v, decided := s.Judge(Token{}); !decided || v.Action != Stop || v.Rule != name {
			t.Errorf("%s: %+v, decided %v", name, v, decided)
		}
	}
	begun(t, Chain(&scripted{begin: Verdict{Action: Mask}}), Answer{}, Stop)
	begun(t, Chain(&scripted{begin: Verdict{Action: Hold}}), Answer{}, Stop)
}

func TestAPanicIsAStopThatNamesItsPlaceAndNoWords(t *testing.T) {
	var nothing map[string]int
	for name, h := range map[string]Hook{
		"of words":          Func(func(t Token) Verdict { panic(t.Text) }),
		"of the runtime":    Func(func(t Token) Verdict { nothing[t.Text]++; return Verdict{} }),
		"in a chain":        Chain(Empty(), &scripted{}, Func(func(t Token) Verdict { panic(errors.New(t.Text)) })),
		"in a chain of one": Chain(&scripted{judge: func(t Token) (Verdict, bool) { panic(t.Text) }}),
	} {
		s := begun(t, h, Answer{}, Allow)
		for range 2 { // it stays one
			v, decided := s.Judge(Token{Text: secret})
			if !decided || v.Action != Stop || v.Text != "" || !strings.HasPrefix(v.Rule, "hook.") || strings.Contains(v.Rule, secret) {
				t.Fatalf("%s: %+v, decided %v", name, v, decided)
			}
		}
	}
	once := true
	s := begun(t, Func(func(t Token) Verdict {
		if once {
			once = false
			panic(t.Text)
		}
		return Verdict{}
	}), Answer{}, Allow)
	if v, _ := s.Judge(Token{}); !strings.HasPrefix(v.Rule, RulePanic+":guard_test.go:") {
		t.Errorf("the rule %q does not name the place", v.Rule)
	}
	if v, _ := s.Judge(Token{}); v.Action != Stop {
		t.Errorf("after a panic it may say %v", v.Action)
	}
}

// fragile panics wherever it is told to.
type fragile struct{ begin, later, end bool }

func (f fragile) Begin(a Answer) (Session, Verdict, error) {
	if f.begin {
		panic(a.Persona)
	}
	return f, Verdict{}, nil
}
func (fragile) Judge(Token) (Verdict, bool) { return Verdict{}, true }

func (f fragile) Later() <-chan Verdict {
	if f.later {
		panic(secret)
	}
	return nil
}

func (f fragile) End(string) {
	if f.end {
		panic(secret)
	}
}

func TestAPanicOutsideOfJudgeDoesNotEndTheEngine(t *testing.T) {
	for _, h := range []Hook{fragile{begin: true}, fragile{later: true}, &scripted{err: ErrGone}} {
		for _, chained := range []Hook{Chain(h), Chain(&scripted{}, h)} {
			s, _, err := chained.Begin(Answer{Persona: secret})
			if s != nil || !errors.Is(err, ErrGone) || strings.Contains(err.Error(), secret) {
				t.Errorf("%+v: %v, %v", h, s, err)
			}
		}
	}
	begun(t, Chain(fragile{end: true}), Answer{}, Allow).End("stop")
}

func TestAHookWithoutASessionBeginsNothing(t *testing.T) {
	if _, _, err := Chain(sessionless{}).Begin(Answer{}); !errors.Is(err, ErrGone) {
		t.Errorf("got %v", err)
	}
}

type sessionless struct{}

func (sessionless) Begin(Answer) (Session, Verdict, error) { return nil, Verdict{}, nil }
