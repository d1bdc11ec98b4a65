package llama

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"unsafe"

	"runa/services/hint"
)

// ContextOptions sizes a Context. Zero Batch, MicroBatch and ThreadsBatch take
// llama.cpp's defaults (2048, 512, Threads).
type ContextOptions struct {
	Size         int // tokens that prompt and answer may have together
	Batch        int // most tokens of one Decode
	MicroBatch   int // most tokens computed at once
	Threads      int // for one token, at least 1
	ThreadsBatch int // for many tokens

	// BeyondTraining allows a Size over what the model was trained with, where
	// its words turn to nonsense; speed is measured so.
	BeyondTraining bool
}

var (
	// ErrAborted says that Abort was called during Decode.
	ErrAborted = errors.New("aborted")
	// ErrContextFull says that the tokens no longer fit the context.
	ErrContextFull = errors.New("the context is full")
)

// Context holds the state of one conversation at a time: the keys and values
// of its tokens, and the logits of the last one.
type Context struct {
	model  *Model
	handle uintptr
	memory uintptr
	pool   uintptr
	batch  int
	size   int
	used   int
	ready  bool // logits of a decoded token are there

	// abort is what libllama polls, see Abort; pinned while the handle lives.
	abort  *[16]uint32
	pinner runtime.Pinner
}

// NewContext allocates a context. Its size is cut to what the model was
// trained with, unless BeyondTraining is set. The calling goroutine must stay the only one to use it.
func (m *Model) NewContext(o ContextOptions) (*Context, error) {
	if err := o.complete(m); err != nil {
		return nil, fmt.Errorf("new context: %w", err)
	}
	l := m.library
	c := &Context{model: m, batch: o.Batch, size: o.Size, abort: new([16]uint32)}
	c.pinner.Pin(c.abort)
	params := l.c.ctxDefault()
	params.nCtx = uint32(o.Size)
	params.nBatch = uint32(o.Batch)
	params.nUbatch = uint32(o.MicroBatch)
	params.nThreads = int32(o.Threads)
	params.nThreadsBatch = int32(o.ThreadsBatch)
	params.nOutputsMax = 1
	params.abortCallback = l.strlen
	params.abortCallbackData = uintptr(unsafe.Pointer(c.abort))
	var reason string
	restore := collectErrors(&reason)
	c.handle = l.c.ctxNew(m.handle, params)
	restore()
	if c.handle == 0 {
		c.pinner.Unpin()
		err := fmt.Errorf("new context of %d tokens: llama.cpp refused: %s", o.Size, reason)
		return nil, hint.New(err, "use a smaller --ctx-size or a smaller model")
	}
	c.memory = l.c.getMemory(c.handle)
	if c.memory == 0 {
		c.Close()
		return nil, errors.New("new context: the model keeps no memory of its tokens, so it can't generate text")
	}
	c.size = min(o.Size, int(l.c.ctxSize(c.handle)))
	c.attachThreads(max(o.Threads, o.ThreadsBatch))
	return c, nil
}

func (o *ContextOptions) complete(m *Model) error {
	if train := m.ContextTrain(); train > 0 && !o.BeyondTraining {
		o.Size = min(o.Size, train)
	}
	if o.Batch == 0 {
		o.Batch = 2048
	}
	o.Batch = min(o.Batch, o.Size)
	if o.MicroBatch == 0 {
		o.MicroBatch = 512
	}
	o.MicroBatch = min(o.MicroBatch, o.Batch)
	if o.ThreadsBatch == 0 {
		o.ThreadsBatch = o.Threads
	}
	switch {
	case o.Size < 8:
		return fmt.Errorf("a size of %d tokens is below 8", o.Size)
	case o.Batch < 1 || o.MicroBatch < 1:
		return fmt.Errorf("batches of %d and %d tokens must be at least 1", o.Batch, o.MicroBatch)
	case o.Threads < 1 || o.Threads > maxThreads || o.ThreadsBatch < 1 || o.ThreadsBatch > maxThreads:
		return fmt.Errorf("%d and %d threads are not within 1 to %d", o.Threads, o.ThreadsBatch, maxThreads)
	}
	return nil
}

// attachThreads gives the context worker threads of its own; without them ggml
// starts and ends threads for every single token.
func (c *Context) attachThreads(threads int) {
	l := c.model.library
	if threads < 2 || l.poolNew == nil {
		return
	}
	var params threadpoolParams
	l.c.poolParams(&params, int32(threads))
	if c.pool = l.poolNew(&params); c.pool != 0 {
		l.c.attachPool(c.handle, c.pool, 0)
	}
}

// Close frees the context and its threads.
func (c *Context) Close() {
	if c.handle == 0 {
		return
	}
	l := c.model.library
	if c.pool != 0 {
		l.c.detachPool(c.handle)
	}
	l.c.ctxFree(c.handle)
	if c.pool != 0 {
		l.poolEnd(c.pool)
	}
	c.handle, c.pool = 0, 0
	c.pinner.Unpin()
}

// Size is the number of tokens the context can hold.
func (c *Context) Size() int { return c.size }

// Used is the number of tokens in the context.
func (c *Context) Used() int { return c.used }

// Batch is the most tokens one Decode takes.
func (c *Context) Batch() int { return c.batch }

// Clear forgets all tokens.
func (c *Context) Clear() {
	c.model.library.c.memoryClear(c.memory, false)
	c.used, c.ready = 0, false
}

// Decode appends tokens to the context and computes the logits of the last.
// It takes 1 to Batch tokens. After ErrAborted or any other error but
// ErrContextFull the context's content is undefined: call Clear.
func (c *Context) Decode(tokens []Token) error {
	if len(tokens) < 1 || len(tokens) > c.batch {
		return fmt.Errorf("decode %d tokens: a batch has 1 to %d", len(tokens), c.batch)
	}
	if c.used+len(tokens) > c.size {
		return fmt.Errorf("decode %d tokens after %d of %d: %w", len(tokens), c.used, c.size, ErrContextFull)
	}
	for _, t := range tokens {
		if !c.model.valid(t) {
			return fmt.Errorf("decode: token %d is not within the vocabulary of %d", t, c.model.words)
		}
	}
	c.ready = false
	result := c.model.library.c.decode(c.handle, batch{nTokens: int32(len(tokens)), token: &tokens[0]})
	runtime.KeepAlive(tokens)
	switch result {
	case 0:
		c.used += len(tokens)
		c.ready = true
		return nil
	case decodeFull:
		return fmt.Errorf("decode %d tokens after %d of %d: %w", len(tokens), c.used, c.size, ErrContextFull)
	case decodeAbort:
		return fmt.Errorf("decode %d tokens: %w", len(tokens), ErrAborted)
	}
	return fmt.Errorf("decode %d tokens after %d of %d: llama_decode answered %d", len(tokens), c.used, c.size, result)
}

// Synchronize waits until the computation that Decode began is done.
func (c *Context) Synchronize() { c.model.library.c.synchronize(c.handle) }

// Logits are those of the last decoded token, one per word of the vocabulary,
// in C's memory: valid until the next call. It is nil if nothing was decoded.
func (c *Context) Logits() []float32 {
	if !c.ready {
		return nil
	}
	first := c.model.library.c.logits(c.handle, -1)
	if first == nil {
		return nil
	}
	return unsafe.Slice(first, c.model.words)
}

// Abort makes a running Decode, and all that follow until Resume, return
// ErrAborted within one operation of the graph. It may be called from any
// goroutine while the context is open.
//
// libllama asks a C callback before each graph operation. A Go callback there
// would cost about as much as the small operations themselves, so the callback
// is libc's strlen: it reads the flag's bytes as a string, which is empty
// (false) while the flag is 0 and has one character (true) when it is 1.
func (c *Context) Abort() { atomic.StoreUint32(&c.abort[0], 1) }

// Resume takes Abort back.
func (c *Context) Resume() { atomic.StoreUint32(&c.abort[0], 0) }
