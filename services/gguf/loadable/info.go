package loadable

import (
	"errors"
	"math/bits"
)

// Errors a caller can test with errors.Is, beside those of package gguf.
var (
	// ErrUnloadable: llama.cpp would refuse the file, or fall over it.
	ErrUnloadable = errors.New("not a model that can be loaded")
	// ErrAdapter: the file is sound GGUF, but a LoRA adapter, not a model of its own.
	ErrAdapter = errors.New("a LoRA adapter, not a model")
)

// Info is what the header of a loadable model says.
type Info struct {
	Architecture string // llama.cpp's name, e.g. "llama" or "rwkv7"
	Name         string // for people; may be empty
	License      string // as the file states it; may be empty
	ContextTrain uint64 // tokens it was trained to look back on
	Vocabulary   uint64 // tokens
	Width        uint64 // values of one embedding
	Layers       uint64
	Recurrent    bool   // it keeps a state of constant size instead of every token
	EmbedsOnly   bool   // it turns text into a vector and can't generate
	FileBytes    uint64 // size of the file
	WeightBytes  uint64 // of all tensors
	LeastBits    uint64 // of an element of the tensor with the smallest ones, rounded down
	TokenBytes   uint64 // of f16 keys and values that each token of a context takes; 0 if it is recurrent
	StateBytes   uint64 // of the state that each sequence takes; 0 if it is not recurrent
}

// Memory is how many bytes weights and context take for that many sequences
// which together have that many tokens. What llama.cpp computes in (graph, batch, logits)
// comes on top. A sum beyond 64 bits is the largest number.
func (i Info) Memory(tokens, sequences uint64) uint64 {
	return add(i.WeightBytes, add(times(tokens, i.TokenBytes), times(sequences, i.StateBytes)))
}

func times(a, b uint64) uint64 {
	high, low := bits.Mul64(a, b)
	if high != 0 {
		return 1<<64 - 1
	}
	return low
}

func add(a, b uint64) uint64 {
	sum, carry := bits.Add64(a, b, 0)
	if carry != 0 {
		return 1<<64 - 1
	}
	return sum
}
