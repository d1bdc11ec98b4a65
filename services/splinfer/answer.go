package splinfer

import (
	"context"
	"errors"
	"time"

	"runa/services/rmp"
	"runa/services/splinfer/llama"
)

// answer is one answer while it is written.
type answer struct {
	*loaded
	sampler *llama.Sampler
	emit    func(rmp.Token)
	hook    Hook
	now     func() time.Time
	limit   int // most tokens; negative: no bound but the context
	text    characters
	count   int

	progress *progress
}

func (a *answer) write(ctx context.Context, prompt []llama.Token) (rmp.Done, error) {
	done := rmp.Done{PromptTokens: uint32(len(prompt))}
	started := a.now()
	err := a.prefill(prompt)
	prefilled := a.now()
	done.PrefillMs = milliseconds(prefilled.Sub(started))
	if err == nil {
		done.Reason, err = a.decode(ctx)
	}
	done.DecodeMs = milliseconds(a.now().Sub(prefilled))
	done.Tokens = uint32(a.count)
	if errors.Is(err, llama.ErrAborted) {
		done.Reason, err = rmp.ReasonCancel, nil
	}
	if errors.Is(err, llama.ErrGrammar) {
		err = fail(rmp.CodeParameterInvalid, err)
	}
	return done, err
}

// prefill reads the prompt in batches; an abort stops it within a batch.
func (a *answer) prefill(prompt []llama.Token) error {
	a.context.Clear()
	a.sampler.Remember(prompt)
	for len(prompt) > 0 {
		n := min(len(prompt), a.context.Batch())
		a.progress.begin(a.now(), decodeAllowance(n))
		if err := a.context.Decode(prompt[:n]); err != nil {
			return err
		}
		prompt = prompt[n:]
	}
	return nil
}

func (a *answer) decode(ctx context.Context) (reason string, err error) {
	for a.limit < 0 || a.count < a.limit {
		a.progress.begin(a.now(), decodeAllowance(1))
		if ctx.Err() != nil {
			return rmp.ReasonCancel, nil
		}
		choice, err := a.sampler.Sample(a.context)
		if err != nil {
			return "", err
		}
		if a.model.EndsGeneration(choice.Token) || !a.publish(choice) {
			return rmp.ReasonStop, nil
		}
		if a.context.Used() == a.context.Size() || a.count == a.limit {
			break
		}
		if err := a.context.Decode([]llama.Token{choice.Token}); err != nil {
			return "", err
		}
	}
	return rmp.ReasonLength, nil
}

// publish is the one way a token leaves: past the hook. It reports false when
// the hook stops the answer.
func (a *answer) publish(choice llama.Choice) bool {
	token := rmp.Token{
		Index: uint32(a.count), ID: choice.Token, LogProb: choice.LogProb,
		Text: a.text.push(a.model.Piece(choice.Token, false)),
	}
	if a.hook(token) == Stop {
		return false
	}
	a.count++
	a.emit(token)
	return true
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
