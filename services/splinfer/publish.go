package splinfer

import (
	"fmt"
	"strings"
	"time"

	"runa/services/rmp"
	"runa/services/splinfer/journal"
	"runa/services/splinfer/llama"
)

// publish is the one way a token leaves: it was judged, is in the journal, and
// is shown. It reports false if the answer has ended with it.
func (t *turn) publish(choice llama.Choice) bool {
	if err := t.sampler.Accept(choice.Token); err != nil {
		t.broken(err)
		return false
	}
	if t.talk != nil {
		drawn := journal.Drawn{ID: choice.Token, LogProb: choice.LogProb}
		if err := t.talk.journal.Append(journal.Run{Tokens: []journal.Drawn{drawn}}); err != nil {
			t.end("", talkFailure(err))
			return false
		}
		t.talk.last.drawn = append(t.talk.last.drawn, drawn)
	}
	t.engine.stats.wrote(t.engine.o.Now())
	t.history.draw(choice.Token)
	return t.show(choice)
}

// show sends a token to the asker and ends the answer if it is the last one.
func (t *turn) show(choice llama.Choice) bool {
	e := t.engine
	text, stopped := t.stream.Push(e.current.model.Piece(choice.Token, false))
	token := rmp.Token{Index: uint32(t.count), ID: choice.Token, Text: text, LogProb: choice.LogProb}
	for _, top := range choice.Top {
		word := string(e.current.model.Piece(top.Token, true))
		token.Top = append(token.Top, rmp.TopToken{ID: top.Token, Text: strings.ToValidUTF8(word, "\uFFFD"), LogProb: top.LogProb})
	}
	if token.Index >= t.job.request.From {
		t.job.tokens.put(token)
	}
	t.count++
	switch {
	case stopped:
		t.end(rmp.ReasonStop, nil)
	case t.count == t.limit, t.history.length > e.current.context.Size():
		t.end(rmp.ReasonLength, nil)
	default:
		return true
	}
	return false
}

// repeat shows again what was shown of an answer before it was interrupted.
func (t *turn) repeat() {
	for _, drawn := range t.talk.last.drawn {
		if err := t.sampler.Accept(drawn.ID); err != nil {
			t.broken(err)
			return
		}
		if !t.show(llama.Choice{Token: drawn.ID, LogProb: drawn.LogProb}) {
			return
		}
	}
}

// end ends the answer for a reason, or because of an error.
func (t *turn) end(reason string, err error) {
	e := t.engine
	now := e.o.Now()
	t.session.End(orElse(reason, "error"))
	t.sampler.Close()
	t.seat.turn = nil
	t.done.Reason, t.done.Tokens = reason, uint32(t.count)
	if reason == rmp.ReasonStop || reason == rmp.ReasonLength {
		t.done.Text = t.stream.Flush()
	}
	if t.first.IsZero() {
		t.first = now
	}
	t.done.PrefillMs, t.done.DecodeMs = milliseconds(t.first.Sub(t.started)), milliseconds(now.Sub(t.first))
	e.stats.end()
	result := outcome{done: t.done, err: err}
	t.log(result)
	if t.talk == nil {
		t.job.ended <- result
		return
	}
	t.talk.turn = nil
	if !e.ending() {
		if reason == "" {
			reason = "error"
		}
		t.close(reason)
		e.save(t.seat)
	}
	// Who reads that an answer is done may pull the plug: it is on the disk then.
	kept, job := t.talk.journal, t.job
	e.talks.saves.Go(func() {
		if err := kept.Sync(); err != nil && result.err == nil {
			result.err = talkFailure(fmt.Errorf("keep the conversation: %w", err))
		}
		job.ended <- result
	})
}

// close writes into the journal that the answer has ended.
func (t *turn) close(reason string) {
	if t.talk == nil {
		return
	}
	if err := t.talk.journal.Append(journal.End{Reason: reason}); err != nil {
		t.engine.o.Log.Warn("the end of an answer is not in its journal", "conversation", t.talk.id, "reason", err.Error())
		return
	}
	t.talk.last.unfinished = false
	t.engine.talks.mark(t.talk.id, false)
}

// log writes one record per answer: numbers and codes, never words.
func (t *turn) log(o outcome) {
	if o.err != nil {
		t.engine.o.Log.Warn("request failed", "request", t.job.id, "code", report(o.err).Code)
		return
	}
	done := o.done
	t.engine.o.Log.Info("request answered", "request", t.job.id, "reason", done.Reason,
		"prompt_tokens", done.PromptTokens, "cached", done.CachedTokens, "tokens", done.Tokens,
		"prefill_per_second", perSecond(done.PromptTokens-min(done.CachedTokens, done.PromptTokens), done.PrefillMs),
		"decode_per_second", perSecond(done.Tokens, done.DecodeMs))
}

func perSecond(tokens uint32, ms float64) int {
	if ms <= 0 {
		return 0
	}
	return int(float64(tokens) * 1000 / ms)
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
