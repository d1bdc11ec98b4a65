package loadable

import (
	"fmt"
	"strings"

	"runa/services/gguf"
	"runa/services/hint"
)

// Adapter is what the header of a LoRA adapter says.
type Adapter struct {
	Architecture string // of the model it was trained for
	Name         string // for people; may be empty
	Bytes        uint64 // of its weights
}

// CheckAdapter decides whether llama.cpp can load the file at path as a LoRA adapter. That
// its shapes fit a model is for llama.cpp to say, which answers with an error.
func CheckAdapter(path string) (Adapter, error) {
	f, err := gguf.Open(path)
	if err != nil {
		return Adapter{}, err
	}
	h := newHeader(f)
	h.container()
	h.kind("adapter")
	h.adapter()
	if h.err != nil {
		return Adapter{}, hint.New(fmt.Errorf("check adapter %s: %w", path, h.err), "adapters are GGUF files as llama.cpp's convert_lora_to_gguf makes them")
	}
	return Adapter{Architecture: h.architecture, Name: f.Name(), Bytes: f.TensorBytes()}, nil
}

// adapter checks types that llama.cpp asserts, and that matrices come in pairs.
func (h *header) adapter() {
	if kind := h.word("general.type", "model"); h.err == nil && kind != "adapter" {
		h.fail("it is a file of type %s (general.type), want adapter", quote(kind))
	}
	if kind := h.word("adapter.type", ""); kind != "lora" {
		h.fail("adapter.type is %s, want lora", quote(kind))
	}
	h.positive("adapter.lora.alpha", maybe)
	for _, t := range h.file.Tensors {
		if strings.HasSuffix(t.Name, "_norm.weight") {
			continue // llama.cpp passes over it
		}
		base, isA := strings.CutSuffix(t.Name, ".lora_a")
		if !isA {
			var isB bool
			if base, isB = strings.CutSuffix(t.Name, ".lora_b"); !isB {
				h.fail("tensor %s is neither a .lora_a nor a .lora_b", quote(t.Name))
			}
		}
		a, b := h.tensors[base+".lora_a"], h.tensors[base+".lora_b"]
		switch {
		case a == nil || b == nil:
			h.fail("tensor %s has no counterpart", quote(t.Name))
		case len(t.Shape) != 2:
			h.fail("tensor %s has the shape %v, want two dimensions", quote(t.Name), t.Shape)
		case noWeights[t.Type]:
			h.fail("tensor %s is of type %v, which can't be multiplied with activations", quote(t.Name), t.Type)
		}
	}
}
