package splinfer

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"runa/services/hint"
	"runa/services/rmp"
	"runa/services/splinfer/embed"
)

// vectorJob is a request for vectors of texts.
type vectorJob struct {
	ctx     context.Context
	request rmp.EmbedRequest
	ended   chan vectorOutcome
}

type vectorOutcome struct {
	vectors rmp.Embeddings
	err     error
}

// vectors makes embeddings, a piece between two steps of answers. But for the
// jobs that wait it belongs to the computing goroutine.
type vectors struct {
	mu      sync.Mutex
	waiting []*vectorJob

	embedder *embed.Embedder
	name     string // of its model
	job      *vectorJob
	running  *embed.Job
}

// push lets a job wait; it reports false when limit jobs do.
func (v *vectors) push(j *vectorJob, limit int) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.waiting) >= limit {
		return false
	}
	v.waiting = append(v.waiting, j)
	return true
}

func (v *vectors) pop() *vectorJob {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.waiting) == 0 {
		return nil
	}
	j := v.waiting[0]
	v.waiting = v.waiting[1:]
	return j
}

// vectorScratch is what an embedding model's contexts take beside its weights.
const vectorScratch = 100 << 20

// step does a piece of the work and reports false if there is none.
func (v *vectors) step(e *engine) bool {
	if v.job == nil {
		if v.job = v.pop(); v.job == nil {
			return false
		}
		if err := v.begin(e); err != nil {
			v.finish(vectorOutcome{err: err})
		}
		return true
	}
	if v.job.ctx.Err() != nil || e.ending() {
		v.finish(vectorOutcome{err: context.Canceled})
		return true
	}
	done, err := v.running.Step()
	switch {
	case err != nil:
		v.finish(vectorOutcome{err: err})
	case done:
		v.finish(vectorOutcome{vectors: rmp.Embeddings{Model: v.name, Vectors: v.running.Vectors()}})
	}
	return true
}

func (v *vectors) finish(o vectorOutcome) {
	v.job.ended <- o
	v.job, v.running = nil, nil
}

// begin reads the job's texts, with the model it wants.
func (v *vectors) begin(e *engine) error {
	name := v.job.request.Model
	if name == "" {
		var err error
		if name, err = e.folder.embeddingName(); err != nil {
			return err
		}
	}
	if err := v.use(e, name); err != nil {
		return err
	}
	tokens, err := v.embedder.Tokenize(v.job.request.Texts)
	switch {
	case errors.Is(err, embed.ErrTooLong):
		return fail(rmp.CodePromptTooLong, err)
	case err != nil:
		return fail(rmp.CodeParameterInvalid, err)
	}
	v.running = v.embedder.Start(tokens)
	return nil
}

// use loads an embedding model in place of another.
func (v *vectors) use(e *engine, name string) error {
	if v.embedder != nil && v.name == name {
		return nil
	}
	file, err := e.folder.inspect(name)
	if err != nil {
		return err
	}
	available, err := e.o.Available()
	if err != nil {
		return err
	}
	if need := file.info.FileBytes + vectorScratch; need > available {
		err := fmt.Errorf("load model %s: it needs about %d MiB of memory and %d MiB are available", file.path, need>>20, available>>20)
		return fail(rmp.CodeModelInvalid, hint.New(err, "unload the other model: runa models unload"))
	}
	v.close()
	e.progress.begin(e.o.Now(), loadAllowance(file.info.FileBytes))
	embedder, err := embed.Open(e.library, file.path, embed.Options{
		Threads: e.threads, Progress: func(tokens int) { e.progress.begin(e.o.Now(), decodeAllowance(tokens)) },
	})
	if err != nil {
		return fail(rmp.CodeModelInvalid, err)
	}
	v.embedder, v.name = embedder, name
	e.o.Log.Info("embedding model loaded", "model", name, "dimensions", embedder.Dimensions())
	return nil
}

// close gives the model's memory back.
func (v *vectors) close() {
	if v.embedder != nil {
		v.embedder.Close()
		v.embedder, v.name = nil, ""
	}
}
