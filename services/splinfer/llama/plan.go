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
func Pieces[T any](tokens []T, most int) iter.Seq[[]T] {
	return func(yield func([]T) bool) {
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
// sequences with one token make one step, ordered by number, all neighbours with
// equally many another, and every other part one of its own. Nothing is lost: C
// would not have computed them together.
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
	shortFirst := func(x, y int32) int {
		a, b := entries[x].sequence, entries[y].sequence
		return cmp.Or(cmp.Compare(counts[a], counts[b]), cmp.Compare(a, b))
	}
	if !slices.IsSortedFunc(c.order, shortFirst) {
		slices.SortStableFunc(c.order, shortFirst)
	}
	for at := 0; at < len(c.order); {
		n, most := counts[entries[c.order[at]].sequence], c.options.MicroBatch
		if n == 1 { // all that have one token
			for at+n < len(c.order) && counts[entries[c.order[at+n]].sequence] == 1 {
				n++
			}
			steps = append(steps, slices.Collect(slices.Chunk(c.order[at:at+n], most))...)
		} else {
			alike := c.neighbours(entries, counts, at)
			steps = append(steps, together(c.order[at:at+n*alike], n, most)...)
			n *= alike
		}
		at += n
	}
	return steps
}

// neighbours is how many sequences from that of an entry on have equally many
// tokens in the batch and numbers that follow one another, as far as two tokens of
// each can be computed at once.
func (c *Context) neighbours(entries []entry, counts []int, at int) int {
	first := entries[c.order[at]].sequence
	n, alike := counts[first], 1
	for next := at + n; next < len(c.order) && 2*(alike+1) <= c.options.MicroBatch; next += n {
		s := entries[c.order[next]].sequence
		if s != first+int32(alike) || counts[s] != n {
			break
		}
		alike++
	}
	return alike
}

// together cuts the entries of sequences with n tokens each into steps of at most
// most entries, in each of which all have equally many.
func together(order []int32, n, most int) (steps [][]int32) {
	sequences := len(order) / n
	done := 0
	for piece := range Pieces(order[:n], most/sequences) {
		step := piece
		if sequences > 1 {
			step = nil
			for s := range sequences {
				step = append(step, order[s*n+done:][:len(piece)]...)
			}
		}
		done += len(piece)
		steps = append(steps, step)
	}
	return steps
}
