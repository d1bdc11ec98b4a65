package splinfer

import (
	"fmt"
	"math"
	"time"

	"runa/services/gguf/loadable"
	"runa/services/splinfer/llama"
)

// Measurement is speed in tokens per second, as llama-bench reports it: mean
// and standard deviation over the runs, the first (warm-up) run left out.
type Measurement struct {
	Test      string    `json:"test"` // "pp512": prompt of 512 tokens; "tg128": 128 tokens one by one
	Tokens    int       `json:"tokens"`
	Threads   int       `json:"threads"`
	PerSecond float64   `json:"tokens_per_second"`
	Deviation float64   `json:"deviation"`
	Runs      []float64 `json:"runs"`
}

// Measure times the model at path on o.Threads the way llama-bench does: an
// empty context before each run, arbitrary tokens, no sampling. prompt or
// generate of 0 leaves that test out. The context is made as large as the test
// needs, whatever the model was trained with.
func Measure(o Options, path string, prompt, generate, runs int) ([]Measurement, error) {
	o = o.complete()
	if prompt < 0 || generate < 0 || runs < 1 {
		return nil, fmt.Errorf("measure: %d and %d tokens in %d runs make no sense", prompt, generate, runs)
	}
	library, err := llama.Open(o.Libraries, nil)
	if err != nil {
		return nil, err
	}
	info, err := loadable.Check(path)
	if err != nil {
		return nil, err
	}
	o.FlashAttention = modelFile{info: info}.attention(o.FlashAttention)
	model, err := library.LoadModel(path)
	if err != nil {
		return nil, err
	}
	defer model.Close()
	var results []Measurement
	for _, test := range []struct {
		name          string
		tokens, batch int
	}{{"pp", prompt, o.Batch}, {"tg", generate, 1}} {
		if test.tokens == 0 {
			continue
		}
		result, err := measure(o, model, test.tokens, test.batch, runs)
		if err != nil {
			return nil, fmt.Errorf("measure %s%d: %w", test.name, test.tokens, err)
		}
		result.Test = fmt.Sprintf("%s%d", test.name, test.tokens)
		results = append(results, result)
	}
	return results, nil
}

func measure(o Options, model *llama.Model, tokens, batch, runs int) (Measurement, error) {
	context, err := model.NewContext(llama.ContextOptions{
		Size: max(tokens, 8), BeyondTraining: true, Batch: o.Batch, MicroBatch: o.MicroBatch,
		Threads: o.Threads, ThreadsBatch: o.ThreadsBatch, Apart: true, FlashAttention: o.FlashAttention,
	})
	if err != nil {
		return Measurement{}, err
	}
	defer context.Close()
	m := Measurement{Tokens: tokens, Threads: o.Threads}
	if batch > 1 {
		m.Threads = o.ThreadsBatch
	}
	for run := range runs + 1 {
		started := o.Now()
		if err := decodeAny(context, model.VocabularySize(), tokens, min(batch, context.Batch())); err != nil {
			return Measurement{}, err
		}
		if took := o.Now().Sub(started); run > 0 {
			m.Runs = append(m.Runs, float64(tokens)/max(took, time.Microsecond).Seconds())
		}
	}
	m.PerSecond, m.Deviation = meanAndDeviation(m.Runs)
	return m, nil
}

// decodeAny decodes that many arbitrary tokens, batch at a time.
func decodeAny(c *llama.Context, vocabulary, tokens, batch int) error {
	c.Clear()
	for at := 0; at < tokens; {
		piece := make([]llama.Token, min(batch, tokens-at))
		for i := range piece {
			piece[i] = llama.Token((at + i) * 7919 % vocabulary)
		}
		if err := c.Decode(piece); err != nil {
			return err
		}
		c.Synchronize()
		at += len(piece)
	}
	return nil
}

func meanAndDeviation(values []float64) (mean, deviation float64) {
	for _, v := range values {
		mean += v / float64(len(values))
	}
	for _, v := range values {
		deviation += (v - mean) * (v - mean)
	}
	if len(values) < 2 {
		return mean, 0
	}
	return mean, math.Sqrt(deviation / float64(len(values)-1))
}
