package model

import (
	"fmt"
	"strings"

	"runa/services/gguf"
)

// ropeBase and normEpsilon are constants in llama2.c, not fields of its file.
const (
	ropeBase    float32 = 10000
	normEpsilon float32 = 1e-5
)

// hyperparameters are what llama.cpp wants to know about a model of architecture llama.
type hyperparameters struct {
	width, hidden, layers, heads, headsKV, vocabulary, context int
}

func (h hyperparameters) headWidth() int { return h.width / h.heads }

// addTo sets the metadata under llama.cpp's names.
func (h hyperparameters) addTo(w *gguf.Writer) error {
	return setAll(w, []gguf.KeyValue{
		{Key: "llama.context_length", Value: uint32(h.context)},
		{Key: "llama.embedding_length", Value: uint32(h.width)},
		{Key: "llama.block_count", Value: uint32(h.layers)},
		{Key: "llama.feed_forward_length", Value: uint32(h.hidden)},
		{Key: "llama.attention.head_count", Value: uint32(h.heads)},
		{Key: "llama.attention.head_count_kv", Value: uint32(h.headsKV)},
		{Key: "llama.attention.layer_norm_rms_epsilon", Value: normEpsilon},
		{Key: "llama.rope.dimension_count", Value: uint32(h.headWidth())},
		{Key: "llama.rope.freq_base", Value: ropeBase},
		{Key: "llama.vocab_size", Value: uint32(h.vocabulary)},
	})
}

// tensors lists every tensor of such a model, in the order in which llama2.c stores
// them. The classifier is the embedding's transpose, which llama.cpp takes
// for granted when there is no output.weight.
func (h hyperparameters) tensors() (list []tensor) {
	keys := h.headWidth() * h.headsKV
	for _, t := range []tensor{
		{"token_embd.weight", h.width, h.vocabulary},
		{"blk.%d.attn_norm.weight", h.width, 0},
		{"blk.%d.attn_q.weight", h.width, h.width},
		{"blk.%d.attn_k.weight", h.width, keys},
		{"blk.%d.attn_v.weight", h.width, keys},
		{"blk.%d.attn_output.weight", h.width, h.width},
		{"blk.%d.ffn_norm.weight", h.width, 0},
		{"blk.%d.ffn_gate.weight", h.width, h.hidden},
		{"blk.%d.ffn_down.weight", h.hidden, h.width},
		{"blk.%d.ffn_up.weight", h.width, h.hidden},
		{"output_norm.weight", h.width, 0},
	} {
		if !strings.Contains(t.name, "%d") {
			list = append(list, t)
			continue
		}
		for layer := range h.layers {
			list = append(list, tensor{fmt.Sprintf(t.name, layer), t.columns, t.rows})
		}
	}
	return list
}

// tensor is a matrix, or a vector where rows is 0.
type tensor struct {
	name          string
	columns, rows int
}

func (t tensor) count() int { return t.columns * max(t.rows, 1) }

// addTo adds the tensor: a matrix as Q8_0, a vector as F32.
func (t tensor) addTo(w *gguf.Writer, values []float32) error {
	if t.rows == 0 {
		return w.Add(t.name, []uint64{uint64(t.columns)}, gguf.F32, values)
	}
	return w.Add(t.name, []uint64{uint64(t.columns), uint64(t.rows)}, gguf.Q8_0, values)
}

func setAll(w *gguf.Writer, entries []gguf.KeyValue) error {
	for _, entry := range entries {
		if err := w.Set(entry.Key, entry.Value); err != nil {
			return err
		}
	}
	return nil
}
