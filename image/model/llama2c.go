package model

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"runa/services/gguf"
)

// checkpoint is a model in llama2.c's format: seven little-endian int32, then
// float32 weights, matrix by matrix, without names (llama2.c, export.py, version 0).
type checkpoint struct {
	hyperparameters
	weights []byte
	at      int // bytes of weights already taken
}

const checkpointHeader = 7 * 4 // bytes

// readCheckpoint takes the header apart and checks the size of what follows.
func readCheckpoint(data []byte) (*checkpoint, error) {
	const most = 1 << 17 // of anything the header counts, so that no product overflows
	if len(data) < checkpointHeader {
		return nil, fmt.Errorf("read llama2.c checkpoint: %d bytes are too few for its header of %d", len(data), checkpointHeader)
	}
	c := &checkpoint{weights: data[checkpointHeader:]}
	for i, field := range []*int{&c.width, &c.hidden, &c.layers, &c.heads, &c.headsKV, &c.vocabulary, &c.context} {
		*field = int(int32(binary.LittleEndian.Uint32(data[4*i:])))
		if *field <= 0 || *field > most {
			return nil, fmt.Errorf("read llama2.c checkpoint: header field %d is %d, want 1 to %d (a classifier of its own is not supported)", i, *field, most)
		}
	}
	if c.width%c.heads != 0 || c.heads%c.headsKV != 0 {
		return nil, fmt.Errorf("read llama2.c checkpoint: width %d, %d heads and %d key heads do not divide", c.width, c.heads, c.headsKV)
	}
	if want := 4 * c.floats(); len(c.weights) != want {
		return nil, fmt.Errorf("read llama2.c checkpoint: %d bytes of weights, its header asks for %d", len(c.weights), want)
	}
	return c, nil
}

// floats is the number of weights the header announces: all tensors, and a table of
// cosines and sines that llama.cpp computes for itself.
func (c *checkpoint) floats() int {
	sum := c.context * c.headWidth()
	for _, t := range c.tensors() {
		sum += t.count()
	}
	return sum
}

// take returns the next n weights.
func (c *checkpoint) take(n int) []float32 {
	out := make([]float32, n)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(c.weights[c.at+4*i:]))
	}
	c.at += 4 * n
	return out
}

// convertLlama2c writes a llama2.c checkpoint and its tokenizer as GGUF.
func convertLlama2c(out io.Writer, m Model, checkpointData, tokenizerData []byte) error {
	c, err := readCheckpoint(checkpointData)
	if err != nil {
		return err
	}
	v, err := readTokenizer(tokenizerData, c.vocabulary)
	if err != nil {
		return err
	}
	var w gguf.Writer
	if err := m.describe(&w, "llama"); err != nil {
		return err
	}
	if err := c.addTo(&w); err != nil {
		return err
	}
	if err := v.addTo(&w); err != nil {
		return err
	}
	// The rows of Q and K keep their order, for both sides rotate neighbouring pairs.
	for _, t := range c.tensors() {
		if err := t.addTo(&w, c.take(t.count())); err != nil {
			return err
		}
	}
	_, err = w.WriteTo(out)
	return err
}
