package loadable

import (
	"fmt"

	"runa/services/gguf"
)

// use is what a model does with a tensor, which decides the types it may have.
type use string

const (
	// multiplied with activations, or looked up row by row: each type that ggml has
	// a product for. Of others the function pointer is null.
	multiplied use = "multiplied with"
	// plain: added to single values or multiplied with them, or read as float by
	// a kernel. ggml ends the process over other types, or reads on behind them.
	plain use = "added to"
)

// noWeights are ggml's types without a product: Q8_1 and Q8_K for activations,
// integers, float64.
var noWeights = map[gguf.TensorType]bool{9: true, 15: true, 24: true, 25: true, 26: true, 27: true, 28: true}

// fits tells whether the type serves the use.
func (u use) fits(t gguf.TensorType) bool {
	return t == gguf.F32 || u == multiplied && !noWeights[t]
}

// tensor checks a tensor that must be there.
func (h *header) tensor(name string, u use, shape ...uint64) {
	if h.tensors[name] == nil {
		h.fail("it has no tensor %s", name)
		return
	}
	h.optional(name, u, shape...)
}

// optional checks a tensor if it is there, and tells whether it is.
func (h *header) optional(name string, u use, shape ...uint64) bool {
	t := h.tensors[name]
	if t == nil {
		return false
	}
	h.known[name] = true
	if !sameShape(t.Shape, shape) {
		h.fail("tensor %s has the shape %v, want %v", name, t.Shape, shape)
	}
	if !u.fits(t.Type) {
		h.fail("tensor %s is of type %v, which can't be %s activations", name, t.Type, u)
	}
	return true
}

// nothingElse refuses tensors that the architecture has no use for: llama.cpp counts
// those it used and refuses a file with more.
func (h *header) nothingElse() {
	for i := range h.file.Tensors {
		if name := h.file.Tensors[i].Name; h.err == nil && !h.known[name] {
			h.fail("tensor %s has no place in architecture %s", quote(name), h.architecture)
		}
	}
}

// sameShape compares shapes whose missing dimensions are 1.
func sameShape(a, b []uint64) bool {
	at := func(shape []uint64, i int) uint64 {
		if i < len(shape) {
			return shape[i]
		}
		return 1
	}
	for i := range max(len(a), len(b)) {
		if at(a, i) != at(b, i) {
			return false
		}
	}
	return true
}

// layer is one of a model's layers; its tensors are named blk.N.NAME.
type layer struct {
	*header
	index uint64
}

func (l layer) name(s string) string { return fmt.Sprintf("blk.%d.%s", l.index, s) }

func (l layer) tensor(name string, u use, shape ...uint64) {
	l.header.tensor(l.name(name), u, shape...)
}

func (l layer) optional(name string, u use, shape ...uint64) bool {
	return l.header.optional(l.name(name), u, shape...)
}

// norm checks weight and bias of a normalisation.
func (h *header) norm(name string, width uint64) {
	h.tensor(name+".weight", plain, width)
	h.tensor(name+".bias", plain, width)
}

func (l layer) norm(name string, width uint64) { l.header.norm(l.name(name), width) }

// layers visits each layer until something is wrong.
func (h *header) layers(count uint64, visit func(layer)) {
	for i := uint64(0); i < count && h.err == nil; i++ {
		visit(layer{h, i})
	}
}
