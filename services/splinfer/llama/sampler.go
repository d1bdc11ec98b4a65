package llama

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
)

// Sampler chooses the tokens of one answer. It is Go all through but for a
// grammar, which is llama.cpp's own, and gives the same token for the same
// logits, history, seed and position, whatever was chosen before.
//
// Choose decides and changes nothing; Accept takes a token into the history. A
// Sampler belongs to one goroutine at a time.
type Sampler struct {
	model    *Model
	options  Sampling
	order    []string
	biases   []TokenBias
	grammar  uintptr
	history  history
	dry      dry
	mirostat mirostat
	set      candidates
	chosen   Token   // by the last Choose
	nextMu   float32 // Mirostat's mu if chosen is accepted
	top      candidates
	inC      []tokenData
	array    tokenDataArray
	single   [1]tokenData
}

// Choice is a chosen token with its natural log-probability under the model,
// before temperature, penalties or any other sampler touched it.
type Choice struct {
	Token   Token
	LogProb float32
	Top     []TokenLogProb // the NProbs likeliest tokens, in order
}

// NewSampler builds llama.cpp's chain: biases, then Samplers in their order and a
// draw, or temperature and Mirostat.
func (m *Model) NewSampler(s Sampling) (*Sampler, error) {
	if err := s.check(m); err != nil {
		return nil, fmt.Errorf("new sampler: %w", err)
	}
	s.Samplers, s.DrySequenceBreak = slices.Clone(s.Samplers), slices.Clone(s.DrySequenceBreak)
	sampler := &Sampler{model: m, options: s, order: s.order(), biases: s.biases(m), dry: m.newDry(s), mirostat: newMirostat(s), chosen: -1}
	lastN := 0
	if s.RepeatPenalty != 1 || s.FrequencyPenalty != 0 || s.PresencePenalty != 0 {
		lastN = m.lookBack(s.RepeatLastN)
	}
	sampler.history = newHistory(lastN, sampler.dry.lastN)
	if s.Grammar != "" {
		handle, err := m.parseGrammar(s.Grammar)
		if err != nil {
			return nil, fmt.Errorf("new sampler: %w", err)
		}
		sampler.grammar = handle
	}
	return sampler, nil
}

// order is which samplers run; with Mirostat none of those in the list does.
func (s Sampling) order() []string {
	switch {
	case s.Mirostat > 0 && s.Temp > 0:
		return nil
	case s.Samplers == nil:
		return DefaultSamplers()
	}
	return s.Samplers
}

// Close frees the sampler's grammar.
func (s *Sampler) Close() {
	if s.grammar != 0 {
		s.model.library.c.samplerFree(s.grammar)
		s.grammar = 0
	}
}

// Remember lets penalties know tokens that stand before the answer. A grammar
// does not see them.
func (s *Sampler) Remember(prompt []Token) {
	for _, t := range prompt[max(0, len(prompt)-s.history.keep):] {
		if s.model.valid(t) {
			s.history.add(t)
		}
	}
}

// Accept takes a token of the answer into the history and moves the grammar and
// Mirostat on. A token that the grammar does not allow is refused with ErrGrammar.
func (s *Sampler) Accept(t Token) error {
	if !s.model.valid(t) {
		return fmt.Errorf("accept: token %d is not within the vocabulary of %d", t, s.model.words)
	}
	if s.grammar != 0 && !s.model.EndsGeneration(t) {
		if !s.allowed(t) { // libllama ends the process over it
			return fmt.Errorf("accept: %w: it does not allow the token", ErrGrammar)
		}
		s.model.library.c.accept(s.grammar, t)
	}
	if t == s.chosen {
		s.mirostat.mu = s.nextMu
	}
	s.chosen = -1
	s.history.add(t)
	return nil
}

// Surprise is Mirostat's running bound (mu), which depends on all tokens chosen
// so far: whoever takes an answer up again must keep it beside the tokens.
func (s *Sampler) Surprise() float32 { return s.mirostat.mu }

// SetSurprise puts back what Surprise gave.
func (s *Sampler) SetSurprise(mu float32) error {
	if math.IsNaN(float64(mu)) || math.IsInf(float64(mu), 0) {
		return errors.New("set surprise: it is not a finite number")
	}
	s.mirostat.mu = mu
	return nil
}

// Sample chooses the token that follows the last decoded one of sequence 0, and
// accepts it unless it ends generation.
func (s *Sampler) Sample(c *Context) (Choice, error) {
	choice, err := s.Choose(c.Logits(), c.Length(0))
	if err != nil || s.model.EndsGeneration(choice.Token) {
		return choice, err
	}
	return choice, s.Accept(choice.Token)
}

// Choose chooses the token at a position of a conversation by the logits
// computed for it; extra biases hold for this token only. Position and seed decide the
// draw. As in llama.cpp a grammar is asked about the chosen token first, and
// applied to the whole vocabulary only if it refuses that one.
func (s *Sampler) Choose(logits []float32, position int, extra ...TokenBias) (Choice, error) {
	if len(logits) != int(s.model.words) {
		return Choice{}, fmt.Errorf("sample: nothing was decoded: %d logits for a vocabulary of %d", len(logits), s.model.words)
	}
	most := s.set.load(logits)
	if math.IsNaN(float64(most)) || math.IsInf(float64(most), 0) {
		return Choice{}, errors.New("sample: the model's logits are not finite numbers")
	}
	if err := s.checkExtra(extra); err != nil {
		return Choice{}, err
	}
	token, ok := s.run(position, extra, drawToken)
	if ok && s.grammar != 0 && !s.allowed(token) {
		s.set.load(logits)
		if !s.applyGrammar() {
			return Choice{}, fmt.Errorf("sample: %w: no token of the model can follow here", ErrGrammar)
		}
		token, ok = s.run(position, extra, drawAgain)
	}
	if !ok {
		return Choice{}, errors.New("sample: the samplers left no token to choose")
	}
	s.chosen = token
	base := most + logSumExp(logits, most)
	return Choice{Token: token, LogProb: logits[token] - base, Top: s.likeliest(logits, base)}, nil
}

func (s *Sampler) checkExtra(extra []TokenBias) error {
	for _, b := range extra {
		if !s.model.valid(b.Token) || math.IsNaN(float64(b.Bias)) || math.IsInf(float64(b.Bias), 1) {
			return fmt.Errorf("sample: a bias for token %d is not a number, or not of a token", b.Token)
		}
	}
	return nil
}

// run applies biases and samplers to the set and chooses; false if none is left.
func (s *Sampler) run(position int, extra []TokenBias, why purpose) (Token, bool) {
	for _, list := range [][]TokenBias{s.biases, extra} {
		for _, b := range list {
			s.set.own()[b.Token] += b.Bias
		}
	}
	if s.options.Temp <= 0 {
		s.penalise()
		best, ok := s.set.best()
		return best.token, ok
	}
	var list []candidate
	if s.options.Mirostat > 0 {
		s.apply("temperature", position)
		if _, some := s.set.best(); !some {
			return 0, false
		}
		list = s.mirostat.cut(&s.set, int(s.model.words))
	} else {
		for _, name := range s.order {
			s.apply(name, position)
		}
		list = s.set.softmax()
	}
	if len(list) == 0 {
		return 0, false
	}
	chosen := draw(list, uniform(s.options.Seed, position, why))
	s.nextMu = s.mirostat.after(chosen.p)
	return chosen.token, true
}

// penalise runs those samplers of the list that move the likeliest token; with
// a temperature of zero the others decide nothing.
func (s *Sampler) penalise() {
	for _, name := range s.order {
		if name == "penalties" || name == "dry" {
			s.apply(name, 0)
		}
	}
}

// apply runs one sampler by its name.
func (s *Sampler) apply(name string, position int) {
	o := &s.options
	switch name {
	case "penalties":
		s.set.penalties(s.history.counts, o.RepeatPenalty, o.FrequencyPenalty, o.PresencePenalty)
	case "dry":
		s.dry.apply(&s.set, &s.history)
	case "top_n_sigma":
		s.set.topNSigma(o.TopNSigma)
	case "top_k":
		if o.TopK > 0 {
			s.set.top(o.TopK)
		}
	case "typ_p":
		s.set.typical(o.TypicalP, o.MinKeep)
	case "top_p":
		s.set.topP(o.TopP, o.MinKeep)
	case "min_p":
		s.set.minP(o.MinP, o.MinKeep)
	case "xtc":
		if o.XTCProbability > 0 {
			s.set.excludeTop(o.XTCProbability, o.XTCThreshold, o.MinKeep, uniform(o.Seed, position, drawExclude))
		}
	case "temperature":
		exponent := o.DynatempExponent
		if exponent == 0 {
			exponent = 1
		}
		s.set.temperature(o.Temp, o.DynatempRange, exponent)
	}
}

// allowed asks the grammar about one token.
func (s *Sampler) allowed(t Token) bool {
	s.single[0] = tokenData{id: t, logit: 1}
	s.array = tokenDataArray{data: &s.single[0], size: 1, selected: -1}
	s.model.library.c.apply(s.grammar, &s.array)
	runtime.KeepAlive(s)
	return !math.IsInf(float64(s.single[0].logit), -1)
}

// applyGrammar removes from the set what the grammar does not allow; false if
// nothing is left.
func (s *Sampler) applyGrammar() (some bool) {
	s.inC = slices.Grow(s.inC[:0], len(s.set.dense))[:len(s.set.dense)]
	for t, logit := range s.set.dense {
		s.inC[t] = tokenData{id: Token(t), logit: logit}
	}
	s.array = tokenDataArray{data: &s.inC[0], size: uintptr(len(s.inC)), selected: -1}
	s.model.library.c.apply(s.grammar, &s.array)
	runtime.KeepAlive(s)
	dense := s.set.own()
	for t, data := range s.inC {
		dense[t] = data.logit
		some = some || data.logit > negativeInfinity
	}
	return some
}

// likeliest lists the NProbs likeliest tokens by the model's own logits.
func (s *Sampler) likeliest(logits []float32, base float32) []TokenLogProb {
	if s.options.NProbs == 0 {
		return nil
	}
	heap := topHeap{list: s.top.list[:0], limit: min(s.options.NProbs, len(logits))}
	heap.offerAll(logits)
	s.top.list = heap.list
	slices.SortFunc(heap.list, better)
	list := make([]TokenLogProb, len(heap.list))
	for i, c := range heap.list {
		list[i] = TokenLogProb{Token: c.token, LogProb: c.logit - base}
	}
	return list
}
