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

// counterfeit is a judge that a test speaks for.
type counterfeit struct {
	t    *testing.T
	conn *rmptest.Wire
}

func (c counterfeit) say(schema uint16, payload any) {
	c.t.Helper()
	frame, err := rmp.New(schema, time.Now(), [16]byte{}, 1, payload)
	must(c.t, err)
	must(c.t, c.conn.Send(context.Background(), frame))
}

func (c counterfeit) hear(schema uint16, into any) {
	c.t.Helper()
	frame, err := c.conn.Receive(context.Background())
	must(c.t, err)
	if frame.SchemaID != schema {
		c.t.Fatalf("%s came", frame.Type)
	}
	must(c.t, frame.Unmarshal(into))
}

// facing begins answer 1 before a counterfeit judge, which has allowed its prompt.
func facing(t *testing.T, o Options) (Hook, Session, counterfeit) {
	t.Helper()
	asker, served := rmptest.Wires(64)
	judge := counterfeit{t, served}
	h := Sidecar(dialling(asker), o)
	s, v, err := h.Begin(Answer{})
	must(t, err)
	var m rmp.HookBegin
	judge.hear(rmp.SchemaHookBegin, &m)
	if v.Action != Hold || m.Answer != 1 {
		t.Fatalf("%+v, answer %d", v, m.Answer)
	}
	judge.say(rmp.SchemaHookVerdict, rmp.HookVerdict{Answer: 1, Index: rmp.HookPrompt, Action: rmp.HookAllow})
	later(t, s)
	return h, s, judge
}

func TestNonsenseOfAJudgeEndsEveryAnswer(t *testing.T) {
	allow := rmp.HookVerdict{Answer: 1, Index: 4, Action: rmp.HookAllow}
	type change = func(*rmp.HookVerdict)
	verdict := func(f change) rmp.HookVerdict { v := allow; f(&v); return v }
	nonsense := map[string]struct {
		schema  uint16
		payload any
	}{
		"another index":     {rmp.SchemaHookVerdict, verdict(func(v *rmp.HookVerdict) { v.Index = 5 })},
		"the prompt again":  {rmp.SchemaHookVerdict, verdict(func(v *rmp.HookVerdict) { v.Index = rmp.HookPrompt })},
		"another answer":    {rmp.SchemaHookVerdict, verdict(func(v *rmp.HookVerdict) { v.Answer = 2 })},
		"no answer":         {rmp.SchemaHookVerdict, verdict(func(v *rmp.HookVerdict) { v.Answer = 0 })},
		"no action":         {rmp.SchemaHookVerdict, verdict(func(v *rmp.HookVerdict) { v.Action = "" })},
		"unknown action":    {rmp.SchemaHookVerdict, verdict(func(v *rmp.HookVerdict) { v.Action = secret })},
		"words as a rule":   {rmp.SchemaHookVerdict, verdict(func(v *rmp.HookVerdict) { v.Rule = secret + " pie" })},
		"mask over 32 bits": {rmp.SchemaHookVerdict, verdict(func(v *rmp.HookVerdict) { v.Action, v.Mask = rmp.HookMask, 1<<32 })},
		"mask below 0":      {rmp.SchemaHookVerdict, verdict(func(v *rmp.HookVerdict) { v.Action, v.Mask = rmp.HookMask, -1 })},
		"bias over 32 bits": {rmp.SchemaHookVerdict, verdict(func(v *rmp.HookVerdict) {
			v.Action, v.Bias = rmp.HookBias, []rmp.HookWeight{{Token: 1<<32 + 1}}
		})},
		"empty whisper":    {rmp.SchemaHookVerdict, verdict(func(v *rmp.HookVerdict) { v.Action = rmp.HookWhisper })},
		"no verdict":       {rmp.SchemaHookVerdict, secret},
		"wrong types":      {rmp.SchemaHookVerdict, map[string]any{"answer": secret, "index": secret}},
		"an end of nobody": {rmp.SchemaHookEnd, rmp.HookEnd{Answer: 7}},
		"no end":           {rmp.SchemaHookEnd, secret},
		"its own question": {rmp.SchemaHookToken, rmp.HookToken{Answer: 1, Index: 4, Text: secret}},
		"something else":   {rmp.SchemaErrorReport, rmp.Report{Message: secret}},
	}
	for name, wrong := range nonsense {
		synctest.Test(t, func(t *testing.T) {
			_, s, judge := facing(t, Options{})
			s.Judge(Token{Index: 4, Text: secret})
			judge.say(wrong.schema, wrong.payload)
			if err := gone(t, s); !errors.Is(err, ErrGone) || err == ErrGone || strings.Contains(err.Error(), secret) {
				t.Errorf("%s: %v", name, err)
			}
			synctest.Wait()
			select {
			case <-judge.conn.Done():
			default:
				t.Errorf("%s: the connection is still open", name)
			}
		})
	}
}

func TestAVerdictThatNobodyAskedForEndsEveryAnswer(t *testing.T) {
	for name, v := range map[string]rmp.HookVerdict{
		"on the prompt again":      {Answer: 1, Index: rmp.HookPrompt, Action: rmp.HookAllow},
		"on a token not yet asked": {Answer: 1, Action: rmp.HookAllow},
	} {
		synctest.Test(t, func(t *testing.T) {
			_, s, judge := facing(t, Options{})
			judge.say(rmp.SchemaHookVerdict, v)
			if err := gone(t, s); !errors.Is(err, ErrGone) {
				t.Errorf("%s: %v", name, err)
			}
			if v, decided := s.Judge(Token{}); decided {
				t.Errorf("%s: then a token got %+v", name, v)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) { // a second hold
		_, s, judge := facing(t, Options{})
		s.Judge(Token{})
		for range 2 {
			judge.say(rmp.SchemaHookVerdict, rmp.HookVerdict{Answer: 1, Action: rmp.HookHold})
		}
		gone(t, s)
	})
}

func TestAMaskOfAPromptIsNonsense(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _, judge := facing(t, Options{})
		s, _, err := h.Begin(Answer{})
		must(t, err)
		judge.say(rmp.SchemaHookVerdict, rmp.HookVerdict{Answer: 2, Index: rmp.HookPrompt, Action: rmp.HookMask, Mask: 7})
		gone(t, s)
	})
}

func TestAfterTheConfirmationOfAnEndNothingOfThatAnswerMayCome(t *testing.T) {
	for name, again := range map[string]struct {
		schema  uint16
		payload any
	}{
		"verdict": {rmp.SchemaHookVerdict, rmp.HookVerdict{Answer: 2, Index: rmp.HookPrompt, Action: rmp.HookAllow}},
		"end":     {rmp.SchemaHookEnd, rmp.HookEnd{Answer: 2}},
	} {
		synctest.Test(t, func(t *testing.T) {
			h, s, judge := facing(t, Options{})
			ended, _, err := h.Begin(Answer{})
			must(t, err)
			ended.End("cancel")
			judge.say(rmp.SchemaHookEnd, rmp.HookEnd{Answer: 2})
			synctest.Wait()
			select {
			case <-s.Later():
				t.Fatalf("%s: the line is gone after a confirmation", name)
			default:
			}
			judge.say(again.schema, again.payload)
			gone(t, s)
		})
	}
}

func TestAnAlarmThatWentOffAsItsVerdictCameMeansNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asker, _ := rmptest.Wires(64)
		defer asker.Close()
		l := newLine(asker, Options{Patience: time.Minute, Now: fixedTime})
		a, err := l.begin([16]byte{}, rmp.HookBegin{})
		must(t, err)
		must(t, l.verdict(a.number, rmp.HookPrompt, Verdict{}))
		l.late(a, 1)
		later(t, a)
		a.Judge(Token{})
		l.late(a, 1) // that of the prompt, while the token has all its time
		if !l.there() {
			t.Error("the line is gone")
		}
	})
}

func TestAJudgeThatIsLateIsGoneForEveryAnswer(t *testing.T) {
	for name, ask := range map[string]func(h Hook, s Session){
		"token":  func(_ Hook, s Session) { s.Judge(Token{}) },
		"prompt": func(h Hook, _ Session) { h.Begin(Answer{}) },
		"end": func(h Hook, s Session) {
			other, _, _ := h.Begin(Answer{})
			other.End("cancel")
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			h, s, _ := facing(t, Options{Patience: time.Minute})
			time.Sleep(time.Hour) // nothing is due
			asked := time.Now()
			ask(h, s)
			if err := gone(t, s); !errors.Is(err, ErrGone) || time.Since(asked) != time.Minute {
				t.Errorf("%s: after %v: %v", name, time.Since(asked), err)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		_, s, _ := facing(t, Options{})
		asked := time.Now()
		s.Judge(Token{})
		if gone(t, s); time.Since(asked) != 2*time.Second {
			t.Errorf("the default patience is %v", time.Since(asked))
		}
	})
}

func TestAJudgeInTimeIsNotLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, s, judge := facing(t, Options{Patience: time.Minute})
		for i := range uint32(5) {
			s.Judge(Token{Index: int(i)})
			time.Sleep(time.Minute - time.Millisecond)
			judge.say(rmp.SchemaHookVerdict, rmp.HookVerdict{Answer: 1, Index: int64(i), Action: rmp.HookAllow})
			later(t, s)
		}
		judge.conn.Close()
	})
}

func TestAJudgeThatDiesWhileItHoldsEndsTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, s, judge := facing(t, Options{})
		s.Judge(Token{})
		judge.say(rmp.SchemaHookVerdict, rmp.HookVerdict{Answer: 1, Action: rmp.HookHold})
		time.Sleep(time.Hour)
		judge.conn.Close()
		if err := gone(t, s); !errors.Is(err, ErrGone) {
			t.Errorf("the cause is %v", err)
		}
	})
}

func TestAJudgeCanGiveUpOneAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, s, judge := facing(t, Options{Patience: time.Minute})
		other, _, err := h.Begin(Answer{})
		must(t, err)
		s.Judge(Token{})
		judge.say(rmp.SchemaHookEnd, rmp.HookEnd{Answer: 1})
		if err := gone(t, s); !errors.Is(err, ErrGone) {
			t.Errorf("the cause is %v", err)
		}
		s.End("hook") // is not told, the judge knows
		judge.say(rmp.SchemaHookVerdict, rmp.HookVerdict{Answer: 2, Index: rmp.HookPrompt, Action: rmp.HookAllow})
		later(t, other)
		time.Sleep(time.Hour)
		if _, decided := other.Judge(Token{}); decided {
			t.Error("the other answer is lost too")
		}
		judge.say(rmp.SchemaHookVerdict, rmp.HookVerdict{Answer: 2, Action: rmp.HookAllow})
		later(t, other)
		judge.conn.Close()
	})
}

func TestAFullConnectionDoesNotHoldUpWhoAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck, _ := rmptest.Wires(0) // nobody receives
		h := Sidecar(dialling(stuck), Options{Patience: time.Minute})
		asked := time.Now()
		var sessions []Session
		for range 100 {
			s, _, err := h.Begin(Answer{})
			must(t, err)
			sessions = append(sessions, s)
		}
		if time.Since(asked) != 0 {
			t.Errorf("it took %v", time.Since(asked))
		}
		for _, s := range sessions {
			gone(t, s)
		}
		if time.Since(asked) != time.Minute {
			t.Errorf("they learnt of it after %v", time.Since(asked))
		}
	})
}
