package splinfer

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"runa/services/splinfer/llama"
)

// benchContext is a context as the engine makes it, of the model that
// RUNA_MODEL_TINYLLAMA or else RUNA_MODEL_STORIES15M names.
func benchContext(b *testing.B, sequences int) (*llama.Model, *llama.Context) {
	b.Helper()
	path := os.Getenv("RUNA_MODEL_TINYLLAMA")
	if path == "" {
		path = environment(b, "RUNA_MODEL_STORIES15M")
	}
	threads, err := strconv.Atoi(orElse(os.Getenv("RUNA_BENCH_THREADS"), "1"))
	if err != nil {
		b.Fatal(err)
	}
	library, err := llama.Open(environment(b, "RUNA_LLAMA_DIR"), nil)
	if err != nil {
		b.Fatal(err)
	}
	model, err := library.LoadModel(path)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(model.Close)
	c, err := model.NewContext(llama.ContextOptions{Size: 256, Sequences: sequences, Apart: true, Threads: threads})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(c.Close)
	return model, c
}

// BenchmarkStep is what one step of the engine costs llama.cpp: so many answers
// each get a token, and so many tokens of a prompt are read beside them. The
// metric says how many steps of one answer that is.
func BenchmarkStep(b *testing.B) {
	const sequences, rounds = 16, 8
	model, c := benchContext(b, sequences)
	var batch llama.Batch
	step := func(answers, prompts, tokens int) time.Duration {
		c.Clear()
		batch.Reset()
		for s := range answers {
			batch.Add(s, 0, llama.Token(100+s), true)
		}
		for p := range prompts {
			for i := range tokens {
				batch.Add(answers+p, i, llama.Token((i+p)*7919%model.VocabularySize()), i == tokens-1)
			}
		}
		began := time.Now()
		if err := c.DecodeBatch(&batch); err != nil {
			b.Fatal(err)
		}
		c.Synchronize()
		return time.Since(began)
	}
	for _, shape := range []struct{ answers, prompts, tokens int }{
		{1, 0, 0},
		{2, 0, 0},
		{4, 0, 0},
		{7, 0, 0},
		{8, 0, 0},
		{9, 0, 0},
		{16, 0, 0},
		{0, 1, 16},
		{0, 1, 32},
		{0, 1, 128},
		{0, 8, 16},
		{7, 1, 16},
	} {
		b.Run(fmt.Sprintf("answers=%d/prompts=%dx%d", shape.answers, shape.prompts, shape.tokens), func(b *testing.B) {
			var all, one []time.Duration
			for range rounds { // in turn, so that both meet the same noise
				one = append(one, step(1, 0, 0))
				all = append(all, step(shape.answers, shape.prompts, shape.tokens))
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(least(all).Seconds()*1000, "ms")
			b.ReportMetric(least(all).Seconds()/least(one).Seconds(), "steps-of-one")
		})
	}
}

// least is the time that was disturbed the least.
func least(all []time.Duration) time.Duration {
	best := all[0]
	for _, d := range all {
		best = min(best, d)
	}
	return best
}
