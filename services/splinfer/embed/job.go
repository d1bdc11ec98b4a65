package embed

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"runa/services/splinfer/llama"
)

// ErrVector says that the model made no vector with a direction, as one whose weights are
// damaged does.
var ErrVector = errors.New("the model gave no usable vector")

// Job is the making of vectors for some texts, one text a step. Steps of several jobs
// may alternate.
type Job struct {
	embedder *Embedder
	tokens   [][]llama.Token
	vectors  [][]float32 // of the texts that are done
	err      error
}

// Start begins a job for the texts that Tokenize read. The job keeps the slices; they
// must not be changed until it is done.
func (e *Embedder) Start(tokens [][]llama.Token) *Job {
	return &Job{embedder: e, tokens: tokens, vectors: make([][]float32, 0, len(tokens))}
}

// Next is how many tokens the next step computes, at most Options.Batch; 0 if the job is
// done or has failed.
func (j *Job) Next() int {
	if j.done() || j.err != nil {
		return 0
	}
	_, size := j.embedder.contexts.choose(len(j.tokens[len(j.vectors)]))
	return size
}

func (j *Job) done() bool { return len(j.vectors) == len(j.tokens) }

// Step computes the next text's vector by one call to llama.cpp and says whether it
// was the last. A job that failed stays so.
func (j *Job) Step() (done bool, err error) {
	if j.done() || j.err != nil {
		return j.err == nil, j.err
	}
	index := len(j.vectors)
	vector, err := j.embedder.embed(j.tokens[index])
	if err != nil {
		j.err = fmt.Errorf("embed text %d: %w", index, err)
		return false, j.err
	}
	j.vectors = append(j.vectors, vector)
	return j.done(), nil
}

// Vectors are those of all texts, in their order and of length 1; nil until the job
// is done.
func (j *Job) Vectors() [][]float32 {
	if !j.done() {
		return nil
	}
	return j.vectors
}

// Embed makes the vectors of texts at once. A ctx that ends stops it within one step.
func (e *Embedder) Embed(ctx context.Context, texts []string) ([][]float32, error) {
	tokens, err := e.Tokenize(texts)
	if err != nil {
		return nil, err
	}
	job := e.Start(tokens)
	for done := job.done(); !done; {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("embed text %d of %d: %w", len(job.vectors), len(texts), err)
		}
		if done, err = job.Step(); err != nil {
			return nil, err
		}
	}
	return job.Vectors(), nil
}

// embed computes the vector of one text.
func (e *Embedder) embed(tokens []llama.Token) ([]float32, error) {
	switch {
	case len(tokens) == 0:
		return nil, fmt.Errorf("it has no tokens: %w", ErrText)
	case len(tokens) > e.limit:
		return nil, tooLong("it has %d tokens, the model reads at most %d", len(tokens), e.limit)
	}
	context, size := e.contexts.choose(len(tokens))
	texts := [][]llama.Token{tokens}
	if size > len(tokens) { // a second text, of any token
		texts = append(texts, slices.Repeat(tokens[:1], size-len(tokens)))
	}
	e.progress(size)
	vectors, err := context.Embed(texts)
	if err != nil {
		return nil, err
	}
	return vectors[0], normalise(vectors[0])
}

// normalise scales a vector to length 1.
func normalise(vector []float32) error {
	var sum float64
	for _, v := range vector {
		sum += float64(v) * float64(v)
	}
	if !(sum > 0) || math.IsInf(sum, 1) { // NaN is not above 0 either
		return ErrVector
	}
	scale := 1 / math.Sqrt(sum)
	for i, v := range vector {
		vector[i] = float32(float64(v) * scale)
	}
	return nil
}
