package splinfer

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"runa/services/hint"
	"runa/services/rmp"
	"runa/services/splinfer/llama"
)

// Options is what a Service is made of. Zero numbers and functions take the
// defaults that complete gives.
type Options struct {
	Libraries    string // folder of the llama.cpp libraries
	Models       string // folder of NAME.gguf files
	Model        string // default model's name; empty: the first sound one in the alphabet
	Context      int    // tokens of prompt and answer together; cut to what the model was trained with
	Threads      int    // for one token; default: processors less one, at least one
	ThreadsBatch int    // for many tokens; default: Threads
	Batch        int    // most prompt tokens given to llama.cpp at once
	MicroBatch   int    // most tokens it computes at once
	Queue        int    // most requests that wait
	Defaults     Values // parameters of requests that don't name them
	Hook         Hook   // sees every token before it is published
	Log          hclog.Logger
	Now          func() time.Time
	Random       func() uint32          // seeds of requests that give none
	Available    func() (uint64, error) // bytes of memory this process may still take

	// Usable is called by the computing goroutine when the default model can no
	// longer be used, with the cause, and when it can again, with its name.
	Usable func(model string, cause error)
}

func (o Options) complete() Options {
	orElse := func(n *int, value int) {
		if *n == 0 {
			*n = value
		}
	}
	orElse(&o.Context, 2048)
	orElse(&o.Threads, max(1, runtime.NumCPU()-1))
	orElse(&o.ThreadsBatch, o.Threads)
	orElse(&o.Batch, 2048)
	orElse(&o.MicroBatch, 512)
	orElse(&o.Queue, 64)
	if o.Defaults == nil {
		o.Defaults = Defaults()
	}
	if o.Hook == nil {
		o.Hook = func(rmp.Token) Verdict { return Publish }
	}
	if o.Log == nil {
		o.Log = hclog.NewNullLogger()
	}
	if o.Usable == nil {
		o.Usable = func(string, error) {}
	}
	return o
}

// Service answers requests for inference.
type Service struct {
	engine   engine
	queue    *queue
	o        Options
	unusable error // why the default model can't be used; the computing goroutine's
	progress progress
	message  atomic.Uint64 // number of the last frame sent
	loaded   chan struct{} // closed when the default model is loaded or known bad
	stopped  chan struct{} // closed when the computing goroutine has ended
}

// New opens llama.cpp and checks it; it fails if that isn't the release this
// program was written for. Now, Random and Available must be set.
func New(o Options) (*Service, error) {
	o = o.complete()
	library, err := llama.Open(o.Libraries, func(level int, line string) {
		o.Log.Debug("llama.cpp", "level", level, "line", line)
	})
	if err != nil {
		return nil, err
	}
	o.Log.Info("llama.cpp opened", "version", library.Version(), "system", library.SystemInfo())
	s := &Service{
		engine: engine{o: o, library: library, folder: folder{path: o.Models}},
		queue:  newQueue(o.Queue), o: o,
		loaded: make(chan struct{}), stopped: make(chan struct{}),
	}
	s.engine.progress = &s.progress
	return s, nil
}

// Serve accepts connections until ctx ends or accept fails, and returns when
// nothing of it runs any more. It calls ready once, when the default model is
// loaded or known to be unusable; model is its name or "". Serve may be called
// once.
func (s *Service) Serve(ctx context.Context, accept func(context.Context) (connection, error), ready func(model string) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var running sync.WaitGroup
	defer running.Wait()
	failed := make(chan error, 1)
	running.Go(func() { s.compute(ctx) })
	running.Go(func() {
		select {
		case <-s.loaded:
			if err := ready(s.engine.loadedName()); err != nil {
				failed <- fmt.Errorf("tell that splinfer is ready: %w", err)
				cancel()
			}
		case <-ctx.Done():
		}
	})
	for {
		conn, err := accept(ctx)
		if err != nil {
			cancel()
			select {
			case err := <-failed:
				return err
			default:
			}
			if errors.Is(err, context.Canceled) {
				return nil
			}
			return fmt.Errorf("accept a connection: %w", err)
		}
		running.Go(func() { s.serveClient(ctx, conn) })
	}
}

// compute is the one goroutine that calls llama.cpp to compute. It keeps its
// thread, since ggml's worker threads belong to the thread that made them.
func (s *Service) compute(ctx context.Context) {
	runtime.LockOSThread()
	defer close(s.stopped)
	defer s.engine.unload()
	s.progress.begin(s.o.Now(), 0)
	_, err := s.engine.use("")
	s.setUsable(err)
	close(s.loaded)
	for {
		s.progress.wait()
		j := s.queue.pop(ctx)
		s.progress.work(s.o.Now())
		if j == nil {
			return
		}
		done, err := s.engine.generate(j.ctx, j.request, func(t rmp.Token) { j.tokens <- t })
		if j.request.Model == "" {
			s.judge(done, err)
		}
		j.ended <- outcome{done, err}
		s.logRequest(j.id, done, err)
	}
}

// judge learns from how a request of the default model ended whether that can be
// used. One that failed for another reason, or was cancelled before it began, says nothing.
func (s *Service) judge(done rmp.Done, err error) {
	var failure *Failure
	switch {
	case errors.As(err, &failure) && (failure.Code == rmp.CodeModelInvalid || failure.Code == rmp.CodeModelUnknown):
		s.setUsable(err)
	case err == nil && done.PromptTokens > 0:
		s.setUsable(nil)
	}
}

// setUsable tells when it has changed whether the default model can be used; cause
// is why not, or nil.
func (s *Service) setUsable(cause error) {
	if (cause == nil) == (s.unusable == nil) {
		return
	}
	s.unusable = cause
	if cause != nil {
		s.o.Log.Error("default model can't be used", "reason", cause.Error(), "hint", hint.Of(cause))
	}
	s.o.Usable(s.engine.loadedName(), cause)
}

// logRequest writes one record per answer: numbers and codes, never words.
func (s *Service) logRequest(id string, done rmp.Done, err error) {
	if err != nil {
		s.o.Log.Warn("request refused", "request", id, "code", report(err).Code)
		return
	}
	s.o.Log.Info("request answered", "request", id, "reason", done.Reason,
		"prompt_tokens", done.PromptTokens, "tokens", done.Tokens,
		"prefill_per_second", perSecond(done.PromptTokens, done.PrefillMs),
		"decode_per_second", perSecond(done.Tokens, done.DecodeMs))
}

func perSecond(tokens uint32, ms float64) int {
	if ms <= 0 {
		return 0
	}
	return int(float64(tokens) * 1000 / ms)
}

func (s *Service) models() rmp.Models {
	list := rmp.Models{Models: s.engine.folder.list(s.engine.loadedName())}
	if name, err := s.engine.folder.defaultName(s.o.Model); err == nil {
		list.Default = name
	}
	return list
}
