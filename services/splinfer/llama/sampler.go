package llama

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"unsafe"

	"runa/services/hint"
)

// Sampling says how the next token is chosen; the names are those of
// llama.cpp's command line.
type Sampling struct {
	Temp             float32 // <= 0: the likeliest token
	TopK             int     // <= 0: all
	TopP             float32 // 1: off
	MinP             float32 // 0: off
	TypicalP         float32 // 1: off
	RepeatLastN      int     // tokens that penalties look back on
	RepeatPenalty    float32 // 1: off
	FrequencyPenalty float32 // 0: off
	PresencePenalty  float32 // 0: off
	Mirostat         int     // 0, 1 or 2
	MirostatEnt      float32 // tau: target surprise
	MirostatLR       float32 // eta: learning rate
	Seed             uint32
	IgnoreEOS        bool
	Grammar          string // GBNF with a rule named root; empty: none
}

// ErrGrammar is wrapped by errors about a grammar that can't be used.
var ErrGrammar = errors.New("grammar")

// Sampler chooses tokens for one answer.
type Sampler struct {
	model      *Model
	chain      uintptr
	grammar    uintptr
	penalties  bool
	lastN      int
	candidates []tokenData
	array      tokenDataArray
	single     [1]tokenData
}

// Choice is a chosen token with its natural log-probability under the model,
// before temperature, penalties or any other sampler touched it.
type Choice struct {
	Token   Token
	LogProb float32
}

// NewSampler builds llama.cpp's default chain (penalties, top-k, typical,
// top-p, min-p, temperature, then a draw) or the mirostat one.
func (m *Model) NewSampler(s Sampling) (*Sampler, error) {
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("new sampler: %w", err)
	}
	sampler := &Sampler{model: m, lastN: s.RepeatLastN, candidates: make([]tokenData, m.words)}
	if s.Grammar != "" {
		handle, err := m.parseGrammar(s.Grammar)
		if err != nil {
			return nil, fmt.Errorf("new sampler: %w", err)
		}
		sampler.grammar = handle
	}
	c := &m.library.c
	sampler.chain = c.chainInit(samplerChainParams{noPerf: true})
	sampler.addBias(s)
	sampler.penalties = s.RepeatLastN > 0 && (s.RepeatPenalty != 1 || s.FrequencyPenalty != 0 || s.PresencePenalty != 0)
	sampler.addChain(s)
	return sampler, nil
}

// check refuses what would make libllama abort or divide by zero.
func (s Sampling) check() error {
	for name, value := range map[string]float32{
		"temp": s.Temp, "top-p": s.TopP, "min-p": s.MinP, "typical-p": s.TypicalP,
		"repeat-penalty": s.RepeatPenalty, "frequency-penalty": s.FrequencyPenalty,
		"presence-penalty": s.PresencePenalty, "mirostat-ent": s.MirostatEnt, "mirostat-lr": s.MirostatLR,
	} {
		if math.IsNaN(float64(value)) || math.IsInf(float64(value), 0) {
			return fmt.Errorf("%s is not a finite number", name)
		}
	}
	switch {
	case s.RepeatPenalty <= 0:
		return fmt.Errorf("repeat-penalty %g is not above 0", s.RepeatPenalty)
	case s.RepeatLastN < 0 || s.RepeatLastN > 1<<20:
		return fmt.Errorf("repeat-last-n %d is not within 0 to %d", s.RepeatLastN, 1<<20)
	case s.Mirostat < 0 || s.Mirostat > 2:
		return fmt.Errorf("mirostat %d is not 0, 1 or 2", s.Mirostat)
	case s.TopK > math.MaxInt32:
		return fmt.Errorf("top-k %d is too large", s.TopK)
	}
	return nil
}

// addBias forbids tokens the model lists as never to be sampled and, with
// IgnoreEOS, those that end generation.
func (s *Sampler) addBias(options Sampling) {
	forbidden := append([]Token(nil), s.model.suppress...)
	if options.IgnoreEOS {
		for t := range s.model.words {
			if s.model.EndsGeneration(t) {
				forbidden = append(forbidden, t)
			}
		}
	}
	if len(forbidden) == 0 {
		return
	}
	biases := make([]logitBias, len(forbidden))
	for i, t := range forbidden {
		biases[i] = logitBias{token: t, bias: float32(math.Inf(-1))}
	}
	c := &s.model.library.c
	c.chainAdd(s.chain, c.bias(s.model.words, int32(len(biases)), &biases[0]))
}

func (s *Sampler) addChain(o Sampling) {
	c := &s.model.library.c
	add := func(sampler uintptr) { c.chainAdd(s.chain, sampler) }
	if o.Mirostat > 0 && o.Temp > 0 {
		add(c.temp(o.Temp))
		if o.Mirostat == 1 {
			add(c.mirostat(s.model.words, o.Seed, o.MirostatEnt, o.MirostatLR, 100))
		} else {
			add(c.mirostatV2(o.Seed, o.MirostatEnt, o.MirostatLR))
		}
		return
	}
	if s.penalties {
		add(c.penalties(s.model.words, int32(o.RepeatLastN), o.RepeatPenalty, o.FrequencyPenalty, o.PresencePenalty))
	}
	if o.Temp <= 0 {
		add(c.greedy())
		return
	}
	add(c.topK(int32(o.TopK)))
	add(c.typical(o.TypicalP, 0))
	add(c.topP(o.TopP, 0))
	add(c.minP(o.MinP, 0))
	add(c.temp(o.Temp))
	add(c.dist(o.Seed))
}

// parseGrammar compiles GBNF. llama.cpp prints a faulty grammar in full, so
// its log is muted and its standard error caught; the error carries only the
// place and the kind of the fault.
func (m *Model) parseGrammar(text string) (uintptr, error) {
	if err := checkGrammar(text); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrGrammar, err)
	}
	var handle uintptr
	restore := muteLog()
	printed, err := captureStandardError(func() { handle = m.library.c.grammar(m.vocab, text, "root") })
	restore()
	if handle != 0 {
		return handle, nil
	}
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrGrammar, err)
	}
	return 0, hint.New(fmt.Errorf("%w: %s", ErrGrammar, grammarFault(printed, text)), "grammars are written in llama.cpp's GBNF and need a rule named root")
}

// Close frees the sampler.
func (s *Sampler) Close() {
	if s.chain != 0 {
		s.model.library.c.samplerFree(s.chain)
	}
	if s.grammar != 0 {
		s.model.library.c.samplerFree(s.grammar)
	}
	s.chain, s.grammar = 0, 0
}

// Remember lets penalties know the tokens of a prompt.
func (s *Sampler) Remember(prompt []Token) {
	if !s.penalties {
		return
	}
	for _, t := range prompt[max(0, len(prompt)-s.lastN):] {
		if s.model.valid(t) {
			s.model.library.c.accept(s.chain, t)
		}
	}
}

// Sample chooses the token that follows the last decoded one and updates the
// sampler's state. As in llama.cpp a grammar is asked about the chosen token
// first, and applied to the whole vocabulary only if it refuses that one.
func (s *Sampler) Sample(c *Context) (Choice, error) {
	logits := c.Logits()
	if logits == nil {
		return Choice{}, errors.New("sample: nothing was decoded")
	}
	highest := s.fill(logits)
	if math.IsNaN(float64(highest)) || math.IsInf(float64(highest), 0) {
		return Choice{}, errors.New("sample: the model's logits are not finite numbers")
	}
	token, ok := s.applyChain()
	if ok && s.grammar != 0 && !s.allowed(token) {
		s.fill(logits)
		s.model.library.c.apply(s.grammar, s.candidateArray())
		if !s.anyLeft() {
			return Choice{}, fmt.Errorf("sample: %w: no token of the model can follow here", ErrGrammar)
		}
		token, ok = s.applyChain()
		ok = ok && s.allowed(token)
	}
	if !ok {
		return Choice{}, errors.New("sample: the samplers left no token to choose")
	}
	choice := Choice{Token: token, LogProb: logits[token] - highest - logSumExp(logits, highest)}
	if !s.model.EndsGeneration(token) {
		s.model.library.c.accept(s.chain, token)
		if s.grammar != 0 {
			s.model.library.c.accept(s.grammar, token)
		}
	}
	runtime.KeepAlive(s)
	return choice, nil
}

// fill makes candidates of logits and returns the highest logit, or NaN if
// there is one: sorting NaN is undefined in C++.
func (s *Sampler) fill(logits []float32) float32 {
	highest := float32(math.Inf(-1))
	candidates := s.candidates[:len(logits)]
	for i, logit := range logits {
		candidates[i] = tokenData{id: Token(i), logit: logit}
		if logit > highest {
			highest = logit
		} else if logit != logit {
			return logit
		}
	}
	return highest
}

func (s *Sampler) candidateArray() *tokenDataArray {
	s.array = tokenDataArray{data: &s.candidates[0], size: uintptr(len(s.candidates)), selected: -1}
	return &s.array
}

func (s *Sampler) applyChain() (Token, bool) {
	array := s.candidateArray()
	s.model.library.c.apply(s.chain, array)
	if array.selected < 0 || array.selected >= int64(array.size) {
		return 0, false
	}
	chosen := unsafe.Slice(array.data, array.size)[array.selected]
	return chosen.id, s.model.valid(chosen.id) && !math.IsInf(float64(chosen.logit), -1)
}

// allowed asks the grammar about one token.
func (s *Sampler) allowed(t Token) bool {
	if s.grammar == 0 {
		return true
	}
	s.single[0] = tokenData{id: t, logit: 1}
	s.array = tokenDataArray{data: &s.single[0], size: 1, selected: -1}
	s.model.library.c.apply(s.grammar, &s.array)
	return !math.IsInf(float64(s.single[0].logit), -1)
}

func (s *Sampler) anyLeft() bool {
	for i := range s.candidates {
		if !math.IsInf(float64(s.candidates[i].logit), -1) {
			return true
		}
	}
	return false
}

// grammarFault turns what llama.cpp printed, "...error parsing grammar: WHAT
// at REST", into WHAT with the line and column where REST begins.
func grammarFault(printed, text string) string {
	_, message, found := strings.Cut(printed, "error parsing grammar: ")
	if !found {
		return "it has no rule named root, or a rule that begins with itself"
	}
	message, _ = strings.CutSuffix(strings.TrimRight(message, "\n"), strings.TrimRight(text, "\n"))
	message = strings.TrimRight(message, "\n")
	what, rest, located := strings.Cut(message, " at ")
	if !located {
		return firstWords(what)
	}
	offset := max(0, len(strings.TrimRight(text, "\n"))-len(rest))
	before := text[:min(offset, len(text))]
	line := strings.Count(before, "\n") + 1
	column := offset - strings.LastIndex(before, "\n")
	return fmt.Sprintf("line %d, column %d: %s", line, column, what)
}

// firstWords keeps a message without what it quotes from the grammar.
func firstWords(message string) string {
	message, _, _ = strings.Cut(message, "'")
	return strings.ToLower(strings.TrimSpace(message))
}
