package llama

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
)

// Batch is what one DecodeBatch computes: tokens, each appended to a sequence.
// The zero value is empty and ready for use.
type Batch struct {
	entries []entry
}

// entry is one token of a batch.
type entry struct {
	token    Token
	position int32
	sequence int32
	logits   bool
}

// Add appends a token at a position of a sequence, and says whether the logits of
// what follows it are wanted. It returns the entry's index, for
// [Context.LogitsAt]. Arguments are checked by DecodeBatch.
func (b *Batch) Add(sequence, position int, token Token, logits bool) int {
	b.entries = append(b.entries, entry{token: token, position: int32(position), sequence: int32(sequence), logits: logits})
	return len(b.entries) - 1
}

// Len is the number of tokens in the batch.
func (b *Batch) Len() int { return len(b.entries) }

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() { b.entries = b.entries[:0] }

// batchArrays are a llama_batch's arrays, in Go's memory.
type batchArrays struct {
	token     []Token
	position  []int32
	sequences []int32  // of each token the one it belongs to
	count     []int32  // of sequences of each token: one
	pointers  []*int32 // into sequences
	logits    []int8
}

func (a *batchArrays) grow(n int) {
	a.token, a.position, a.sequences = make([]Token, n), make([]int32, n), make([]int32, n)
	a.count, a.pointers, a.logits = make([]int32, n), make([]*int32, n), make([]int8, n)
	for i := range n {
		a.count[i], a.pointers[i] = 1, &a.sequences[i]
	}
}

// fill writes the entries that order names as C wants them.
func (a *batchArrays) fill(entries []entry, order []int32) batch {
	for i, index := range order {
		e := entries[index]
		a.token[i], a.position[i], a.sequences[i], a.logits[i] = e.token, e.position, e.sequence, 0
		if e.logits {
			a.logits[i] = 1
		}
	}
	return batch{
		nTokens: int32(len(order)), token: &a.token[0], pos: &a.position[0],
		nSeqID: &a.count[0], seqID: &a.pointers[0], logits: &a.logits[0],
	}
}

// Decode appends tokens to sequence 0 and computes the logits of the last; see
// [Context.DecodeBatch].
func (c *Context) Decode(tokens []Token) error {
	if len(tokens) < 1 || len(tokens) > c.options.Batch {
		return fmt.Errorf("decode %d tokens: a batch has 1 to %d", len(tokens), c.options.Batch)
	}
	c.single.Reset()
	position := c.Length(0)
	for i, t := range tokens {
		c.single.Add(0, position+i, t, i == len(tokens)-1)
	}
	return c.DecodeBatch(&c.single)
}

// DecodeBatch appends a batch of 1 to Batch tokens to their sequences and
// computes the logits it wants. Positions must go on where their sequence ends.
//
// After an error every sequence is as it was before, except that a recurrent
// model's state can't be taken back: such a sequence is empty then, see Length.
func (c *Context) DecodeBatch(b *Batch) error {
	if err := c.check(b); err != nil {
		return fmt.Errorf("decode: %w", err)
	}
	c.last = -1
	c.rows = slices.Grow(c.rows[:0], b.Len())[:b.Len()]
	steps := c.plan(b.entries)
	for i, order := range steps {
		if err := c.decode(b, order); err != nil {
			c.takeBack(b.entries)
			return err
		}
		c.note(b.entries, order, i < len(steps)-1)
	}
	c.accept(b.entries)
	return nil
}

// decode lets C compute the entries that order names.
func (c *Context) decode(b *Batch, order []int32) error {
	result := c.model.library.c.decode(c.handle, c.arrays.fill(b.entries, order))
	runtime.KeepAlive(c.arrays)
	switch result {
	case 0:
		return nil
	case decodeFull:
		return fmt.Errorf("decode %d tokens beside %d of %d: %w", b.Len(), c.used, c.options.cells(), ErrContextFull)
	case decodeAbort:
		return fmt.Errorf("decode %d tokens: %w", b.Len(), ErrAborted)
	}
	return fmt.Errorf("decode %d tokens beside %d of %d: llama_decode answered %d", b.Len(), c.used, c.options.cells(), result)
}

// check refuses a batch that C would abort on, or compute nonsense from.
func (c *Context) check(b *Batch) error {
	if b.Len() < 1 || b.Len() > c.options.Batch {
		return fmt.Errorf("%d tokens: a batch has 1 to %d", b.Len(), c.options.Batch)
	}
	next := make([]int, len(c.tokens)) // length of each sequence with the entries so far
	for s, tokens := range c.tokens {
		next[s] = len(tokens)
	}
	wanted := 0
	for i, e := range b.entries {
		switch {
		case e.sequence < 0 || int(e.sequence) >= len(c.tokens):
			return fmt.Errorf("entry %d: sequence %d is not within 0 to %d", i, e.sequence, len(c.tokens)-1)
		case !c.model.valid(e.token):
			return fmt.Errorf("entry %d: token %d is not within the vocabulary of %d", i, e.token, c.model.words)
		case int(e.position) != next[e.sequence]:
			return fmt.Errorf("entry %d: position %d in sequence %d, whose next is %d", i, e.position, e.sequence, next[e.sequence])
		case next[e.sequence] >= c.size:
			return fmt.Errorf("entry %d: sequence %d has %d tokens: %w", i, e.sequence, c.size, ErrContextFull)
		}
		next[e.sequence]++
		if e.logits {
			wanted++
		}
	}
	if wanted > c.options.Outputs && !c.options.Embeddings {
		return fmt.Errorf("logits of %d tokens are wanted, at most %d can be had", wanted, c.options.Outputs)
	}
	return nil
}

// row is where the logits of an entry are.
type row struct {
	inC  int32 // index in C's last batch, -1: the entry wanted none
	kept []float32
}

// note remembers where C has put the logits of a step, or copies them if another
// step follows.
func (c *Context) note(entries []entry, order []int32, more bool) {
	for i, index := range order {
		c.rows[index] = row{inC: -1, kept: c.rows[index].kept[:0]}
		if !entries[index].logits {
			continue
		}
		c.rows[index].inC = int32(i)
		c.last = max(c.last, int(index))
		if more {
			c.rows[index].kept = append(c.rows[index].kept, c.LogitsAt(int(index))...)
		}
	}
}

// accept notes that C has computed all entries.
func (c *Context) accept(entries []entry) {
	if c.memory == 0 {
		return // a model that only embeds remembers nothing
	}
	for _, e := range entries {
		c.tokens[e.sequence] = append(c.tokens[e.sequence], e.token)
	}
	c.used += len(entries)
}

// takeBack makes the sequences of a failed batch what they were: C may have
// computed a part of it.
func (c *Context) takeBack(entries []entry) {
	if c.memory == 0 {
		return
	}
	for i, e := range entries {
		if i > 0 && entries[i-1].sequence == e.sequence {
			continue
		}
		length := len(c.tokens[e.sequence])
		if c.lengthInC(int(e.sequence)) == length {
			continue
		}
		if err := c.Remove(int(e.sequence), length); errors.Is(err, ErrNoWayBack) {
			c.forget(int(e.sequence))
		}
	}
}
