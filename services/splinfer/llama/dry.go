package llama

import (
	"math"
	"slices"
	"strings"
	"sync"
)

// DRY ("don't repeat yourself") makes tokens less likely that would go on
// with a repetition, the more so the longer it is, see
// https://github.com/oobabooga/text-generation-webui/pull/5677. What follows
// gives the results of llama.cpp's sampler of that name.

// dry is the sampler's parameters with breakers as tokens.
type dry struct {
	multiplier, base float32
	allowed, lastN   int
	breakers         map[Token][][]Token // by first token, the tokens that must follow it
}

// maxBreakerTail bounds the tokens that follow the first one of a breaker.
const maxBreakerTail = 20

func (m *Model) newDry(s Sampling) dry {
	d := dry{multiplier: s.DryMultiplier, base: s.DryBase, allowed: s.DryAllowedLength, lastN: m.lookBack(s.DryPenaltyLastN)}
	if d.multiplier == 0 || d.base < 1 || d.lastN == 0 || !slices.Contains(s.order(), "dry") {
		return dry{}
	}
	d.breakers = map[Token][][]Token{}
	for _, text := range s.DrySequenceBreak {
		for t, tails := range m.breakers.of(m, text) {
			for _, tail := range tails {
				if !slices.ContainsFunc(d.breakers[t], func(other []Token) bool { return slices.Equal(other, tail) }) {
					d.breakers[t] = append(d.breakers[t], tail)
				}
			}
		}
	}
	return d
}

func (d *dry) apply(c *candidates, h *history) {
	if d.multiplier == 0 {
		return
	}
	recent := h.recent(d.lastN)
	limit := d.limit(recent)
	if len(recent) <= d.allowed || limit < d.allowed {
		return
	}
	longest := map[Token]int{} // by token that would go on with a repeat, its length
	lengths := repeats(recent)
	for i, length := range lengths[:len(lengths)-1] {
		if length = min(length, limit); length >= d.allowed {
			longest[recent[i+1]] = max(longest[recent[i+1]], length)
		}
	}
	tokens := make([]Token, 0, len(longest))
	for t := range longest {
		if !slices.ContainsFunc(d.breakers[t], func(tail []Token) bool { return len(tail) == 0 }) {
			tokens = append(tokens, t)
		}
	}
	slices.Sort(tokens)
	c.change(tokens, func(t Token, logit float32) float32 { return logit - d.penalty(longest[t]) })
}

// penalty grows with a repeat's length until it would leave float32.
func (d *dry) penalty(length int) float32 {
	const largest = 88.7228391 // log of the largest float32
	exponent := length - d.allowed
	if d.base > 1.000001 {
		if most := int(largest / math.Log(float64(d.base))); most > 0 {
			exponent = min(exponent, most)
		}
	}
	return d.multiplier * float32(math.Pow(float64(d.base), float64(exponent)))
}

// limit is the number of tokens after the last breaker, which no repeat can reach over.
func (d *dry) limit(recent []Token) int {
	for i := range recent {
		at := len(recent) - 1 - i
		longest := -1
		for _, tail := range d.breakers[recent[at]] {
			if len(tail) > longest && len(tail) <= i && slices.Equal(tail, recent[at+1:at+1+len(tail)]) {
				longest = len(tail)
			}
		}
		if longest >= 0 {
			return i - longest
		}
	}
	return len(recent)
}

// repeats gives for each place how many tokens that end there are the same as at
// the very end: the Z algorithm, read backwards.
func repeats(tokens []Token) []int {
	n := len(tokens)
	at := func(i int) Token { return tokens[n-1-i] }
	z := make([]int, n) // of the reversed tokens
	for k, left, right := 1, 0, 0; k < n; k++ {
		if k < right {
			z[k] = min(right-k, z[k-left])
		}
		for k+z[k] < n && at(z[k]) == at(k+z[k]) {
			z[k]++
		}
		if k+z[k] > right {
			left, right = k, k+z[k]
		}
	}
	slices.Reverse(z)
	return z
}

// breakers remembers the tokens of texts that were used as breakers, since finding
// them reads the whole vocabulary.
type breakers struct {
	mu     sync.Mutex
	pieces []string // of each token, as text that is read on its own
	texts  map[string]map[Token][][]Token
}

// maxKnownBreakers bounds what is remembered; a request may name any text.
const maxKnownBreakers = 64

// of returns the tokens in which text begins, with what must follow each.
func (b *breakers) of(m *Model, text string) map[Token][][]Token {
	b.mu.Lock()
	defer b.mu.Unlock()
	if found, ok := b.texts[text]; ok {
		return found
	}
	if b.pieces == nil {
		b.pieces = make([]string, m.words)
		for t := range m.words {
			b.pieces[t] = m.alone(t)
		}
	}
	if b.texts == nil || len(b.texts) >= maxKnownBreakers {
		b.texts = map[string]map[Token][][]Token{}
	}
	found := map[Token][][]Token{}
	for t, piece := range b.pieces {
		if tails := b.tails(m, piece, text); len(tails) > 0 {
			found[Token(t)] = tails
		}
	}
	b.texts[text] = found
	return found
}

// tails gives the tokens that must follow a piece so that text is there: none if
// it is in the piece, else for each end of the piece that text begins with the
// tokens of its rest.
func (b *breakers) tails(m *Model, piece, text string) (tails [][]Token) {
	if strings.Contains(piece, text) {
		return [][]Token{{}}
	}
	for at := range len(piece) {
		rest, found := strings.CutPrefix(text, piece[at:])
		if !found {
			continue
		}
		tail, err := m.Tokenize(rest, false, false)
		if err != nil {
			continue
		}
		tail = tail[:min(len(tail), maxBreakerTail)]
		if !slices.ContainsFunc(tails, func(other []Token) bool { return slices.Equal(other, tail) }) {
			tails = append(tails, tail)
		}
	}
	return tails
}

// alone is a token's text when nothing stands before it.
func (m *Model) alone(t Token) string {
	buffer := make([]byte, m.longest+16)
	n := m.library.c.detokenize(m.vocab, &t, 1, &buffer[0], int32(len(buffer)), false, true)
	return string(buffer[:min(max(int(n), 0), len(buffer))])
}
