package splinfer

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"runa/services/hint"
	"runa/services/rmp"
	"runa/services/splinfer/hook"
	"runa/services/splinfer/journal"
	"runa/services/splinfer/llama"
	"runa/services/splinfer/stream"
)

// turn is one answer while it is written.
type turn struct {
	engine  *engine
	job     *job
	seat    *seat
	talk    *talk    // nil: it belongs to no conversation that is kept
	history *history // the conversation with the answer as far as it is
	sampler *llama.Sampler
	stream  *stream.Stream // of what is shown
	seen    *stream.Stream // of what the hook sees
	session hook.Session
	bias    []llama.TokenBias // for the next token
	held    *llama.Choice     // waits for the hook's verdict; an empty one: the answer's beginning does
	goesOn  bool              // it was interrupted, and goes on
	before  int               // tokens of the conversation before its prompt
	limit   int               // most tokens; negative: no bound but the context
	count   int
	done    rmp.Done
	started time.Time
	first   time.Time // when the prompt had been read
	steps   uint64    // pieces of its prompt that were read
	rows    int       // tokens of it in the batch
	row     int       // the one whose logits are wanted, -1 for none
	logits  []float32 // of that row, until draw
	drawn   struct {  // by draw, for choose
		choice llama.Choice
		err    error
	}
}

// start seats a job whose model is loaded.
func (e *engine) start(j *job, p prepared) error {
	l := e.current
	t := &turn{
		engine: e, job: j, talk: p.talk, stream: stream.New(p.values.list("stop")), seen: stream.New(nil),
		limit: p.values.integer("n-predict"), started: e.o.Now(), row: -1,
	}
	sampling, err := p.values.sampling(p.seed)
	if err != nil {
		return err
	}
	if t.sampler, err = l.model.NewSampler(sampling); err != nil {
		return fail(rmp.CodeParameterInvalid, err)
	}
	if err = t.read(p); err == nil {
		err = t.begin(p)
	}
	if err != nil {
		t.sampler.Close()
		return err
	}
	var have int
	t.seat, have = e.place(t.history, t.talk)
	t.seat.turn = t
	t.done.CachedTokens = uint32(have)
	if t.talk != nil {
		t.talk.turn, t.talk.used = t, e.clock
		if have < minShared && t.history.length > l.context.Batch()/4 && len(t.history.segments) > 1 {
			j.tell(rmp.NoticeReading, "Reading the conversation again.")
		}
		e.talks.trim()
	}
	e.stats.begin()
	if p.goOn {
		t.repeat()
	}
	return nil
}

// read brings the prompt's tokens into the history.
func (t *turn) read(p prepared) error {
	l, after := t.engine.current, 0
	t.history = &history{}
	if t.talk != nil {
		if last := t.talk.last.Model; last != "" && last != weights(l) {
			err := fmt.Errorf("go on with conversation %s: the file of model %s has been replaced since", t.talk.id, l.file.name)
			return fail(rmp.CodeModelInvalid, hint.New(err, "begin a new conversation, or put the model's earlier file back"))
		}
		after = t.talk.history.length
		t.history, t.before = &t.talk.history, after
	}
	if p.goOn {
		t.done.PromptTokens = uint32(t.talk.last.at)
		if size := l.context.Size(); after > size {
			return tooLong("no new", after, size)
		}
		return t.again(p)
	}
	tokens, err := l.promptTokens(t.job.request, p.persona.Prompt, after)
	if err != nil {
		return err
	}
	if t.talk != nil {
		if err := t.talk.begin(l, p, tokens); err != nil {
			return err
		}
		t.engine.talks.mark(t.talk.id, true)
		t.engine.talks.sync(t.talk)
	}
	t.history.read(tokens)
	t.done.PromptTokens = uint32(t.history.length)
	if t.talk != nil {
		t.talk.last.at = t.history.length
	}
	return nil
}

// again takes back what was drawn of an answer that has to be drawn again to be
// gone on with: what Mirostat aims at depends on all it drew before. It draws the same.
func (t *turn) again(p prepared) error {
	if p.values.integer("mirostat") == 0 || len(t.talk.last.drawn) == 0 {
		return nil
	}
	if err := t.talk.journal.Append(journal.Keep{Tokens: t.talk.last.at}); err != nil {
		return talkFailure(err)
	}
	t.talk.keep(t.talk.last.at)
	t.talk.last.drawn = nil
	return nil
}

// keep forgets all but the first tokens; a state that has more is none of it any more.
func (c *talk) keep(tokens int) {
	c.history.keep(tokens)
	c.saved = min(c.saved, tokens)
}

// begin writes into the journal with what an answer begins.
func (c *talk) begin(l *loaded, p prepared, tokens []llama.Token) error {
	parameters, err := json.Marshal(p.values)
	if err == nil {
		parameters, err = journal.Canonical(parameters)
	}
	if err != nil {
		return fmt.Errorf("write parameters: %w", err)
	}
	b := journal.Begin{Model: weights(l), Persona: p.persona.Name, Parameters: parameters, Seed: uint64(p.seed)}
	records := []journal.Record{b, journal.Prompt{Tokens: tokens}}
	if c.last.unfinished { // nobody went on with it
		records = append([]journal.Record{journal.End{Reason: rmp.ReasonCancel}}, records...)
	}
	if err := c.journal.Append(records...); err != nil {
		return talkFailure(err)
	}
	c.last = begun{Begin: b, unfinished: true}
	return nil
}

// next are the tokens to be computed next, at most most of them.
func (t *turn) next(most int) []llama.Token {
	return t.history.next(t.engine.current.context.Length(t.seat.number), most)
}

// order is negative if a turn's prompt is to be read before another's: a person's
// before one in the background, and of these the one of which less was read.
func (t *turn) order(other *turn) int {
	if a, b := t.job.background(), other.job.background(); a != b {
		if b {
			return -1
		}
		return 1
	}
	return cmp.Compare(t.steps, other.steps)
}

// add puts tokens into the batch.
func (t *turn) add(tokens []llama.Token) {
	e := t.engine
	have := e.current.context.Length(t.seat.number)
	last := have+len(tokens) == t.history.length
	for i, token := range tokens {
		wanted := last && i == len(tokens)-1
		entry := e.batch.Add(t.seat.number, have+i, token, wanted)
		if wanted {
			t.row = entry
		}
	}
	t.rows = len(tokens)
}

// took notes that tokens of the turn were computed.
func (t *turn) took(rows int) {
	e := t.engine
	if rows > 1 {
		t.steps++
	}
	if t.first.IsZero() {
		e.stats.read(e.o.Now(), rows)
	}
	have := e.current.context.Length(t.seat.number)
	if t.seat.alike == have-rows {
		t.seat.alike = min(t.history.alike(), have)
	}
}

// wantsMore notes that the prompt has been read, and ends the answer if it may have
// no more tokens.
func (t *turn) wantsMore() bool {
	if t.first.IsZero() {
		t.first = t.engine.o.Now()
	}
	if t.limit >= 0 && t.count >= t.limit {
		t.end(rmp.ReasonLength, nil)
		return false
	}
	return true
}

// draw draws the next token by the logits of the batch. Other turns may do so at the
// same time.
func (t *turn) draw() {
	t.drawn.choice, t.drawn.err = t.sampler.Choose(t.logits, t.history.length, t.bias...)
	t.bias, t.logits = nil, nil
}

// choose does with the token that was drawn what the hook says.
func (t *turn) choose() {
	e := t.engine
	choice, err := t.drawn.choice, t.drawn.err
	if err != nil {
		t.broken(err)
		return
	}
	if e.current.model.EndsGeneration(choice.Token) {
		t.end(rmp.ReasonStop, nil)
		return
	}
	piece := e.current.model.Piece(choice.Token, false)
	text, _ := t.seen.Push(piece)
	v, decided := t.session.Judge(hook.Token{Index: t.count, ID: choice.Token, Piece: piece, Text: text, LogProb: choice.LogProb})
	if !decided || v.Action == hook.Hold {
		t.hold(choice)
		return
	}
	t.decide(choice, v)
}

// broken ends an answer whose sampler gave up.
func (t *turn) broken(err error) {
	if errors.Is(err, llama.ErrGrammar) {
		err = fail(rmp.CodeParameterInvalid, err)
	}
	t.end("", err)
}
