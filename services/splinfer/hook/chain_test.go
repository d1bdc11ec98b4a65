package hook

import (
	"errors"
	"reflect"
	"testing"
	"testing/synctest"
)

func TestAllOfAChainSeeEveryTokenAndOneEnd(t *testing.T) {
	a, b, c := &scripted{judge: always(wanted[Stop])}, &scripted{}, &scripted{}
	s := begun(t, Chain(a, Chain(b, Empty()), c), Answer{Persona: "owl", Prompt: []int32{1}}, Allow)
	token := Token{Index: 3, ID: 4, Piece: []byte("x"), Text: "x", LogProb: -1}
	if v := judged(t, s, token); !reflect.DeepEqual(v, wanted[Stop]) {
		t.Fatalf("got %+v", v)
	}
	s.End("hook")
	s.End("hook")
	for i, member := range []*scripted{a, b, c} {
		if len(member.seen) != 1 || !reflect.DeepEqual(member.seen[0], token) || member.answer.Persona != "owl" || member.endings() != 1 {
			t.Errorf("member %d saw %+v of %q and %d ends", i, member.seen, member.answer.Persona, member.endings())
		}
	}
}

func TestAChainOfOneIsThatOneAndOfNoneIsEmpty(t *testing.T) {
	if Chain() != Empty() || Chain(Empty(), Empty()) != Empty() {
		t.Error("a chain of none is not empty")
	}
	only := &scripted{later: make(chan Verdict, 1), judge: always(wanted[Hold])}
	s := begun(t, Chain(Empty(), only), Answer{}, Allow)
	if s.Later() != (<-chan Verdict)(only.later) {
		t.Error("a chain of one has another channel")
	}
}

func TestAChainThatOneRefusesToBeginEndsTheOthers(t *testing.T) {
	first, last := &scripted{}, &scripted{}
	refused := errors.New("no")
	if _, _, err := Chain(first, &scripted{err: refused}, last).Begin(Answer{}); !errors.Is(err, refused) {
		t.Fatalf("got %v", err)
	}
	if first.endings() != 1 || last.endings() != 0 {
		t.Errorf("%d and %d ends", first.endings(), last.endings())
	}
}

// open is a member that leaves every token to a channel.
func open(begin Action) *scripted {
	return &scripted{begin: Verdict{Action: begin}, judge: undecided, later: make(chan Verdict, 1)}
}

func TestAChainWaitsForThoseThatAreLateAndDoesTheStrictest(t *testing.T) {
	for _, at := range wanted {
		if at.Action == Hold || at.Action == Stop {
			continue // see below
		}
		for _, v := range wanted {
			if v.Action == Hold {
				continue
			}
			synctest.Test(t, func(t *testing.T) {
				one, two := open(Allow), open(Allow)
				s := begun(t, Chain(one, Func(func(Token) Verdict { return at }), two), Answer{}, Allow)
				defer s.End("stop")
				if _, decided := s.Judge(Token{}); decided {
					t.Fatal("it did not wait")
				}
				one.later <- Verdict{}
				synctest.Wait()
				select {
				case v := <-s.Later():
					t.Fatalf("%+v came before the last verdict", v)
				default:
				}
				two.later <- v
				if got := later(t, s); got.Action != max(at.Action, v.Action) {
					t.Errorf("%v at once and %v later give %v", at.Action, v.Action, got.Action)
				}
				two.judge, one.judge = always(Verdict{}), always(Verdict{})
				if v, decided := s.Judge(Token{}); !decided || v.Action != at.Action {
					t.Errorf("the next token got %v, decided %v", v.Action, decided)
				}
			})
		}
	}
}

func TestAStopWaitsForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow, quick := open(Allow), open(Allow)
		s := begun(t, Chain(slow, quick), Answer{}, Allow)
		s.Judge(Token{})
		quick.later <- wanted[Stop]
		if v := later(t, s); !reflect.DeepEqual(v, wanted[Stop]) {
			t.Errorf("got %+v", v)
		}
		slow.later <- Verdict{} // must not come out
		synctest.Wait()
		s.End("hook")
		if v, ok := <-s.Later(); ok {
			t.Errorf("a second verdict %+v came", v)
		}

		stopping := &scripted{judge: always(wanted[Stop])}
		s = begun(t, Chain(open(Allow), stopping), Answer{}, Allow)
		if v, decided := s.Judge(Token{}); !decided || v.Action != Stop {
			t.Errorf("got %+v, decided %v", v, decided)
		}
		stopping.judge = nil
		if v, decided := s.Judge(Token{}); !decided || v.Action != Stop {
			t.Errorf("after a stop: %+v, decided %v", v, decided)
		}
		s.End("hook")
	})
}

func TestAHoldIsToldAtOnceAndDecidedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		held := &scripted{judge: always(wanted[Hold]), later: make(chan Verdict, 1)}
		s := begun(t, Chain(&scripted{judge: always(wanted[Mask])}, held), Answer{}, Allow)
		defer s.End("stop")
		if v, decided := s.Judge(Token{}); !decided || !reflect.DeepEqual(v, wanted[Hold]) {
			t.Fatalf("got %+v, decided %v", v, decided)
		}
		held.later <- Verdict{}
		if v := later(t, s); !reflect.DeepEqual(v, wanted[Mask]) {
			t.Errorf("a human allowed it, then %+v", v)
		}
		s.Judge(Token{Index: 1})
		held.later <- wanted[Hold] // once more can't be meant
		if v := later(t, s); v.Action != Stop || v.Rule != RuleInvalid {
			t.Errorf("got %+v", v)
		}
	})
}

func TestAHeldPromptIsDecidedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		held := open(Hold)
		held.later <- wanted[Whisper]
		begun(t, Chain(held, Empty(), &scripted{begin: wanted[BiasNext]}), Answer{}, Whisper).End("stop")
		held.later <- wanted[Mask] // of what?
		begun(t, Chain(held, &scripted{}), Answer{}, Stop).End("stop")
	})
}

func TestAChainIsGoneWithAnyOfItsMembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lost := open(Allow)
		s := begun(t, Chain(open(Allow), lost), Answer{}, Allow)
		s.Judge(Token{})
		close(lost.later)
		if err := gone(t, s); !errors.Is(err, ErrGone) {
			t.Errorf("the cause is %v", err)
		}
		if v, decided := s.Judge(Token{}); decided && v.Action != Stop {
			t.Errorf("then %+v", v)
		}
		s.End("hook")
	})
}

func TestAChainAskedBeforeItsTurnStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one := open(Allow)
		s := begun(t, Chain(one, &scripted{}), Answer{}, Allow)
		defer s.End("stop")
		s.Judge(Token{})
		for range 2 { // before the verdict came, and before it was taken
			if v, decided := s.Judge(Token{}); !decided || v.Action != Stop || v.Rule != RuleOrder {
				t.Errorf("got %+v, decided %v", v, decided)
			}
			one.later <- Verdict{}
			synctest.Wait()
			if len(one.later) > 0 {
				<-one.later
			}
		}
	})
}

func TestEndLetsGoOfWhoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // which fails if a goroutine is left
		s := begun(t, Chain(open(Allow), open(Allow)), Answer{}, Allow)
		s.Judge(Token{})
		let := make(chan struct{})
		go func() {
			defer close(let)
			if _, ok := <-s.Later(); ok {
				t.Error("a verdict came after the end")
			}
		}()
		synctest.Wait()
		go s.End("cancel")
		<-let
	})
}
