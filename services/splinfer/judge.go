package splinfer

import (
	"errors"
	"fmt"

	"runa/services/hint"
	"runa/services/rmp"
	"runa/services/splinfer/hook"
	"runa/services/splinfer/journal"
	"runa/services/splinfer/llama"
)

// begin lets the token hook and the sampler know what stands before the answer.
func (t *turn) begin(p prepared) error {
	t.goesOn = p.goOn
	var tokens []llama.Token
	for _, s := range t.history.segments {
		tokens = append(tokens, s.tokens...)
	}
	if p.goOn {
		tokens = tokens[:min(t.talk.last.at, len(tokens))]
	}
	t.sampler.Remember(tokens)
	model := t.engine.current.model
	session, v, err := t.engine.o.Hook.Begin(hook.Answer{
		Trace: t.job.trace, Conversation: t.job.request.Conversation, Persona: p.persona.Name, Prompt: tokens,
		Piece: func(id int32) []byte { return model.Piece(id, false) },
	})
	if err != nil {
		t.undo("error")
		return fail(rmp.CodeHookFailed, err)
	}
	t.session = session
	if v, err = t.checked(v); err != nil {
		session.End("error")
		t.undo("error")
		return err
	}
	switch v.Action {
	case hook.Hold:
		t.hold(llama.Choice{Token: -1})
	case hook.Stop, hook.Mask: // there is no one token of the prompt to replace
		session.End(rmp.ReasonHook)
		t.undo(rmp.ReasonHook)
		t.job.tell(rmp.NoticeRefusal, orElse(v.Text, usualRefusal))
		t.done.Reason = rmp.ReasonHook
		t.log(outcome{done: t.done})
		t.job.ended <- outcome{done: t.done}
		return errRefused
	default:
		return t.open(v)
	}
	return nil
}

// undo takes back a prompt that may not be answered, and ends the answer in the
// journal. One that is gone on with only ends.
func (t *turn) undo(reason string) {
	if t.talk == nil {
		return
	}
	if !t.goesOn {
		if err := t.talk.journal.Append(journal.Keep{Tokens: t.before}); err != nil {
			t.engine.o.Log.Warn("a prompt that was refused stays in its journal", "conversation", t.talk.id, "reason", err.Error())
		} else {
			t.talk.keep(t.before)
		}
	}
	t.close(reason)
}

// open begins the answer as the hook wants. What it whispered when an interrupted
// answer began is in the conversation already.
func (t *turn) open(v hook.Verdict) error {
	if v.Action == hook.Whisper && t.goesOn {
		return nil
	}
	return t.obey(v)
}

// checked refuses a verdict that can't be followed: nothing is shown then.
func (t *turn) checked(v hook.Verdict) (hook.Verdict, error) {
	if err := v.Check(t.engine.current.model.VocabularySize()); err != nil {
		return v, fail(rmp.CodeHookFailed, fmt.Errorf("judge the answer: %w", err))
	}
	if v.Rule != "" {
		t.engine.o.Log.Info("token hook", "request", t.job.id, "token", t.count, "action", v.Action.String(), "rule", v.Rule)
	}
	return v, nil
}

// errRefused says that the hook has refused a prompt, and that the asker knows it.
var errRefused = errors.New("refused by the token hook")

// usualRefusal is said where the hook has no words of its own.
const usualRefusal = "This can't be answered here."

func orElse(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// hold lets the answer wait for a verdict that the hook gives later.
func (t *turn) hold(choice llama.Choice) {
	t.held = &choice
	e, later := t.engine, t.session.Later()
	go func() {
		v, ok := <-later
		select {
		case e.verdicts <- verdict{t, v, ok}:
		case <-e.stopped:
		}
	}()
}

// resume goes on with an answer whose verdict has come.
func (e *engine) resume(v verdict) {
	t := v.turn
	if t.seat == nil || t.seat.turn != t || t.held == nil {
		return // it has ended meanwhile
	}
	choice := *t.held
	t.held = nil
	if !v.ok {
		if cause := hook.Cause(t.session); cause != nil {
			e.o.Log.Warn("token hook is gone", "request", t.job.id, "reason", cause.Error())
		}
		t.end("", fail(rmp.CodeHookFailed, hint.New(errors.New("the answer was stopped: nobody could judge it"), "try again in a moment")))
		return
	}
	if choice.Token >= 0 {
		t.decide(choice, v.Verdict)
		return
	}
	checked, err := t.checked(v.Verdict)
	switch {
	case err != nil:
		t.end("", err)
	case checked.Action == hook.Stop || checked.Action == hook.Mask:
		t.refuse(checked)
	default:
		if err := t.open(checked); err != nil {
			t.end("", err)
		}
	}
}

// refuse ends the answer with the hook's words.
func (t *turn) refuse(v hook.Verdict) {
	t.job.tell(rmp.NoticeRefusal, orElse(v.Text, usualRefusal))
	t.end(rmp.ReasonHook, nil)
}

// decide does with a chosen token what the hook wants.
func (t *turn) decide(choice llama.Choice, v hook.Verdict) {
	v, err := t.checked(v)
	if err != nil {
		t.end("", err)
		return
	}
	switch v.Action {
	case hook.Stop:
		t.refuse(v)
		return
	case hook.Mask:
		choice.Token, choice.Top = v.Mask, nil
	}
	if t.publish(choice) {
		if err := t.obey(v); err != nil {
			t.end("", err)
		}
	}
}

// obey does what the hook wants beside a token that was shown.
func (t *turn) obey(v hook.Verdict) error {
	e := t.engine
	switch v.Action {
	case hook.BiasNext:
		for _, b := range v.Bias {
			t.bias = append(t.bias, llama.TokenBias{Token: b.Token, Bias: b.Bias})
		}
	case hook.Whisper:
		tokens, err := e.current.model.Tokenize(v.Text, false, false)
		if err == nil && t.history.length+len(tokens) >= e.current.context.Size() {
			return tooLong(fmt.Sprint(len(tokens)), t.history.length, e.current.context.Size())
		}
		if err == nil && t.talk != nil && len(tokens) > 0 {
			err = t.talk.journal.Append(journal.Whisper{Tokens: tokens})
		}
		if err != nil {
			return talkFailure(err)
		}
		t.history.read(tokens)
	}
	return nil
}
