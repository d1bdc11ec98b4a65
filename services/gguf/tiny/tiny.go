// Package tiny writes models of random weights, for tests that need tokens but no
// sense: a transformer (llama), two recurrent ones (RWKV-6, RWKV-7), one that only
// embeds (BERT) and a LoRA adapter. llama.cpp v0.5.0 loads and runs all of them.
// The same calls give the same bytes.
//
// Their vocabularies have all bytes, so that any text can be read, but what they
// say is noise and need not be UTF-8. No program of Runa uses the package.
package tiny

import (
	"fmt"
	"io"
	"math/rand/v2"

	"runa/services/gguf"
)

// Option changes a model's shape from its defaults.
type Option func(*builder)

// Name sets the model's name (general.name); without it the name is "tiny".
func Name(name string) Option { return func(b *builder) { b.title = name } }

// Context sets how many tokens the model claims to be trained on; without it 256. A BERT's
// table of positions grows with it.
func Context(tokens int) Option { return func(b *builder) { b.context = tokens } }

// Layers sets the number of layers; without it 2.
func Layers(n int) Option { return func(b *builder) { b.layers = n } }

// Matrices sets how matrices are stored: F32, F16 or Q8_0; without it Q8_0.
func Matrices(t gguf.TensorType) Option { return func(b *builder) { b.matrix = t } }

// builder collects a model and remembers the first error.
type builder struct {
	gguf.Writer
	architecture    string
	title           string
	context, layers int
	matrix          gguf.TensorType
	random          *rand.Rand
	err             error
}

func start(architecture string, seed uint64, options []Option) *builder {
	b := &builder{
		architecture: architecture, title: "tiny", context: 256, layers: 2, matrix: gguf.Q8_0,
		random: rand.New(rand.NewPCG(seed, 1)),
	}
	for _, option := range options {
		option(b)
	}
	if b.context < 1 || b.layers < 1 || b.layers > 64 {
		b.err = fmt.Errorf("write a tiny model: context %d and %d layers, want at least 1 and 1 to 64", b.context, b.layers)
	}
	b.set("general.architecture", architecture)
	b.set("general.name", b.title)
	b.set("general.license", "CC0-1.0")
	return b
}

// set adds a metadata entry; a key that begins with a full stop is the architecture's.
func (b *builder) set(key string, value any) {
	if key[0] == '.' {
		key = b.architecture + key
	}
	if b.err == nil {
		b.err = b.Set(key, value)
	}
}

// count adds a whole number as uint32.
func (b *builder) count(key string, n int) { b.set(key, uint32(n)) }

// draw adds a tensor of values drawn evenly from middle-spread to middle+spread.
func (b *builder) draw(name string, t gguf.TensorType, middle, spread float32, shape ...int) {
	size, dimensions := 1, make([]uint64, len(shape))
	for i, n := range shape {
		size *= n
		dimensions[i] = uint64(n)
	}
	values := make([]float32, size)
	for i := range values {
		values[i] = middle + spread*float32(b.random.Int32N(2001)-1000)/1000
	}
	if b.err == nil {
		b.err = b.Add(name, dimensions, t, values)
	}
}

func (b *builder) weights(name string, shape ...int) {
	b.draw(name+".weight", b.matrix, 0, 1, shape...)
}

// bias is small beside what it is added to.
func (b *builder) bias(name string, n int) { b.draw(name+".bias", gguf.F32, 0, 0.1, n) }

// scale is all ones, so that activations keep their size.
func (b *builder) scale(name string, n int) { b.draw(name+".weight", gguf.F32, 1, 0, n) }

func (b *builder) norm(name string, n int) {
	b.scale(name, n)
	b.bias(name, n)
}

// each calls add for every layer with what completes a tensor's name.
func (b *builder) each(add func(name func(string) string)) {
	for i := range b.layers {
		add(func(s string) string { return fmt.Sprintf("blk.%d.%s", i, s) })
	}
}

func (b *builder) write(out io.Writer) error {
	if b.err != nil {
		return b.err
	}
	_, err := b.WriteTo(out)
	return err
}
