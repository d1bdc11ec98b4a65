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

	"runa/services/rmp"
	"runa/services/splinfer/hook"
	"runa/services/splinfer/journal"
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
	Parallel     int    // conversations that are computed at once; fewer where memory is short
	Queue        int    // most requests that wait
	Defaults     Values // parameters of requests that don't name them

	// FlashAttention is faster, but an answer may then depend on what else is
	// computed. FlashAuto takes it where that is so anyway.
	FlashAttention llama.FlashAttention

	Hook          hook.Hook // judges every token before it is published
	HookName      string    // instead of Hook: the name on the bus of the service that judges
	Added         string    // folder of models that were added; empty: none can be
	Imports       string    // folder of files that may be added
	Personas      string    // folder of personas; empty: none
	Conversations string    // folder of conversations that are kept; empty: none is

	Log       hclog.Logger
	Now       func() time.Time
	Random    func() uint32          // seeds of requests that give none
	Available func() (uint64, error) // bytes of memory this process may still take

	// Pressure tells what the machine has too little of; nil: not looked at.
	Pressure func() Pressure

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
	orElse(&o.Parallel, 4)
	orElse(&o.Queue, 64)
	if o.Defaults == nil {
		o.Defaults = Defaults()
	}
	if o.Hook == nil {
		o.Hook = hook.Empty()
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
	actions  actions
	o        Options
	progress progress
	message  atomic.Uint64 // number of the last frame sent
	loaded   chan struct{} // closed when the default model is loaded or known bad
	stopped  chan struct{} // closed when the computing goroutine has ended
}

// New opens llama.cpp and checks it; it fails if that isn't the release this
// program was written for. Now, Random and Available must be set.
func New(o Options) (*Service, error) {
	o = o.complete()
	o.Hook = hook.Chain(o.Hook) // one that panics stops the answer and not the service
	library, err := llama.Open(o.Libraries, func(level int, line string) {
		o.Log.Debug("llama.cpp", "level", level, "line", line)
	})
	if err != nil {
		return nil, err
	}
	o.Log.Info("llama.cpp opened", "version", library.Version(), "system", library.SystemInfo())
	talks, err := openTalks(o.Conversations, journal.Options{Log: o.Log, Now: o.Now})
	if err != nil {
		return nil, err
	}
	models := folder{path: o.Models, added: o.Added, known: &headers{files: map[string]header{}}}
	s := &Service{
		queue: newQueue(o.Queue), o: o, loaded: make(chan struct{}), stopped: make(chan struct{}),
		actions: actions{library: library, folder: models, imports: o.Imports, threads: o.Threads},
	}
	s.engine = engine{
		o: o, library: library, folder: models, queue: s.queue, talks: talks, personas: loadPersonas(o),
		threads: o.Threads, progress: &s.progress, stopped: s.stopped,
		verdicts: make(chan verdict), forgets: make(chan forget, 1),
	}
	s.engine.shelf = newShelf(s.engine.shelfBudget())
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
	e := &s.engine
	defer e.stop()
	s.progress.begin(s.o.Now(), 0)
	name, err := e.folder.defaultName(s.o.Model)
	if err == nil {
		err = e.use(name, nil)
	}
	e.judge(err)
	close(s.loaded)
	e.run(ctx)
}

func (s *Service) models() rmp.Models {
	list := rmp.Models{Models: s.engine.folder.list(s.engine.loadedName())}
	if name, err := s.engine.folder.defaultName(s.o.Model); err == nil {
		list.Default = name
	}
	return list
}
