package llama

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
)

// Sampling says how the next token is chosen; the names are those of
// llama.cpp's command line. A zero value switches a sampler off unless the field says
// otherwise.
type Sampling struct {
	Temp             float32 // <= 0: the likeliest token
	DynatempRange    float32 // temperature varies by as much with the distribution's entropy
	DynatempExponent float32 // how entropy maps to temperature; 0: 1
	TopK             int     // <= 0: all
	TopP             float32 // 1: off
	MinP             float32
	TypicalP         float32 // 1: off
	TopNSigma        float32 // standard deviations below the best logit; <= 0: off
	XTCProbability   float32 // of removing the likeliest tokens but one
	XTCThreshold     float32 // probability a token needs to be removed; over 0.5: off
	RepeatLastN      int     // tokens that penalties look back on; -1: the model's context
	RepeatPenalty    float32 // 1: off
	FrequencyPenalty float32
	PresencePenalty  float32
	DryMultiplier    float32
	DryBase          float32
	DryAllowedLength int      // repeats shorter than this are free
	DryPenaltyLastN  int      // tokens that DRY looks back on; -1: the model's context
	DrySequenceBreak []string // texts that end a repeat
	Mirostat         int      // 0, 1 or 2
	MirostatEnt      float32  // tau: target surprise
	MirostatLR       float32  // eta: learning rate
	LogitBias        map[Token]float32
	IgnoreEOS        bool
	Seed             uint32
	NProbs           int      // how many of the likeliest tokens a Choice lists
	MinKeep          int      // candidates that top-p, min-p, typical-p and XTC leave at least
	Samplers         []string // which run, in which order; nil: DefaultSamplers
	Grammar          string   // GBNF with a rule named root; empty: none
}

// DefaultSamplers is llama.cpp's order of samplers.
func DefaultSamplers() []string {
	return []string{"penalties", "dry", "top_n_sigma", "top_k", "typ_p", "top_p", "min_p", "xtc", "temperature"}
}

// Bounds of what a request may ask for.
const (
	maxLastN    = 1 << 20
	maxNProbs   = 1 << 10
	maxSamplers = 32
	maxBreakers = 32
	maxBreaker  = 40 // bytes of one, as in llama.cpp
)

// check refuses what makes no sense; the names in its errors are llama.cpp's.
func (s Sampling) check(m *Model) error {
	for _, value := range []struct {
		name  string
		value float32
	}{
		{"temp", s.Temp},
		{"dynatemp-range", s.DynatempRange},
		{"dynatemp-exp", s.DynatempExponent},
		{"top-p", s.TopP},
		{"min-p", s.MinP},
		{"typical-p", s.TypicalP},
		{"top-n-sigma", s.TopNSigma},
		{"xtc-probability", s.XTCProbability},
		{"xtc-threshold", s.XTCThreshold},
		{"repeat-penalty", s.RepeatPenalty},
		{"frequency-penalty", s.FrequencyPenalty},
		{"presence-penalty", s.PresencePenalty},
		{"dry-multiplier", s.DryMultiplier},
		{"dry-base", s.DryBase},
		{"mirostat-ent", s.MirostatEnt},
		{"mirostat-lr", s.MirostatLR},
	} {
		if math.IsNaN(float64(value.value)) || math.IsInf(float64(value.value), 0) {
			return fmt.Errorf("%s is not a finite number", value.name)
		}
	}
	switch {
	case s.RepeatPenalty <= 0:
		return fmt.Errorf("repeat-penalty %g is not above 0", s.RepeatPenalty)
	case s.RepeatLastN < -1 || s.RepeatLastN > maxLastN:
		return fmt.Errorf("repeat-last-n %d is not within -1 to %d", s.RepeatLastN, maxLastN)
	case s.DryPenaltyLastN < -1 || s.DryPenaltyLastN > maxLastN:
		return fmt.Errorf("dry-penalty-last-n %d is not within -1 to %d", s.DryPenaltyLastN, maxLastN)
	case s.DryAllowedLength < 0 || s.DryAllowedLength > maxLastN:
		return fmt.Errorf("dry-allowed-length %d is not within 0 to %d", s.DryAllowedLength, maxLastN)
	case s.Mirostat < 0 || s.Mirostat > 2:
		return fmt.Errorf("mirostat %d is not 0, 1 or 2", s.Mirostat)
	case s.TopK > math.MaxInt32:
		return fmt.Errorf("top-k %d is too large", s.TopK)
	case s.NProbs < 0 || s.NProbs > maxNProbs:
		return fmt.Errorf("n-probs %d is not within 0 to %d", s.NProbs, maxNProbs)
	case s.MinKeep < 0 || s.MinKeep > math.MaxInt32:
		return fmt.Errorf("min-keep %d is not within 0 to %d", s.MinKeep, math.MaxInt32)
	}
	return errors.Join(s.checkBias(m), s.checkOrder(), s.checkBreakers())
}

func (s Sampling) checkBias(m *Model) error {
	for token, bias := range s.LogitBias {
		if !m.valid(token) {
			return fmt.Errorf("logit-bias: token %d is not within the vocabulary of %d", token, m.words)
		}
		if math.IsNaN(float64(bias)) || math.IsInf(float64(bias), 1) {
			return fmt.Errorf("logit-bias: the bias of token %d is neither finite nor minus infinity", token)
		}
	}
	return nil
}

func (s Sampling) checkOrder() error {
	if len(s.Samplers) > maxSamplers {
		return fmt.Errorf("samplers: %d are listed, at most %d can be", len(s.Samplers), maxSamplers)
	}
	for i, name := range s.Samplers {
		if !slices.Contains(DefaultSamplers(), name) {
			return fmt.Errorf("samplers: number %d is none of %v", i+1, DefaultSamplers())
		}
	}
	return nil
}

func (s Sampling) checkBreakers() error {
	if len(s.DrySequenceBreak) > maxBreakers {
		return fmt.Errorf("dry-sequence-breaker: %d are given, at most %d can be", len(s.DrySequenceBreak), maxBreakers)
	}
	for i, text := range s.DrySequenceBreak {
		if text == "" || len(text) > maxBreaker {
			return fmt.Errorf("dry-sequence-breaker: number %d has %d bytes, want 1 to %d", i+1, len(text), maxBreaker)
		}
	}
	return nil
}

// TokenBias is what is added to a token's logit.
type TokenBias struct {
	Token Token
	Bias  float32 // minus infinity forbids the token
}

// biases are those of the request and of the model, in a fixed order.
func (s Sampling) biases(m *Model) (list []TokenBias) {
	forbid := func(tokens []Token) {
		for _, t := range tokens {
			list = append(list, TokenBias{t, negativeInfinity})
		}
	}
	forbid(m.suppress)
	if s.IgnoreEOS {
		forbid(m.ends)
	}
	for token, bias := range s.LogitBias {
		list = append(list, TokenBias{token, bias})
	}
	slices.SortFunc(list, func(a, b TokenBias) int {
		return cmp.Or(cmp.Compare(a.Token, b.Token), cmp.Compare(a.Bias, b.Bias))
	})
	return list
}

// lookBack turns a count of tokens into one that is not negative.
func (m *Model) lookBack(n int) int {
	if n >= 0 {
		return n
	}
	return min(max(m.ContextTrain(), 0), maxLastN)
}
