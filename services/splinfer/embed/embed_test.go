package embed

import (
	"context"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"runa/services/gguf/loadable"
	"runa/services/gguf/tiny"
	"runa/services/hint"
	"runa/services/splinfer/llama"
)

// The three sentence pairs that are published with the model, and their cosines.
func TestThePublishedLikenessesAreFound(t *testing.T) {
	e := miniLM(t)
	if e.Name() != "all-minilm-l6-v2" || e.Dimensions() != 384 || e.Context() != 512 {
		t.Errorf("%s, %d dimensions, %d tokens", e.Name(), e.Dimensions(), e.Context())
	}
	got, err := e.Embed(t.Context(), []string{"That is a happy person", "That is a happy dog", "That is a very happy person", "Today is a sunny day"})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []float64{0.694, 0.943, 0.257} {
		cosine := dot(got[0], got[i+1])
		t.Logf("cosine %.4f, published %.3f", cosine, want)
		if math.Abs(cosine-want) > 0.01 {
			t.Errorf("pair %d: %.4f, want %.3f within 0.01", i+1, cosine, want)
		}
	}
}

// every runs a test with each kind of model that embeds.
func every(t *testing.T, test func(t *testing.T, e *Embedder)) {
	t.Run("MiniLM", func(t *testing.T) { test(t, miniLM(t)) })
	t.Run("tiny BERT", func(t *testing.T) { test(t, open(t, tinyBERT(t), Options{})) })
	t.Run("pooled", func(t *testing.T) { test(t, open(t, tinyPooled(t), Options{})) })
}

// count is how many texts are tried: 1,000 of a tiny model, of MiniLM fewer unless
// RUNA_EMBED_CHUNKS says so, since each 1,000 take it a minute.
func count(t *testing.T, e *Embedder) int {
	t.Helper()
	if e.Dimensions() < 100 {
		return 1000
	}
	if n, err := strconv.Atoi(os.Getenv("RUNA_EMBED_CHUNKS")); err == nil {
		return max(n, 100)
	}
	return 100
}

func TestATextHasOneVectorWhateverIsAskedForWithIt(t *testing.T) {
	every(t, func(t *testing.T, e *Embedder) {
		texts := chunks(e, count(t, e))
		together := vectors(t, e, texts...)
		for _, i := range rand.New(rand.NewPCG(1, 2)).Perm(len(texts)) {
			alone := vectors(t, e, texts[i])
			if !slices.Equal(alone[0], together[i]) {
				t.Fatalf("text %d of %d tokens has another vector alone", i, len(texts[i]))
			}
			if length := dot(alone[0], alone[0]); math.Abs(length-1) > 1e-5 {
				t.Fatalf("text %d: the length's square is %v", i, length)
			}
		}
	})
}

// Neither what fills a text up nor flash attention changes what llama.cpp makes of
// it by itself, but for rounding.
func TestVectorsAreThoseOfLlamaCpp(t *testing.T) {
	every(t, func(t *testing.T, e *Embedder) {
		plain, err := e.model.NewContext(llama.ContextOptions{Size: e.limit, Batch: e.limit, Threads: 1, Embeddings: true, FlashAttention: llama.FlashOff})
		if err != nil {
			t.Fatal(err)
		}
		defer plain.Close()
		for _, text := range chunks(e, 60) {
			want, err := plain.Embed([][]llama.Token{text})
			if err != nil {
				t.Fatal(err)
			}
			if err := normalise(want[0]); err != nil {
				t.Fatal(err)
			}
			if cosine := dot(vectors(t, e, text)[0], want[0]); cosine < 0.9995 {
				t.Errorf("%d tokens: cosine %.6f", len(text), cosine)
			}
		}
	})
}

func TestStepsOfJobsAlternateAndStayWithinTheBatch(t *testing.T) {
	for _, batch := range []int{8, 50, 64, 100, 0} {
		var told []int
		e := open(t, tinyBERT(t), Options{Batch: batch, Progress: func(tokens int) { told = append(told, tokens) }})
		want := batch
		if batch == 0 {
			want = 256 // what the model was trained with
		}
		if e.Context() != want {
			t.Fatalf("batch %d: a text can have %d tokens", batch, e.Context())
		}
		var texts [][]llama.Token
		for n := range e.limit {
			texts = append(texts, someTokens(e, n, n+1))
		}
		backwards := slices.Clone(texts)
		slices.Reverse(backwards)
		a, b := e.Start(texts), e.Start(backwards)
		for range texts {
			for _, job := range []*Job{a, b} {
				next := job.Next()
				told = told[:0]
				if _, err := job.Step(); err != nil {
					t.Fatal(err)
				}
				if len(told) != 1 || told[0] != next || next < 1 || next > want {
					t.Fatalf("batch %d: a step of %d tokens told %v", batch, next, told)
				}
			}
		}
		got, other := a.Vectors(), b.Vectors()
		slices.Reverse(other)
		if len(got) != len(texts) || !slices.EqualFunc(got, other, slices.Equal[[]float32]) {
			t.Errorf("batch %d: the jobs differ", batch)
		}
		if done, err := a.Step(); !done || err != nil || a.Next() != 0 {
			t.Errorf("batch %d: after the last step: %v, %v", batch, done, err)
		}
	}
}

func TestNothingToEmbedIsDoneAtOnce(t *testing.T) {
	e := open(t, tinyBERT(t), Options{})
	if got, err := e.Embed(t.Context(), nil); err != nil || got == nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
	if done, err := e.Start(nil).Step(); !done || err != nil {
		t.Errorf("%v, %v", done, err)
	}
}

func TestAJobOfFaultyTokensFailsAndStaysSo(t *testing.T) {
	e := open(t, tinyBERT(t), Options{})
	for name, c := range map[string]struct {
		tokens []llama.Token
		want   error
	}{
		"none": {nil, ErrText}, "too many": {someTokens(e, 1, 257), ErrTooLong},
		"not in the vocabulary": {[]llama.Token{9999}, nil}, "negative": {[]llama.Token{7, -1}, nil},
	} {
		job := e.Start([][]llama.Token{{7}, c.tokens, {8}})
		if done, err := job.Step(); done || err != nil {
			t.Fatalf("%s: %v, %v", name, done, err)
		}
		_, err := job.Step()
		if _, again := job.Step(); err == nil || again != err || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v, then %v", name, err, again)
		}
		if job.Vectors() != nil || job.Next() != 0 {
			t.Errorf("%s: the failed job has vectors or goes on", name)
		}
	}
	vectors(t, e, []llama.Token{7}) // the embedder goes on
}

func TestAnEndedContextStopsBetweenSteps(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	calls := 0
	e := open(t, tinyBERT(t), Options{Progress: func(tokens int) {
		if tokens > 0 {
			if calls++; calls == 2 {
				cancel()
			}
		}
	}})
	if _, err := e.Embed(ctx, []string{"a", "b", "c", "d"}); !errors.Is(err, context.Canceled) || calls != 2 {
		t.Errorf("%v after %d steps", err, calls)
	}
}

func TestThreadsDoNotChangeVectors(t *testing.T) {
	path := tinyBERT(t)
	one, two := open(t, path, Options{}), open(t, path, Options{Threads: 2})
	for _, text := range chunks(one, 18) {
		if !slices.Equal(vectors(t, one, text)[0], vectors(t, two, text)[0]) {
			t.Errorf("%d tokens: another vector with two threads", len(text))
		}
	}
}

func TestModelsThatDoNotEmbedAreRefusedWithAHint(t *testing.T) {
	l := library(t)
	generating := save(t, "words.gguf", func(out io.Writer) error { return tiny.Llama(out, 1) })
	if _, err := Open(l, generating, Options{}); !errors.Is(err, ErrModel) || hint.Of(err) == "" {
		t.Errorf("a model that generates: %v", err)
	}
	recurrent := save(t, "state.gguf", func(out io.Writer) error { return tiny.RWKV7(out, 1) })
	if _, err := Open(l, recurrent, Options{}); !errors.Is(err, ErrModel) {
		t.Errorf("a recurrent model: %v", err)
	}
	if _, err := Open(l, t.TempDir()+"/none.gguf", Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	adapter := save(t, "adapter.gguf", func(out io.Writer) error { return tiny.Adapter(out, 1) })
	if _, err := Open(l, adapter, Options{}); !errors.Is(err, loadable.ErrAdapter) {
		t.Errorf("an adapter: %v", err)
	}
	for _, o := range []Options{{Threads: -1}, {Batch: 7}, {Batch: -1}} {
		if _, err := Open(l, tinyBERT(t), o); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
}

func TestDamagedWeightsAreNoVector(t *testing.T) {
	nan := float32(math.NaN())
	for _, vector := range [][]float32{{0, 0}, {nan, 1}, {float32(math.Inf(1)), 1}, {}} {
		if err := normalise(vector); !errors.Is(err, ErrVector) {
			t.Errorf("%v: %v", vector, err)
		}
	}
	for _, vector := range [][]float32{{3e38, 3e38}, {1e-40, 0}, {-3, 4}} {
		if err := normalise(vector); err != nil || math.Abs(dot(vector, vector)-1) > 1e-5 {
			t.Errorf("%v: %v", vector, err)
		}
	}
}
