package llama_test

import (
	"bytes"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"runa/services/gguf/loadable"
	"runa/services/gguf/tiny"
	"runa/services/splinfer/llama"
)

func library(t *testing.T) *llama.Library {
	t.Helper()
	dir := os.Getenv("RUNA_LLAMA_DIR")
	if dir == "" {
		t.Fatal("RUNA_LLAMA_DIR is not set; run the tests with `make test`, which sets it")
	}
	l, err := llama.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func write(t *testing.T, model func(io.Writer, uint64, ...tiny.Option) error, seed uint64, options ...tiny.Option) string {
	t.Helper()
	var out bytes.Buffer
	if err := model(&out, seed, options...); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "tiny.gguf")
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Text of all kinds of bytes, among them such as no vocabulary has a piece for.
const anyText = "Hello, WORLD 42!\n\t\x00\u00e9\u6f22\U0001f600 \\x0a"

// decode reads text and says ten tokens more, each the most likely one.
func decode(t *testing.T, c *llama.Context, m *llama.Model, text string) []llama.Token {
	t.Helper()
	tokens, err := m.Tokenize(text, true, false)
	if err != nil {
		t.Fatal(err)
	}
	next, said := tokens, []llama.Token(nil)
	for range 10 {
		if err := c.Decode(next); err != nil {
			t.Fatal(err)
		}
		best := 0
		logits := c.Logits()
		for i, v := range logits {
			if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
				t.Fatalf("logit %d is %v", i, v)
			}
			if v > logits[best] {
				best = i
			}
		}
		next = []llama.Token{llama.Token(best)}
		said = append(said, next[0])
	}
	return said
}

func TestTinyModelsLoadAndSayWhatTheirSeedSays(t *testing.T) {
	l := library(t)
	for name, model := range map[string]func(io.Writer, uint64, ...tiny.Option) error{
		"llama": tiny.Llama, "rwkv6": tiny.RWKV6, "rwkv7": tiny.RWKV7,
	} {
		t.Run(name, func(t *testing.T) {
			said := map[uint64][]llama.Token{}
			for _, seed := range []uint64{1, 2} {
				path := write(t, model, seed)
				info, err := loadable.Check(path)
				if err != nil {
					t.Fatal(err)
				}
				m, err := l.LoadModel(path)
				if err != nil {
					t.Fatal(err)
				}
				defer m.Close()
				if m.Recurrent() != info.Recurrent || m.Bytes() != info.WeightBytes || m.ContextTrain() != int(info.ContextTrain) || m.VocabularySize() != int(info.Vocabulary) {
					t.Errorf("recurrent %v, %d bytes, context %d, vocabulary %d; the header says %+v", m.Recurrent(), m.Bytes(), m.ContextTrain(), m.VocabularySize(), info)
				}
				c, err := m.NewContext(llama.ContextOptions{Size: 200, Threads: 1})
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				said[seed] = decode(t, c, m, anyText)
				c.Clear()
				if again := decode(t, c, m, anyText); !slices.Equal(again, said[seed]) {
					t.Errorf("%v, then %v", said[seed], again)
				}
			}
			if slices.Equal(said[1], said[2]) {
				t.Errorf("two seeds say %v", said[1])
			}
		})
	}
}

// What the header lets expect of a context's memory is what llama.cpp saves of a
// sequence, but for a few bytes of description.
func TestMemoryIsAsTheHeaderLetsExpect(t *testing.T) {
	l := library(t)
	for name, model := range map[string]func(io.Writer, uint64, ...tiny.Option) error{
		"llama": tiny.Llama, "rwkv6": tiny.RWKV6, "rwkv7": tiny.RWKV7,
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, model, 1)
			info, err := loadable.Check(path)
			if err != nil {
				t.Fatal(err)
			}
			m, err := l.LoadModel(path)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			c, err := m.NewContext(llama.ContextOptions{Size: 200, Threads: 1})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			for _, n := range []uint64{1, 100} {
				c.Clear()
				if err := c.Decode(make([]llama.Token, n)); err != nil {
					t.Fatal(err)
				}
				want, got := info.Memory(n, 1)-info.WeightBytes, uint64(c.StateBytes(0))
				if got < want || got > want+want/20+1024+20*n {
					t.Errorf("%d tokens: %d bytes, expected about %d", n, got, want)
				}
			}
		})
	}
}
