package loadable

import (
	"errors"
	"fmt"
	"math"

	"runa/services/gguf"
	"runa/services/hint"
)

// Check reads the header of the file at path and decides whether llama.cpp can
// load it as a model. Its errors name the path, wrap [ErrUnloadable], [ErrAdapter] or the
// sentinels of package gguf or os, and carry a hint.
func Check(path string) (Info, error) {
	f, err := gguf.Open(path)
	if err != nil {
		return Info{}, err
	}
	info, err := CheckHeader(f)
	switch {
	case errors.Is(err, ErrAdapter):
		return Info{}, hint.New(fmt.Errorf("check model %s: %w", path, err), "name it as the adapter of the model it was trained for")
	case err != nil:
		return Info{}, hint.New(fmt.Errorf("check model %s: %w", path, err),
			"the file is damaged or was made for another program: copy or convert the model again, or choose another")
	}
	return info, nil
}

// architectures are those with rules of their own for each tensor.
var architectures = map[string]func(*header, *Info){
	"llama": (*header).llama, "bert": (*header).bert, "rwkv6": (*header).rwkv6, "rwkv7": (*header).rwkv7,
}

// CheckHeader decides the same from a header that was read already.
func CheckHeader(f *gguf.File) (Info, error) {
	h := newHeader(f)
	h.container()
	h.kind("model")
	if h.err != nil {
		return Info{}, h.err
	}
	info := Info{
		Architecture: h.architecture, Name: f.Name(), License: f.License(),
		FileBytes: uint64(max(f.Size, 0)), WeightBytes: f.TensorBytes(), LeastBits: math.MaxUint64,
	}
	for _, t := range f.Tensors {
		info.LeastBits = min(info.LeastBits, t.Type.Bits())
	}
	h.general(&info)
	h.vocabulary(&info)
	if h.err != nil { // what follows multiplies what these have bounded
		return Info{}, h.err
	}
	if check, found := architectures[h.architecture]; found {
		check(h, &info)
		h.nothingElse()
	} else {
		h.other(&info)
	}
	if h.err != nil {
		return Info{}, h.err
	}
	return info, nil
}

// Bounds that no model comes near. llama.cpp compares each name with all before it,
// so that more of them would keep it busy for minutes.
const (
	mostKeys    = 1 << 12
	mostTensors = 1 << 14
)

// blockAlignment is what ggml demands of the address of weights, in bytes: it ends
// the process over a mapping that is not so aligned.
const blockAlignment = 32

// container checks what llama.cpp asks of any GGUF file beyond the format.
func (h *header) container() {
	f := h.file
	if len(f.Metadata) > mostKeys || len(f.Tensors) > mostTensors {
		h.fail("%d metadata keys and %d tensors, at most %d and %d are plausible", len(f.Metadata), len(f.Tensors), mostKeys, mostTensors)
		return
	}
	if len(f.Tensors) == 0 {
		h.fail("it has no tensors, so no weights")
	}
	if f.Alignment%blockAlignment != 0 {
		h.fail("general.alignment is %d, want a multiple of %d", f.Alignment, blockAlignment)
		return
	}
	next := f.DataOffset
	for _, t := range f.Tensors {
		if t.Offset != next {
			h.fail("tensor %s begins at byte %d, llama.cpp wants it right behind the one before, at %d", quote(t.Name), t.Offset, next)
			return
		}
		next += (t.Size + f.Alignment - 1) / f.Alignment * f.Alignment
	}
	if parts := h.number("split.count", maybe, 0, 1<<16-1); parts > 1 {
		h.fail("it is one of %d parts of a model: join them to one file first", parts)
	}
}

// kind checks that the file is what it is taken for: "model" or "adapter".
func (h *header) kind(want string) {
	if h.architecture == "" {
		h.fail("its header names no architecture (general.architecture)")
		return
	}
	kind := h.word("general.type", "model")
	switch {
	case h.err != nil || kind == want:
	case kind == "adapter":
		h.err = ErrAdapter
	default:
		h.fail("it is a file of type %s (general.type), want %s", quote(kind), want)
	}
}
