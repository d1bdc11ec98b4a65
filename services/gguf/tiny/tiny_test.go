package tiny

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"runa/services/gguf"
)

func models() map[string]func(io.Writer, uint64, ...Option) error {
	return map[string]func(io.Writer, uint64, ...Option) error{
		"llama": Llama, "bert": BERT, "rwkv6": RWKV6, "rwkv7": RWKV7, "adapter": Adapter,
	}
}

// That llama.cpp loads them is tested in services/splinfer/llama, and that their
// headers are sound in services/gguf/loadable.
func TestModelsAreSmallAndTheSameForASeed(t *testing.T) {
	for name, model := range models() {
		write := func(seed uint64, options ...Option) []byte {
			var out bytes.Buffer
			if err := model(&out, seed, options...); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			return out.Bytes()
		}
		first := write(7)
		if len(first) > 1<<20 {
			t.Errorf("%s: %d bytes", name, len(first))
		}
		if !bytes.Equal(first, write(7)) {
			t.Errorf("%s: one seed, two files", name)
		}
		if bytes.Equal(first, write(8)) {
			t.Errorf("%s: two seeds, one file", name)
		}
		f, err := gguf.Read(bytes.NewReader(first), int64(len(first)))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if f.Name() != "tiny" || name != "adapter" && (f.ContextLength() != 256 || f.Architecture() != name) {
			t.Errorf("%s: name %q, context %d, architecture %q", name, f.Name(), f.ContextLength(), f.Architecture())
		}
		larger := write(7, Layers(3), Context(300), Name("other"), Matrices(gguf.F16))
		g, err := gguf.Read(bytes.NewReader(larger), int64(len(larger)))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(g.Tensors) <= len(f.Tensors) || g.Name() != "other" {
			t.Errorf("%s: %d tensors, then %d; name %q", name, len(f.Tensors), len(g.Tensors), g.Name())
		}
	}
}

func TestShapesThatCannotBeAreRefused(t *testing.T) {
	for name, model := range models() {
		for _, option := range []Option{Layers(0), Layers(65), Context(0), Matrices(99)} {
			if err := model(io.Discard, 1, option); err == nil && name != "adapter" {
				t.Errorf("%s: accepted", name)
			}
		}
	}
}

func TestAFailedWriteIsReported(t *testing.T) {
	if err := Llama(failing{}, 1); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("error %v", err)
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrShortWrite }
