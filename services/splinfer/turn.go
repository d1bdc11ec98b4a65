package splinfer

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"runa/services/hint"
	"runa/services/rmp"
	"runa/services/splinfer/hook"
	"runa/services/splinfer/journal"
	"runa/services/splinfer/llama"
	"runa/services/splinfer/persona"
	"runa/services/splinfer/stream"
)

// prepared is a job that is read as far as no model is needed for it.
type prepared struct {
	talk    *talk // nil: it belongs to no conversation that is kept
	goOn    bool  // with the answer that was interrupted
	values  Values
	seed    uint32
	persona persona.Persona
	model   string
	lora    []string
}

// prepare reads a request: its conversation, persona, parameters and model.
func (e *engine) prepare(j *job) (p prepared, err error) {
	g := j.request
	if p.values, p.persona, err = e.parameters(g); err != nil {
		return p, err
	}
	p.seed = p.values.seed(e.o.Random())
	if g.Conversation != "" {
		if p.talk, err = e.talks.get(g.Conversation); err != nil {
			return p, err
		}
		if p.talk.turn != nil {
			err := fmt.Errorf("go on with conversation %s: another request does", g.Conversation)
			return p, fail(rmp.CodeConversationBusy, hint.New(err, "wait until that is answered"))
		}
		if p.goOn = len(g.Messages) == 0 && g.Prompt == ""; p.goOn {
			if err := p.recall(e.o.Defaults); err != nil {
				return p, err
			}
		}
	}
	p.lora = p.values.list("lora")
	p.model = g.Model
	if p.talk != nil && p.talk.last.Model != "" {
		own := modelName(p.talk.last.Model)
		if p.model != "" && p.model != own {
			err := fmt.Errorf("go on with conversation %s: it was begun with model %s", g.Conversation, own)
			return p, fail(rmp.CodeParameterInvalid, hint.New(err, "begin a new conversation for another model"))
		}
		p.model = own
	}
	if p.model == "" {
		p.model, err = e.folder.defaultName(e.o.Model)
		if err != nil && g.Conversation == "" {
			e.judge(err)
		}
	}
	return p, err
}

// recall takes the parameters of the answer that was interrupted.
func (p *prepared) recall(defaults Values) error {
	last := p.talk.last
	if !last.unfinished {
		err := fmt.Errorf("go on with conversation %s: its last answer was not interrupted", p.talk.id)
		return fail(rmp.CodeParameterInvalid, hint.New(err, "send a message"))
	}
	var given map[string]any
	err := json.Unmarshal(last.Parameters, &given)
	if err == nil {
		p.values, err = defaults.With(given)
	}
	if err != nil {
		return fail(rmp.CodeConversationDamaged, fmt.Errorf("go on with conversation %s: the parameters in its journal can't be read", p.talk.id))
	}
	p.seed = uint32(last.Seed)
	return nil
}

// parameters are the request's over the persona's over the service's.
func (e *engine) parameters(g rmp.Generate) (Values, persona.Persona, error) {
	var who persona.Persona
	values := e.o.Defaults
	var err error
	if g.Persona != "" {
		var known bool
		if who, known = e.personas[g.Persona]; !known {
			return nil, who, fail(rmp.CodePersonaUnknown, e.hintPersonas())
		}
		if values, err = values.With(who.Parameters); err != nil {
			return nil, who, err
		}
	}
	if values, err = values.With(g.Parameters); err != nil {
		return nil, who, err
	}
	if g.Priority != "" && g.Priority != rmp.PriorityPerson && g.Priority != rmp.PriorityBackground {
		return nil, who, fail(rmp.CodeParameterInvalid, errors.New("read request: priority must be person or background"))
	}
	return values, who, values.check()
}

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
	limit   int               // most tokens; negative: no bound but the context
	count   int
	done    rmp.Done
	started time.Time
	first   time.Time // when the prompt had been read
	steps   uint64    // pieces of its prompt that were read
	rows    int       // tokens of it in the batch
	row     int       // the one whose logits are wanted, -1 for none
}

// start seats a job whose model is loaded.
func (e *engine) start(j *job, p prepared) error {
	l := e.current
	t := &turn{
		engine: e, job: j, talk: p.talk, stream: stream.New(p.values.list("stop")), seen: stream.New(nil),
		limit: p.values.integer("n-predict"), started: e.o.Now(), row: -1,
	}
	if err := t.read(p); err != nil {
		return err
	}
	sampling, err := p.values.sampling(p.seed)
	if err != nil {
		return err
	}
	if t.sampler, err = l.model.NewSampler(sampling); err != nil {
		return fail(rmp.CodeParameterInvalid, err)
	}
	if err := t.begin(p); err != nil {
		t.sampler.Close()
		return err
	}
	t.seat, t.done.CachedTokens = nil, 0
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
	e.stats.begin(t.done)
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
		t.history = &t.talk.history
	}
	if p.goOn {
		t.done.PromptTokens = uint32(t.talk.last.at)
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
	t.history.keep(t.talk.last.at)
	t.talk.last.drawn = nil
	return nil
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

// begin lets the token hook and the sampler know what stands before the answer.
func (t *turn) begin(p prepared) error {
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
		return t.refused(err)
	}
	t.session = session
	switch v.Action {
	case hook.Hold:
		t.hold(llama.Choice{Token: -1})
	case hook.Stop:
		session.End(rmp.ReasonHook)
		return t.refused(errors.New(orElse(v.Text, usualRefusal)))
	case hook.Whisper:
		if p.goOn {
			return nil // it was put there when the answer began
		}
		fallthrough
	default:
		return t.obey(v)
	}
	return nil
}

// usualRefusal is said where the hook has no words of its own.
const usualRefusal = "This can't be answered here."

func orElse(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// refused is what the asker gets where nobody could judge the answer, or the
// judge refused the prompt. The journal says that the answer has ended.
func (t *turn) refused(err error) error {
	if t.talk != nil {
		t.close(rmp.ReasonHook)
	}
	return fail(rmp.CodeHookFailed, err)
}

// next are the tokens to be computed next, at most most of them.
func (t *turn) next(most int) []llama.Token {
	return t.history.next(t.engine.current.context.Length(t.seat.number), most)
}

// before says whether a turn's prompt is to be read before another's: a person's
// before one in the background, and of these the one of which less was read.
func (t *turn) before(other *turn) bool {
	if a, b := t.job.background(), other.job.background(); a != b {
		return b
	}
	return t.steps < other.steps
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

// choose draws the next token by the logits of the batch.
func (t *turn) choose() {
	e := t.engine
	if t.first.IsZero() {
		t.first = e.o.Now()
	}
	if t.limit >= 0 && t.count >= t.limit {
		t.end(rmp.ReasonLength, nil)
		return
	}
	choice, err := t.sampler.Choose(e.current.context.LogitsAt(t.row), t.history.length, t.bias...)
	t.bias = nil
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
	switch {
	case !v.ok:
		t.end("", fail(rmp.CodeHookFailed, hint.New(errors.New("the answer was stopped: nobody could judge it"), "try again in a moment")))
	case choice.Token >= 0:
		t.decide(choice, v.Verdict)
	case v.Action == hook.Stop:
		t.job.tell(rmp.NoticeRefusal, orElse(v.Text, usualRefusal))
		t.end(rmp.ReasonHook, nil)
	default:
		if err := t.obey(v.Verdict); err != nil {
			t.end("", err)
		}
	}
}

// decide does with a chosen token what the hook wants.
func (t *turn) decide(choice llama.Choice, v hook.Verdict) {
	if v.Rule != "" {
		t.engine.o.Log.Info("token hook", "request", t.job.id, "token", t.count, "action", int(v.Action), "rule", v.Rule)
	}
	switch v.Action {
	case hook.Stop:
		t.job.tell(rmp.NoticeRefusal, orElse(v.Text, usualRefusal))
		t.end(rmp.ReasonHook, nil)
		return
	case hook.Mask:
		if v.Mask < 0 || int(v.Mask) >= t.engine.current.model.VocabularySize() {
			t.end("", fail(rmp.CodeHookFailed, errors.New("the token hook wants a token that the model does not have")))
			return
		}
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
		if err == nil && t.talk != nil && len(tokens) > 0 {
			err = t.talk.journal.Append(journal.Whisper{Tokens: tokens})
		}
		if err != nil {
			return talkFailure(err)
		}
		if t.history.length+len(tokens) >= e.current.context.Size() {
			return tooLong(fmt.Sprint(len(tokens)), t.history.length, e.current.context.Size())
		}
		t.history.read(tokens)
	}
	return nil
}

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
	if !e.ending {
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
