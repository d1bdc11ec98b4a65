package hook

import (
	"context"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"runa/services/rmp/rmptest"
)

// beside is a Sidecar whose judge is served over a wire, and what ends it.
func beside(t *testing.T, judge Hook) (h Hook, hangUp func()) {
	t.Helper()
	asker, served := rmptest.Wires(64)
	ended := make(chan error, 1)
	go func() { ended <- Serve(context.Background(), served, judge) }()
	return Sidecar(dialling(asker), Options{}), func() {
		asker.Close()
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
	}
}

func TestEveryActionTravelsAsItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next := Verdict{}
		judge := &scripted{later: make(chan Verdict, 1), judge: func(Token) (Verdict, bool) { return next, true }}
		h, hangUp := beside(t, judge)
		s := begun(t, h, Answer{}, Allow)
		for i, v := range append([]Verdict{{}}, wanted...) {
			if next = v; v.Action == Hold {
				judge.later <- wanted[Mask]
				v = wanted[Mask]
			}
			if got := judged(t, s, Token{Index: i}); !reflect.DeepEqual(got, v) {
				t.Errorf("got %+v, want %+v", got, v)
			}
		}
		s.End("stop")
		synctest.Wait()
		if judge.endings() != 1 || judge.ended[0] != "stop" {
			t.Errorf("the judge heard of the ends %v", judge.ended)
		}
		hangUp()
	})
}

func TestTheJudgeSeesTheAnswerAndItsTokensAsTheyAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		judge := &scripted{}
		h, hangUp := beside(t, judge)
		pieces := map[int32][]byte{1: nil, 5: []byte("caf\xc3"), 7: []byte("\xa9")}
		a := Answer{
			Trace: [16]byte{1, 2, 15: 3}, Conversation: "c-1", Persona: "owl", Prompt: []int32{1, 5, 7, 5, -1},
			Piece: func(id int32) []byte { return pieces[id] },
		}
		s := begun(t, h, a, Allow)
		token := Token{Index: 70000, ID: 31999, Piece: []byte("\x00\xff"), Text: "né", LogProb: -0.125}
		judged(t, s, token)
		s.End("stop")
		hangUp()
		got := judge.answer
		if got.Trace != a.Trace || got.Conversation != "c-1" || got.Persona != "owl" || !reflect.DeepEqual(got.Prompt, a.Prompt) {
			t.Errorf("the answer came as %+v", got)
		}
		for id, piece := range pieces {
			if string(got.Piece(id)) != string(piece) {
				t.Errorf("token %d has the bytes %q", id, got.Piece(id))
			}
		}
		if got.Piece(8) != nil {
			t.Error("a token that is not in the prompt has bytes")
		}
		if len(judge.seen) != 1 || !reflect.DeepEqual(judge.seen[0], token) {
			t.Errorf("the tokens came as %+v", judge.seen)
		}
	})
}

func TestAPromptCanBeRefusedHeldOrSteered(t *testing.T) {
	for _, v := range wanted {
		synctest.Test(t, func(t *testing.T) {
			judge := &scripted{begin: v, later: make(chan Verdict, 1)}
			h, hangUp := beside(t, judge)
			want := v.Action
			switch v.Action {
			case Hold:
				judge.later <- wanted[BiasNext]
				want = BiasNext
			case Mask:
				want = Stop
			}
			begun(t, h, Answer{}, want).End("stop")
			hangUp()
		})
	}
}

func TestAHeldTokenWaitsAsLongAsAPersonTakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		judge := &scripted{judge: always(wanted[Hold]), later: make(chan Verdict)}
		h, hangUp := beside(t, judge)
		s := begun(t, h, Answer{}, Allow)
		if _, decided := s.Judge(Token{}); decided {
			t.Fatal("the sidecar decided at once")
		}
		time.AfterFunc(72*time.Hour, func() { judge.later <- Verdict{Rule: "owner"} })
		if v := later(t, s); v.Action != Allow || v.Rule != "owner" {
			t.Errorf("got %+v", v)
		}
		s.End("stop")
		hangUp()
	})
}

func TestAnswersShareALineAndAreNotMixedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, hangUp := beside(t, Func(func(t Token) Verdict { return Verdict{Action: Mask, Mask: t.ID} }))
		var sessions []Session
		for range 16 {
			sessions = append(sessions, begun(t, h, Answer{}, Allow))
		}
		for index := range 8 {
			for i, s := range sessions { // all are asked before any verdict is taken
				if _, decided := s.Judge(Token{Index: index, ID: int32(1000*i + index)}); decided {
					t.Fatal("decided at once")
				}
			}
			for i, s := range sessions {
				if v := later(t, s); v.Mask != int32(1000*i+index) {
					t.Fatalf("answer %d got the verdict %d", i, v.Mask)
				}
			}
		}
		for _, s := range sessions {
			s.End("stop")
		}
		hangUp()
	})
}

func TestAnAnswerCanEndWhileAVerdictIsOnItsWay(t *testing.T) {
	for _, v := range []Verdict{{}, wanted[Hold]} {
		synctest.Test(t, func(t *testing.T) {
			judge := &scripted{judge: always(v), later: make(chan Verdict, 1)}
			h, hangUp := beside(t, judge)
			s := begun(t, h, Answer{}, Allow)
			other := begun(t, h, Answer{}, Allow)
			s.Judge(Token{}) // neither message has left yet
			s.End("cancel")
			s.End("cancel")
			synctest.Wait()
			time.Sleep(time.Hour) // past every patience
			judge.judge = nil
			if v := judged(t, other, Token{}); v.Action != Allow {
				t.Errorf("the other answer got %+v", v)
			}
			if v, decided := s.Judge(Token{}); decided && v.Action != Stop {
				t.Errorf("the ended answer got %+v", v)
			}
			other.End("stop")
			hangUp()
		})
	}
}

func TestASidecarAskedBeforeItsTurnStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, hangUp := beside(t, Empty())
		s, _, err := h.Begin(Answer{})
		must(t, err)
		for range 2 { // while the verdict on the prompt is on its way, and before it was taken
			if v, decided := s.Judge(Token{}); !decided || v.Action != Stop || v.Rule != RuleOrder {
				t.Errorf("got %+v, decided %v", v, decided)
			}
			synctest.Wait()
		}
		later(t, s)
		if v, decided := s.Judge(Token{Index: -1}); !decided || v.Action != Stop {
			t.Errorf("a token before the first got %+v, decided %v", v, decided)
		}
		s.End("hook")
		hangUp()
	})
}

func TestWhoCannotBeDialledJudgesNothing(t *testing.T) {
	for name, dial := range map[string]func(context.Context) (Conn, error){
		"error": func(context.Context) (Conn, error) { return nil, io.ErrNoProgress },
		"nil":   func(context.Context) (Conn, error) { return nil, nil },
		"panic": func(context.Context) (Conn, error) { panic(secret) },
		"closed": func(context.Context) (Conn, error) {
			asker, _ := rmptest.Wires(64)
			asker.Close()
			return asker, nil
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			s, v, err := Sidecar(dial, Options{}).Begin(Answer{})
			if err == nil && v.Action == Hold { // it closed just after
				err = gone(t, s)
			}
			if !errors.Is(err, ErrGone) || strings.Contains(err.Error(), secret) {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		never := func(ctx context.Context) (Conn, error) { <-ctx.Done(); return nil, ctx.Err() }
		_, _, err := Sidecar(never, Options{Patience: time.Minute}).Begin(Answer{})
		if !errors.Is(err, ErrGone) || time.Since(began) != time.Minute {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
}

func TestAPromptThatDoesNotFitAMessageIsNotAnswered(t *testing.T) {
	long := make([]byte, 1<<20)
	for _, a := range []Answer{
		{Prompt: make([]int32, maxPrompt/8+1)},
		{Prompt: make([]int32, 9), Piece: func(int32) []byte { return long }},
		{Persona: strings.Repeat(secret, maxName)},
	} {
		_, _, err := Sidecar(dialling(), Options{}).Begin(a)
		if err == nil || errors.Is(err, ErrGone) || strings.Contains(err.Error(), secret) {
			t.Errorf("got %v", err)
		}
	}
	synctest.Test(t, func(t *testing.T) { // the longest one fits
		h, hangUp := beside(t, Empty())
		begun(t, h, Answer{Prompt: make([]int32, maxPrompt/8)}, Allow).End("stop")
		hangUp()
	})
}

func TestTheNextAnswerDialsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, served := rmptest.Wires(64)
		second, servedNext := rmptest.Wires(64)
		go Serve(context.Background(), served, Empty())
		go Serve(context.Background(), servedNext, Empty())
		h := Sidecar(dialling(first, second), Options{})
		lost, other := begun(t, h, Answer{}, Allow), begun(t, h, Answer{}, Allow)
		served.Close()
		if err := gone(t, lost); !errors.Is(err, ErrGone) {
			t.Errorf("the cause is %v", err)
		}
		if err := gone(t, other); !errors.Is(err, ErrGone) {
			t.Errorf("the cause is %v", err)
		}
		s := begun(t, h, Answer{}, Allow)
		if v := judged(t, s, Token{}); v.Action != Allow {
			t.Errorf("got %+v", v)
		}
		lost.End("hook") // goes nowhere
		s.End("stop")
		second.Close()
		synctest.Wait()
		if _, _, err := h.Begin(Answer{}); !errors.Is(err, ErrGone) {
			t.Errorf("with nobody left to dial: %v", err)
		}
	})
}
