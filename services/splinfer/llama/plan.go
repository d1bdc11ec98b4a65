package llama

import (
	"cmp"
	"iter"
	"slices"
)

// Pieces cuts tokens into pieces of at most most, none of which has a single
// token unless there is no other way.
//
// llama.cpp computes one token by other matrix code than two or more, and their sums
// differ in the last bits. A prompt therefore gives the same logits, bit for bit,
// however it is cut, as long as no piece has one token.
func Pieces(tokens []Token, most int) iter.Seq[[]Token] {
	return func(yield func([]Token) bool) {
		for len(tokens) > 0 {
			n := pieceLength(len(tokens), max(most, 1))
			if !yield(tokens[:n]) {
				return
			}
			tokens = tokens[n:]
		}
	}
}

// pieceLength is the length of the first piece of n tokens.
func pieceLength(n, most int) int {
	if n-most == 1 && most > 2 {
		return most - 1
	}
	return min(n, most)
}

// plan divides a batch into steps, each a list of entries for one llama_decode.
//
// Where sequences are apart llama.cpp computes them together only as far as each
// has a token left, and only if their numbers follow one another: a conversation's
// one token beside a prompt takes the prompt's first token out of the rest. So all
// sequences with one token make one step, ordered by number, and every longer part
// one of its own. Nothing is lost: C would not have computed them together.
func (c *Context) plan(entries []entry) (steps [][]int32) {
	c.order = slices.Grow(c.order[:0], len(entries))[:len(entries)]
	for i := range c.order {
		c.order[i] = int32(i)
	}
	if !c.options.Apart || c.options.Embeddings {
		return [][]int32{c.order}
	}
	counts := make([]int, len(c.tokens))
	for _, e := range entries {
		counts[e.sequence]++
	}
	singleFirst := func(x, y int32) int {
		a, b := entries[x].sequence, entries[y].sequence
		return cmp.Or(cmp.Compare(min(counts[a], 2), min(counts[b], 2)), cmp.Compare(a, b))
	}
	if !slices.IsSortedFunc(c.order, singleFirst) {
		slices.SortStableFunc(c.order, singleFirst)
	}
	for at := 0; at < len(c.order); {
		n, most := counts[entries[c.order[at]].sequence], c.options.MicroBatch
		if n == 1 { // all that have one token
			for at+n < len(c.order) && counts[entries[c.order[at+n]].sequence] == 1 {
				n++
			}
			steps = append(steps, slices.Collect(slices.Chunk(c.order[at:at+n], most))...)
		} else {
			for part := range Pieces(c.order[at:at+n], most) {
				steps = append(steps, part)
			}
		}
		at += n
	}
	return steps
}
