package llama

import (
	"errors"
	"fmt"
	"slices"
	"unsafe"
)

// Embed computes one vector for each text, which must be 1 to Sequences texts with
// together at most Batch tokens. Vectors are as the model gives them, not
// scaled to length 1. The context must have been made with
// [ContextOptions.Embeddings]; what it remembered is gone.
func (c *Context) Embed(texts [][]Token) ([][]float32, error) {
	if len(texts) < 1 || len(texts) > len(c.tokens) {
		return nil, fmt.Errorf("embed %d texts: at once it takes 1 to %d", len(texts), len(c.tokens))
	}
	c.Clear()
	c.single.Reset()
	for sequence, tokens := range texts {
		if len(tokens) == 0 {
			return nil, fmt.Errorf("embed: text %d has no tokens", sequence)
		}
		for position, t := range tokens {
			c.single.Add(sequence, position, t, true)
		}
	}
	defer c.Clear()
	if err := c.DecodeBatch(&c.single); err != nil {
		return nil, fmt.Errorf("embed: %w", err)
	}
	vectors := make([][]float32, len(texts))
	for sequence := range texts {
		vector, err := c.Embedding(sequence)
		if err != nil {
			return nil, fmt.Errorf("embed: %w", err)
		}
		vectors[sequence] = slices.Clone(vector)
	}
	return vectors, nil
}

// Embedding is the vector of a sequence of the last batch, in C's memory: valid
// until the next call.
func (c *Context) Embedding(sequence int) ([]float32, error) {
	if !c.options.Embeddings {
		return nil, errors.New("embedding: the context was not made for embeddings")
	}
	if err := c.checkSequence(sequence); err != nil {
		return nil, fmt.Errorf("embedding: %w", err)
	}
	first := c.model.library.c.embeddingSeq(c.handle, int32(sequence))
	if first == nil {
		return nil, fmt.Errorf("embedding: sequence %d was not in the last batch", sequence)
	}
	return unsafe.Slice(first, c.model.EmbeddingSize()), nil
}
