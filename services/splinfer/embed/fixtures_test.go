package embed

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"os"
	"path/filepath"
	"testing"

	"runa/services/gguf"
	"runa/services/gguf/tiny"
	"runa/services/splinfer/llama"
)

func variable(t testing.TB, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		t.Fatalf("%s is not set; run the tests with `make test`, which sets it", name)
	}
	return value
}

func library(t testing.TB) *llama.Library {
	t.Helper()
	l, err := llama.Open(variable(t, "RUNA_LLAMA_DIR"), nil)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func open(t testing.TB, path string, o Options) *Embedder {
	t.Helper()
	e, err := Open(library(t), path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

func miniLM(t testing.TB) *Embedder {
	t.Helper()
	return open(t, variable(t, "RUNA_MODEL_MINILM"), Options{})
}

// save writes a model file and returns its path.
func save(t testing.TB, name string, write func(io.Writer) error) string {
	t.Helper()
	var out bytes.Buffer
	if err := write(&out); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func tinyBERT(t testing.TB, options ...tiny.Option) string {
	t.Helper()
	return save(t, "tiny.gguf", func(out io.Writer) error { return tiny.BERT(out, 1, options...) })
}

// tinyPooled is a model that looks back only, with keys and values it remembers, and the
// mean of a text's tokens for a vector.
func tinyPooled(t testing.TB) string {
	t.Helper()
	path := save(t, "plain.gguf", func(out io.Writer) error { return tiny.Llama(out, 1, tiny.Matrices(gguf.F32)) })
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var w gguf.Writer
	for _, entry := range append(f.Metadata, gguf.KeyValue{Key: "llama.pooling_type", Value: uint32(1)}) {
		if err := w.Set(entry.Key, entry.Value); err != nil {
			t.Fatal(err)
		}
	}
	for _, tensor := range f.Tensors {
		values := make([]float32, tensor.Size/4)
		for i := range values {
			values[i] = math.Float32frombits(binary.LittleEndian.Uint32(content[tensor.Offset+4*uint64(i):]))
		}
		if err := w.Add(tensor.Name, tensor.Shape, gguf.F32, values); err != nil {
			t.Fatal(err)
		}
	}
	return save(t, "pooled.gguf", func(out io.Writer) error {
		_, err := w.WriteTo(out)
		return err
	})
}

// someTokens are n tokens of words, others for each start.
func someTokens(e *Embedder, start, n int) []llama.Token {
	words := e.model.VocabularySize()
	first := min(words/10, 1000) // past those that are special
	tokens := make([]llama.Token, n)
	for i := range tokens {
		tokens[i] = llama.Token(first + (start*7919+i*31+i*i*7)%(words-first))
	}
	return tokens
}

// chunks are n texts of mixed length: from one token to the longest, each octave as often,
// and the first are all lengths where something changes.
func chunks(e *Embedder, n int) [][]llama.Token {
	lengths := []int{1, e.limit, e.limit - 1}
	for _, border := range []int{2, lanes, flashFrom, tile, 2 * tile} {
		lengths = append(lengths, border-1, border, border+1)
	}
	for i := len(lengths); i < n; i++ {
		_, part := math.Modf(float64(i) * math.Phi) // spread evenly
		lengths = append(lengths, int(math.Pow(float64(e.limit), part)))
	}
	texts := make([][]llama.Token, n)
	for i := range texts {
		texts[i] = someTokens(e, i, lengths[i])
	}
	return texts
}

// vectors does a job in one go.
func vectors(t testing.TB, e *Embedder, texts ...[]llama.Token) [][]float32 {
	t.Helper()
	job := e.Start(texts)
	for done := len(texts) == 0; !done; {
		var err error
		if done, err = job.Step(); err != nil {
			t.Fatal(err)
		}
	}
	return job.Vectors()
}

func dot(a, b []float32) (sum float64) {
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
	}
	return sum
}
