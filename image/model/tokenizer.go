package model

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"

	"runa/services/gguf"
)

// Token types of llama.cpp (llama.h, llama_token_type).
const (
	tokenNormal  int32 = 1
	tokenUnknown int32 = 2
	tokenControl int32 = 3
	tokenByte    int32 = 6
)

// The first tokens of Llama's SentencePiece vocabulary: three control tokens, then all bytes.
const (
	unknownID  = 0
	beginID    = 1
	endID      = 2
	firstByte  = 3
	afterBytes = firstByte + 256
)

// vocabulary is a SentencePiece vocabulary as llama.cpp wants it.
type vocabulary struct {
	pieces []string
	scores []float32
	types  []int32
}

// add appends a piece of ordinary text; SentencePiece writes a space as U+2581.
func (v *vocabulary) add(text string, score float32) {
	v.pieces = append(v.pieces, strings.ReplaceAll(text, " ", "\u2581"))
	v.scores = append(v.scores, score)
	v.types = append(v.types, tokenNormal)
}

// addSpecial appends the control tokens and the bytes.
func (v *vocabulary) addSpecial() {
	v.pieces = append(v.pieces, "<unk>", "<s>", "</s>")
	v.scores = append(v.scores, 0, 0, 0)
	v.types = append(v.types, tokenUnknown, tokenControl, tokenControl)
	for b := range 256 {
		v.pieces = append(v.pieces, fmt.Sprintf("<0x%02X>", b))
		v.scores = append(v.scores, 0)
		v.types = append(v.types, tokenByte)
	}
}

// readTokenizer reads llama2.c's tokenizer.bin: an int32 (the longest piece,
// unused here), then for each token a float32 score, an int32 length and the text. Its
// first 259 entries are the control tokens and the bytes in a display form, so
// they are replaced, not read.
func readTokenizer(data []byte, size int) (*vocabulary, error) {
	if size < afterBytes {
		return nil, fmt.Errorf("read llama2.c tokenizer: a vocabulary of %d has no room for the %d special tokens", size, afterBytes)
	}
	v := &vocabulary{}
	v.addSpecial()
	rest := data[min(4, len(data)):]
	for id := range size {
		if len(rest) < 8 {
			return nil, fmt.Errorf("read llama2.c tokenizer: cut off before token %d of %d", id, size)
		}
		score := math.Float32frombits(binary.LittleEndian.Uint32(rest))
		length := binary.LittleEndian.Uint32(rest[4:])
		rest = rest[8:]
		if uint64(length) > uint64(len(rest)) {
			return nil, fmt.Errorf("read llama2.c tokenizer: token %d has %d bytes, %d are left", id, length, len(rest))
		}
		if id >= afterBytes {
			v.add(string(rest[:length]), score)
		}
		rest = rest[length:]
	}
	if len(rest) != 0 {
		return nil, fmt.Errorf("read llama2.c tokenizer: %d bytes left after %d tokens", len(rest), size)
	}
	return v, nil
}

func (v *vocabulary) addTo(w *gguf.Writer) error {
	return setAll(w, []gguf.KeyValue{
		{Key: "tokenizer.ggml.model", Value: "llama"},
		{Key: "tokenizer.ggml.tokens", Value: v.pieces},
		{Key: "tokenizer.ggml.scores", Value: v.scores},
		{Key: "tokenizer.ggml.token_type", Value: v.types},
		{Key: "tokenizer.ggml.bos_token_id", Value: uint32(beginID)},
		{Key: "tokenizer.ggml.eos_token_id", Value: uint32(endID)},
		// llama2.c trains on stories joined by the begin token alone: sampling it is how an answer ends.
		{Key: "tokenizer.ggml.eot_token_id", Value: uint32(beginID)},
		{Key: "tokenizer.ggml.unknown_token_id", Value: uint32(unknownID)},
		{Key: "tokenizer.ggml.add_bos_token", Value: true},
		{Key: "tokenizer.ggml.add_eos_token", Value: false},
		{Key: "tokenizer.ggml.add_space_prefix", Value: true},
	})
}
