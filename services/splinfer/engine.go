package splinfer

import (
	"context"
	"fmt"
	"sync/atomic"

	"runa/services/hint"
	"runa/services/rmp"
	"runa/services/splinfer/llama"
)

// Verdict is what a Hook decides about a token.
type Verdict int

// The verdicts of a hook.
const (
	Publish Verdict = iota // the asker gets the token
	Stop                   // the answer ends before the token
)

// Hook sees every token before anybody else does. It is called by the
// computing goroutine, in order, and must be quick.
type Hook func(rmp.Token) Verdict

// engine owns the loaded model. Except for loadedName all of it belongs to the
// computing goroutine.
type engine struct {
	o       Options
	library *llama.Library
	folder  folder
	current *loaded
	name    atomic.Pointer[string] // of the current model, for others to read

	progress *progress // what others see of the computing goroutine's work
}

// loaded is a model with its context.
type loaded struct {
	file    modelFile
	model   *llama.Model
	context *llama.Context
}

func (e *engine) loadedName() string {
	if name := e.name.Load(); name != nil {
		return *name
	}
	return ""
}

// use returns the model of that name, or the default one for "", loading it in
// place of the current one if need be.
func (e *engine) use(name string) (*loaded, error) {
	if name == "" {
		var err error
		if name, err = e.folder.defaultName(e.o.Model); err != nil {
			return nil, err
		}
	}
	if e.current != nil && e.current.file.name == name {
		return e.current, nil
	}
	file, err := e.folder.inspect(name)
	if err != nil {
		return nil, err
	}
	if err := e.admit(file); err != nil {
		return nil, fail(rmp.CodeModelInvalid, err)
	}
	e.unload()
	started := e.o.Now()
	e.progress.begin(started, loadAllowance(file.bytes))
	if err := e.load(file); err != nil {
		return nil, fail(rmp.CodeModelInvalid, err)
	}
	e.o.Log.Info("model loaded", "model", name, "description", e.current.model.Description(),
		"bytes", file.bytes, "context", e.current.context.Size(), "threads", e.o.Threads,
		"ms", e.o.Now().Sub(started).Milliseconds())
	return e.current, nil
}

// admit refuses a model that would not fit into memory beside what stays.
func (e *engine) admit(file modelFile) error {
	available, err := e.o.Available()
	if err != nil {
		return fmt.Errorf("load model %s: %w", file.path, err)
	}
	if e.current != nil {
		available += e.current.file.memory(e.current.context.Size())
	}
	if need := file.memory(e.o.Context); need > available {
		err := fmt.Errorf("load model %s: it needs about %d MiB of memory and %d MiB are available", file.path, need>>20, available>>20)
		return hint.New(err, "use a smaller model, a smaller --ctx-size, or give the machine more memory")
	}
	return nil
}

func (e *engine) load(file modelFile) error {
	model, err := e.library.LoadModel(file.path)
	if err != nil {
		return err
	}
	context, err := model.NewContext(llama.ContextOptions{
		Size: e.o.Context, Batch: e.o.Batch, MicroBatch: e.o.MicroBatch,
		Threads: e.o.Threads, ThreadsBatch: e.o.ThreadsBatch,
	})
	if err != nil {
		model.Close()
		return fmt.Errorf("load model %s: %w", file.path, err)
	}
	e.current = &loaded{file: file, model: model, context: context}
	e.name.Store(&e.current.file.name)
	return nil
}

func (e *engine) unload() {
	if e.current == nil {
		return
	}
	e.name.Store(nil)
	e.current.context.Close()
	e.current.model.Close()
	e.current = nil
}

// generate answers one request, giving every token to emit, and returns how it
// ended. A ctx that ends stops it within one token, with reason "cancel".
func (e *engine) generate(ctx context.Context, request rmp.Generate, emit func(rmp.Token)) (rmp.Done, error) {
	if ctx.Err() != nil {
		return rmp.Done{Reason: rmp.ReasonCancel}, nil
	}
	values, err := e.o.Defaults.With(request.Parameters)
	if err != nil {
		return rmp.Done{}, err
	}
	l, err := e.use(request.Model)
	if err != nil {
		return rmp.Done{}, err
	}
	tokens, err := l.promptTokens(request)
	if err != nil {
		return rmp.Done{}, err
	}
	sampling := values.sampling(e.o.Random())
	sampler, err := l.model.NewSampler(sampling)
	if err != nil {
		return rmp.Done{}, fail(rmp.CodeParameterInvalid, err)
	}
	defer sampler.Close()
	defer abortWith(ctx, l.context)()
	answer := answer{loaded: l, sampler: sampler, emit: emit, progress: e.progress, hook: e.o.Hook, now: e.o.Now, limit: int(values["n-predict"].(int64))}
	return answer.write(ctx, tokens)
}

// abortWith makes the context abort its computation when ctx ends; the
// returned function takes that back and must be called before the next use.
func abortWith(ctx context.Context, c *llama.Context) (release func()) {
	aborted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		c.Abort()
		close(aborted)
	})
	return func() {
		if !stop() {
			<-aborted
			c.Resume()
		}
	}
}
