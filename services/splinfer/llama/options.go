package llama

import (
	"errors"
	"fmt"

	"runa/services/hint"
)

// FlashAttention says how attention is computed. Flash attention is faster; what it
// computes depends in its last bits on what else is in the batch.
type FlashAttention int

// Values of FlashAttention.
const (
	FlashOff  FlashAttention = iota
	FlashAuto                // llama.cpp's choice: on where it can be
	FlashOn
)

// UnmarshalText reads auto, on or off.
func (f *FlashAttention) UnmarshalText(text []byte) error {
	value, known := map[string]FlashAttention{"off": FlashOff, "auto": FlashAuto, "on": FlashOn}[string(text)]
	if !known {
		return fmt.Errorf("%q is none of auto, on and off", text)
	}
	*f = value
	return nil
}

// Pooling says how one embedding is made of a sequence's tokens.
type Pooling int

// Values of Pooling.
const (
	PoolingModel Pooling = iota // as the model's file says
	PoolingMean
	PoolingFirst // the first token's, called CLS in llama.cpp
	PoolingLast
)

// ContextOptions sizes a Context. Zero Batch, MicroBatch and ThreadsBatch take
// llama.cpp's defaults (2048, 512, Threads), zero Sequences is one.
type ContextOptions struct {
	Size         int // tokens that one sequence may have
	Sequences    int // conversations that are held at once
	Batch        int // most tokens of one Decode
	MicroBatch   int // most tokens computed at once
	Outputs      int // most tokens of one Decode whose logits are wanted; 0: Sequences
	Threads      int // for one token, at least 1
	ThreadsBatch int // for many tokens

	// Apart gives each sequence cells of its own, Size of them. Without flash
	// attention a sequence then gets the same logits, bit for bit, whatever else is
	// computed beside it; the package comment has the details. Without Apart all
	// sequences share Size cells.
	Apart          bool
	FlashAttention FlashAttention

	// Embeddings makes the context answer with one vector for each sequence,
	// see Embed, instead of logits.
	Embeddings bool
	Pooling    Pooling

	// BeyondTraining allows a Size over what the model was trained with, where
	// its words turn to nonsense; speed is measured so.
	BeyondTraining bool
}

// complete fills in defaults and refuses what C would not survive.
func (o *ContextOptions) complete(m *Model) error {
	if train := m.ContextTrain(); train > 0 && !o.BeyondTraining && !m.library.c.recurrent(m.handle) {
		o.Size = min(o.Size, train)
	}
	o.Sequences = orDefault(o.Sequences, 1)
	o.Batch = orDefault(o.Batch, 2048)
	o.MicroBatch = orDefault(o.MicroBatch, 512)
	o.Outputs = orDefault(o.Outputs, o.Sequences)
	o.ThreadsBatch = orDefault(o.ThreadsBatch, o.Threads)
	o.Batch = max(min(o.Batch, o.cells()), min(o.Batch, o.Sequences))
	if o.Embeddings { // llama.cpp computes a text to embed at once
		o.MicroBatch = o.Batch
	}
	o.MicroBatch = min(o.MicroBatch, o.Batch)
	o.Outputs = min(o.Outputs, o.Batch)
	return o.check(int(m.library.c.maxSequences()))
}

func orDefault(value, otherwise int) int {
	if value == 0 {
		return otherwise
	}
	return value
}

// cells is how many tokens all sequences have room for.
func (o *ContextOptions) cells() int {
	if o.Apart {
		return o.Size * o.Sequences
	}
	return o.Size
}

// maxCells keeps sizes within what C's 32 bits and our own products hold.
const maxCells = 1 << 30

func (o *ContextOptions) check(maxSequences int) error {
	switch {
	case o.Sequences < 1 || o.Sequences > maxSequences:
		return fmt.Errorf("%d sequences are not within 1 to %d", o.Sequences, maxSequences)
	case o.Size < 8:
		return fmt.Errorf("a size of %d tokens is below 8", o.Size)
	case o.Size > maxCells || o.cells() > maxCells:
		err := fmt.Errorf("%d sequences of %d tokens are over %d", o.Sequences, o.Size, maxCells)
		return hint.New(err, "use a smaller --ctx-size")
	case o.Batch < 1 || o.MicroBatch < 1:
		return fmt.Errorf("batches of %d and %d tokens must be at least 1", o.Batch, o.MicroBatch)
	case o.Outputs < 1:
		return fmt.Errorf("%d outputs must be at least 1", o.Outputs)
	case o.FlashAttention < FlashOff || o.FlashAttention > FlashOn:
		return fmt.Errorf("flash attention %d is none of auto, off and on", o.FlashAttention)
	case o.Pooling < PoolingModel || o.Pooling > PoolingLast:
		return fmt.Errorf("pooling %d is none of the model's, mean, first and last", o.Pooling)
	case o.Pooling != PoolingModel && !o.Embeddings:
		return errors.New("pooling is for embeddings")
	}
	return checkThreads(o.Threads, o.ThreadsBatch)
}

func checkThreads(threads, batch int) error {
	if threads < 1 || threads > maxThreads || batch < 1 || batch > maxThreads {
		return fmt.Errorf("%d and %d threads are not within 1 to %d", threads, batch, maxThreads)
	}
	return nil
}

// params writes the options as C wants them.
func (o *ContextOptions) params(defaults contextParams) contextParams {
	p := defaults
	p.nCtx = uint32(o.cells())
	p.nBatch, p.nUbatch = uint32(o.Batch), uint32(o.MicroBatch)
	p.nSeqMax = uint32(o.Sequences)
	p.nOutputsMax = uint32(o.Outputs)
	p.nThreads, p.nThreadsBatch = int32(o.Threads), int32(o.ThreadsBatch)
	p.kvUnified = !o.Apart && o.Sequences > 1
	p.embeddings = o.Embeddings
	if o.Embeddings {
		p.nOutputsMax = uint32(o.Batch) // every token counts
		p.poolingType = int32(o.Pooling)
		if o.Pooling == PoolingModel {
			p.poolingType = -1
		}
	}
	switch o.FlashAttention {
	case FlashOff:
		p.flashAttnType = 0
	case FlashOn:
		p.flashAttnType = 1
	}
	return p
}
