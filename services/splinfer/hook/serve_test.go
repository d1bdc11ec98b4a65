package hook

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"runa/services/rmp"
	"runa/services/rmp/rmptest"
)

func TestAnAskerThatBreaksTheProtocolIsHungUpOn(t *testing.T) {
	begin := func(number uint64) rmp.HookBegin { return rmp.HookBegin{Answer: number} }
	type message struct {
		schema  uint16
		payload any
	}
	for name, messages := range map[string][]message{
		"no beginning":           {{rmp.SchemaHookBegin, secret}},
		"answer 0":               {{rmp.SchemaHookBegin, begin(0)}},
		"the same answer again":  {{rmp.SchemaHookBegin, begin(1)}, {rmp.SchemaHookBegin, begin(1)}},
		"half a token":           {{rmp.SchemaHookBegin, rmp.HookBegin{Answer: 1, Prompt: make([]byte, 5)}}},
		"fewer ends":             {{rmp.SchemaHookBegin, rmp.HookBegin{Answer: 1, Prompt: make([]byte, 8), Ends: make([]byte, 4)}}},
		"an end beyond":          {{rmp.SchemaHookBegin, rmp.HookBegin{Answer: 1, Prompt: make([]byte, 4), Ends: []byte{0, 0, 0, 1}}}},
		"an end before the last": {{rmp.SchemaHookBegin, rmp.HookBegin{Answer: 1, Prompt: make([]byte, 8), Text: []byte{'a'}, Ends: []byte{3: 1, 7: 0}}}},
		"no token":               {{rmp.SchemaHookBegin, begin(1)}, {rmp.SchemaHookToken, secret}},
		"a token of nobody":      {{rmp.SchemaHookToken, rmp.HookToken{Answer: 1, Text: secret}}},
		"a token too early":      {{rmp.SchemaHookBegin, begin(1)}, {rmp.SchemaHookToken, rmp.HookToken{Answer: 1}}, {rmp.SchemaHookToken, rmp.HookToken{Answer: 1}}},
		"an end of nobody":       {{rmp.SchemaHookEnd, rmp.HookEnd{Answer: 1}}},
		"no end":                 {{rmp.SchemaHookEnd, secret}},
		"a verdict":              {{rmp.SchemaHookVerdict, rmp.HookVerdict{Answer: 1, Text: secret}}},
	} {
		synctest.Test(t, func(t *testing.T) {
			conn, served := rmptest.Wires(64)
			asker := counterfeit{t, conn}
			judge := &scripted{later: make(chan Verdict), judge: undecided}
			for _, m := range messages {
				asker.say(m.schema, m.payload)
			}
			err := Serve(context.Background(), served, judge)
			if err == nil || strings.Contains(err.Error(), secret) {
				t.Errorf("%s: %v", name, err)
			}
			<-conn.Done()
			synctest.Wait()
			if begun := judge.answer.Piece != nil; begun && judge.endings() != 1 {
				t.Errorf("%s: the session has %d ends", name, judge.endings())
			}
		})
	}
}

// selective gives each answer the hook that its persona names.
type selective map[string]Hook

func (s selective) Begin(a Answer) (Session, Verdict, error) { return s[a.Persona].Begin(a) }

func TestAJudgeThatFailsInOneAnswerGoesOnWithTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		closing := open(Allow)
		h, hangUp := beside(t, selective{
			"sound": Empty(), "refusing": &scripted{err: errors.New(secret)},
			"fragile": Func(func(t Token) Verdict { panic(t.Text) }), "closing": closing, "panicking": fragile{begin: true},
		})
		sound := begun(t, h, Answer{Persona: "sound"}, Allow)
		for _, persona := range []string{"refusing", "panicking"} {
			s, _, err := h.Begin(Answer{Persona: persona})
			must(t, err)
			if err := gone(t, s); !errors.Is(err, ErrGone) || strings.Contains(err.Error(), secret) {
				t.Errorf("%s: %v", persona, err)
			}
		}
		s := begun(t, h, Answer{Persona: "fragile"}, Allow)
		if v := judged(t, s, Token{Text: secret}); v.Action != Stop || !strings.HasPrefix(v.Rule, RulePanic) || strings.Contains(v.Rule, secret) {
			t.Errorf("got %+v", v)
		}
		s.End("hook")
		s = begun(t, h, Answer{Persona: "closing"}, Allow)
		s.Judge(Token{})
		close(closing.later)
		gone(t, s)
		synctest.Wait() // the asker may hear of it first
		if closing.endings() != 1 {
			t.Errorf("the session that closed has %d ends", closing.endings())
		}
		if v := judged(t, sound, Token{}); v.Action != Allow {
			t.Errorf("the sound one got %+v", v)
		}
		sound.End("stop")
		hangUp()
	})
}

func TestATokenOfAnAnswerThatWasGivenUpIsPassedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, served := rmptest.Wires(64)
		asker := counterfeit{t, conn}
		asker.say(rmp.SchemaHookBegin, rmp.HookBegin{Answer: 3})
		asker.say(rmp.SchemaHookToken, rmp.HookToken{Answer: 3})
		asker.say(rmp.SchemaHookEnd, rmp.HookEnd{Answer: 3})
		ended := make(chan error)
		go func() { ended <- Serve(context.Background(), served, &scripted{err: ErrGone}) }()
		var m rmp.HookEnd
		asker.hear(rmp.SchemaHookEnd, &m)
		synctest.Wait()
		if m.Answer != 3 || conn.Waiting() != 0 {
			t.Errorf("answer %d ended and %d messages follow", m.Answer, conn.Waiting())
		}
		conn.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestAMaskOfAHeldPromptIsAStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		judge := open(Hold)
		judge.later <- wanted[Mask]
		h, hangUp := beside(t, judge)
		begun(t, h, Answer{}, Stop).End("hook")
		hangUp()
	})
}

func TestNothingIsSaidOfAnAnswerThatIsOver(t *testing.T) {
	conn, judge := rmptest.Wires(64)
	s := &server{conn: judge, ctx: t.Context(), answers: make(map[uint64]*served)}
	a := &served{number: 1, over: make(chan struct{})}
	s.answers[1] = a
	s.finish(1)
	s.send(a, Verdict{}) // a verdict that came as it ended
	s.giveUp(a)
	if conn.Waiting() != 1 {
		t.Errorf("%d messages were sent, want the confirmation alone", conn.Waiting())
	}
}

func TestServeEndsItsSessionsWhenItEnds(t *testing.T) {
	for name, end := range map[string]func(cancel func(), conn *rmptest.Wire){
		"closed":   func(_ func(), conn *rmptest.Wire) { conn.Close() },
		"canceled": func(cancel func(), _ *rmptest.Wire) { cancel() },
	} {
		synctest.Test(t, func(t *testing.T) {
			conn, served := rmptest.Wires(64)
			judge := open(Hold)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			ended := make(chan error)
			go func() { ended <- Serve(ctx, served, judge) }()
			_, _, err := Sidecar(dialling(conn), Options{}).Begin(Answer{})
			must(t, err)
			synctest.Wait()
			end(cancel, conn)
			if err := <-ended; err != nil || judge.endings() != 1 {
				t.Errorf("%s: %v, %d ends", name, err, judge.endings())
			}
			<-conn.Done()
		})
	}
}

// faulty is a connection that panics when it is read.
type faulty struct{ *rmptest.Wire }

func (faulty) Receive(context.Context) (rmp.Frame, error) { panic(secret) }

func TestAConnectionThatPanicsIsTheEndOfTheLineAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, _ := rmptest.Wires(64)
		h := Sidecar(func(context.Context) (Conn, error) { return faulty{conn}, nil }, Options{})
		s, _, err := h.Begin(Answer{})
		if err == nil {
			err = gone(t, s)
		}
		if !errors.Is(err, ErrGone) || strings.Contains(err.Error(), secret) {
			t.Errorf("got %v", err)
		}
	})
}

func TestAServerThatCannotSendSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, served := rmptest.Wires(64)
		asker := counterfeit{t, conn}
		asker.say(rmp.SchemaHookBegin, rmp.HookBegin{Answer: 1})
		err := Serve(context.Background(), refusing{served}, Empty())
		if !errors.Is(err, rmp.ErrBodyTooLarge) {
			t.Errorf("got %v", err)
		}
		time.Sleep(time.Second)
	})
}

type refusing struct{ *rmptest.Wire }

func (refusing) Send(context.Context, rmp.Frame) error { return rmp.ErrBodyTooLarge }
