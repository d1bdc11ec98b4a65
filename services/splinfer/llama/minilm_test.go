package llama_test

import (
	"math"
	"os"
	"slices"
	"testing"

	"runa/services/gguf/loadable"
	"runa/services/splinfer/llama"
)

// The three sentence pairs that are published with the model, and their cosines.
func TestTheEmbeddingModelFindsThePublishedLikenesses(t *testing.T) {
	path := os.Getenv("RUNA_MODEL_MINILM")
	if path == "" {
		t.Fatal("RUNA_MODEL_MINILM is not set; run the tests with `make test`, which sets it")
	}
	info, err := loadable.Check(path)
	if err != nil {
		t.Fatal(err)
	}
	if !info.EmbedsOnly || info.Width != 384 || info.Vocabulary != 30522 {
		t.Fatalf("the header says %+v", info)
	}
	m, err := library(t).LoadModel(path)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	c, err := m.NewContext(llama.ContextOptions{Size: 256, Sequences: 4, Batch: 256, Threads: 1, Embeddings: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var texts [][]llama.Token
	for _, text := range []string{"That is a happy person", "That is a happy dog", "That is a very happy person", "Today is a sunny day"} {
		tokens, err := m.Tokenize(text, true, false)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, tokens)
	}
	vectors, err := c.Embed(texts)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []float64{0.694, 0.943, 0.257} {
		got := likeness(vectors[0], vectors[i+1])
		t.Logf("cosine %.4f, published %.3f", got, want)
		if math.Abs(got-want) > 0.01 {
			t.Errorf("pair %d: %.4f, want %.3f within 0.01", i+1, got, want)
		}
	}
}

// What BERT's own tokenizer makes of text that tries its rules: case, accents, Chinese, punctuation.
func TestTheEmbeddingModelReadsTextAsItWasTrained(t *testing.T) {
	path := os.Getenv("RUNA_MODEL_MINILM")
	if path == "" {
		t.Fatal("RUNA_MODEL_MINILM is not set; run the tests with `make test`, which sets it")
	}
	m, err := library(t).LoadModel(path)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for text, want := range map[string][]llama.Token{
		"Hello, World!":        {101, 7592, 1010, 2088, 999, 102},
		"Caf\u00e9 na\u00efve": {101, 7668, 15743, 102},
		"embeddings":           {101, 7861, 8270, 4667, 2015, 102}, // em bed ding s
		"\u4e2d\u56fd":         {101, 1746, 1799, 102},
		"\U0001f600":           {101, 100, 102}, // unknown
		"":                     {101, 102},
	} {
		if tokens, err := m.Tokenize(text, true, false); err != nil || !slices.Equal(tokens, want) {
			t.Errorf("%q: %v, %v, want %v", text, tokens, err, want)
		}
	}
}

func likeness(a, b []float32) float64 {
	var ab, aa, bb float64
	for i := range a {
		ab, aa, bb = ab+float64(a[i])*float64(b[i]), aa+float64(a[i])*float64(a[i]), bb+float64(b[i])*float64(b[i])
	}
	return ab / math.Sqrt(aa*bb)
}
