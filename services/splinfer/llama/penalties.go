package llama

import "slices"

// history is the tokens that penalties and DRY look back on, oldest first, with
// how often each of the last few occurs.
type history struct {
	tokens []Token
	keep   int // tokens that somebody looks back on
	lastN  int // tokens that are counted, at most keep
	counts map[Token]int
}

func newHistory(lastN, dryLastN int) history {
	return history{keep: max(lastN, dryLastN), lastN: lastN, counts: map[Token]int{}}
}

func (h *history) add(t Token) {
	if h.keep == 0 {
		return
	}
	if len(h.tokens) >= 2*h.keep {
		h.tokens = append(h.tokens[:0], h.tokens[len(h.tokens)-h.keep:]...)
	}
	h.tokens = append(h.tokens, t)
	if h.lastN == 0 {
		return
	}
	h.counts[t]++
	if old := len(h.tokens) - 1 - h.lastN; old >= 0 {
		t := h.tokens[old]
		if h.counts[t]--; h.counts[t] == 0 {
			delete(h.counts, t)
		}
	}
}

// recent are the last n tokens, or all if there are fewer.
func (h *history) recent(n int) []Token {
	return h.tokens[len(h.tokens)-min(n, len(h.tokens)):]
}

// penalties makes tokens that occurred less likely: repeat divides (Keskar et
// al. 2019), frequency and presence subtract.
func (c *candidates) penalties(counts map[Token]int, repeat, frequency, presence float32) {
	if len(counts) == 0 || repeat == 1 && frequency == 0 && presence == 0 {
		return
	}
	tokens := make([]Token, 0, len(counts))
	for t := range counts {
		tokens = append(tokens, t)
	}
	slices.Sort(tokens)
	c.change(tokens, func(t Token, logit float32) float32 {
		if logit <= 0 {
			logit *= repeat
		} else {
			logit /= repeat
		}
		return logit - float32(float32(counts[t])*frequency) - presence
	})
}
