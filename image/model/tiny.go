package model

import (
	"fmt"
	"io"
	"math/rand/v2"

	"runa/services/gguf"
)

// TinyOptions shapes a model of random weights. The zero value of a field means
// its default.
type TinyOptions struct {
	Name    string // general.name; default "tiny"
	Seed    uint64 // the same seed gives the same bytes
	Context int    // tokens it claims to be trained on; default 256
	Layers  int    // default 2
}

// The shape of a tiny model: rows are whole Q8_0 blocks, and heads are even.
const (
	tinyWidth  = 64
	tinyHidden = 128
	tinyHeads  = 4
)

// WriteTiny writes a model of architecture llama with random weights: about
// 120 KiB, for tests that need tokens but no sense. Its vocabulary has the special
// tokens, all bytes and the pieces of printable text, so any prompt can be read.
func WriteTiny(out io.Writer, o TinyOptions) error {
	if o.Name == "" {
		o.Name = "tiny"
	}
	if o.Context == 0 {
		o.Context = 256
	}
	if o.Layers == 0 {
		o.Layers = 2
	}
	if o.Context < 1 || o.Layers < 1 || o.Layers > 64 {
		return fmt.Errorf("write a tiny model: context %d and %d layers, want at least 1 and 1 to 64", o.Context, o.Layers)
	}
	v := tinyVocabulary()
	h := hyperparameters{width: tinyWidth, hidden: tinyHidden, layers: o.Layers, heads: tinyHeads, headsKV: tinyHeads, vocabulary: len(v.pieces), context: o.Context}
	var w gguf.Writer
	m := Model{Title: o.Name, License: "CC0-1.0", Source: "random weights"}
	if err := m.describe(&w); err != nil {
		return err
	}
	if err := h.addTo(&w); err != nil {
		return err
	}
	if err := v.addTo(&w); err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(o.Seed, 1))
	for _, t := range h.tensors() {
		if err := t.addTo(&w, randomWeights(random, t)); err != nil {
			return err
		}
	}
	_, err := w.WriteTo(out)
	return err
}

// randomWeights draws a matrix evenly from -1 to 1; a norm's weights are all 1,
// so that activations keep their size.
func randomWeights(random *rand.Rand, t tensor) []float32 {
	values := make([]float32, t.count())
	for i := range values {
		values[i] = 1
		if t.rows > 0 {
			values[i] = float32(random.Int32N(2001)-1000) / 1000
		}
	}
	return values
}

// tinyVocabulary has a piece for each printable ASCII character, with and without
// a space before a letter.
func tinyVocabulary() *vocabulary {
	v := &vocabulary{}
	v.addSpecial()
	score := float32(0)
	add := func(text string) {
		score--
		v.add(text, score)
	}
	for c := 'a'; c <= 'z'; c++ {
		add(" " + string(c))
	}
	for c := ' '; c <= '~'; c++ {
		add(string(c))
	}
	return v
}
