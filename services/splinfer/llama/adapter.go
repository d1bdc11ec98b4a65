package llama

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"

	"runa/services/gguf"
	"runa/services/hint"
)

// Adapter is a LoRA adapter: small matrices that change what a model's larger
// ones compute.
type Adapter struct {
	model    *Model
	handle   uintptr
	identity Identity
}

// AdapterScale is an adapter and how much of it to add: 1 as it was trained, 0 nothing.
type AdapterScale struct {
	Adapter *Adapter
	Scale   float32
}

// LoadAdapter reads a LoRA adapter that was made for this model. Close it
// before the model, after every context that uses it has let go of it.
func (m *Model) LoadAdapter(path string) (*Adapter, error) {
	if err := m.checkAdapter(path); err != nil {
		return nil, err
	}
	identity, err := fileIdentity(path)
	if err != nil {
		return nil, fmt.Errorf("load adapter: %w", err)
	}
	var reason string
	restore := collectErrors(&reason)
	handle := m.library.c.adapterInit(m.handle, path)
	restore()
	if handle == 0 {
		err := fmt.Errorf("load adapter %s: llama.cpp refused it: %s", path, reason)
		return nil, hint.New(err, "use an adapter that was made for this very model")
	}
	return &Adapter{model: m, handle: handle, identity: identity}, nil
}

// checkAdapter looks at the header before libllama trusts it.
func (m *Model) checkAdapter(path string) error {
	header, err := gguf.Open(path)
	if err != nil {
		return fmt.Errorf("load adapter: %w", err)
	}
	if kind := header.Text("general.type"); kind != "adapter" || header.Text("adapter.type") != "lora" {
		err := fmt.Errorf("load adapter %s: it is no LoRA adapter but a %q", path, kind)
		return hint.New(err, "convert the adapter with llama.cpp's convert_lora_to_gguf.py")
	}
	return nil
}

// Close frees the adapter.
func (a *Adapter) Close() {
	if a.handle != 0 {
		a.model.library.c.adapterFree(a.handle)
		a.handle = 0
	}
}

// Identity tells this adapter's file from any other.
func (a *Adapter) Identity() Identity { return a.identity }

// SetAdapters makes the context compute with these adapters and no others; none
// takes all away. The context must be empty: what it remembers was computed
// without them.
func (c *Context) SetAdapters(adapters ...AdapterScale) error {
	if c.used > 0 {
		return fmt.Errorf("set adapters: the context holds %d tokens that were computed with others; Clear it first", c.used)
	}
	handles, scales := make([]uintptr, len(adapters)+1), make([]float32, len(adapters)+1)
	for i, a := range adapters {
		switch {
		case a.Adapter == nil || a.Adapter.handle == 0 || a.Adapter.model != c.model:
			return fmt.Errorf("set adapters: adapter %d is closed or of another model", i)
		case math.IsNaN(float64(a.Scale)) || math.IsInf(float64(a.Scale), 0):
			return fmt.Errorf("set adapters: the scale of adapter %d is not a finite number", i)
		case slices.ContainsFunc(adapters[:i], func(b AdapterScale) bool { return b.Adapter == a.Adapter }):
			return fmt.Errorf("set adapters: adapter %d is given twice", i)
		}
		handles[i], scales[i] = a.Adapter.handle, a.Scale
	}
	result := c.model.library.c.adaptersSet(c.handle, &handles[0], uintptr(len(adapters)), &scales[0])
	runtime.KeepAlive(handles)
	if result != 0 {
		return errors.New("set adapters: llama.cpp refused them")
	}
	c.adapters = slices.Clone(adapters)
	return nil
}

// identity is that of all weights the context computes with.
func (c *Context) identity() Identity {
	if len(c.adapters) == 0 {
		return c.model.identity
	}
	sum := sha256.New()
	sum.Write(c.model.identity[:])
	for _, a := range c.adapters {
		sum.Write(a.Adapter.identity[:])
		binary.Write(sum, binary.LittleEndian, a.Scale)
	}
	return Identity(sum.Sum(nil))
}
