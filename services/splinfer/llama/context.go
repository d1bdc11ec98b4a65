package llama

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"unsafe"

	"runa/services/hint"
)

var (
	// ErrAborted says that Abort was called during Decode.
	ErrAborted = errors.New("aborted")
	// ErrContextFull says that the tokens no longer fit the context.
	ErrContextFull = errors.New("the context is full")
	// ErrNoWayBack says that a model with a recurrent state can't forget only some of
	// a sequence's tokens.
	ErrNoWayBack = errors.New("the model keeps one state, not its past")
)

// Context holds the memory of up to [ContextOptions.Sequences] conversations,
// each a sequence of tokens with a number from 0, and the logits of the last Decode.
type Context struct {
	model    *Model
	options  ContextOptions
	handle   uintptr
	memory   uintptr      // 0 for a model that only embeds
	pools    []threadpool // the last one computes
	size     int          // tokens of one sequence
	tokens   [][]Token    // of each sequence, as they are in memory
	used     int          // tokens of all sequences
	arrays   batchArrays
	single   Batch // for Decode
	rows     []row // of the last batch's entries
	order    []int32
	last     int // the last entry of rows that has logits, or -1
	adapters []AdapterScale
	exact    bool

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
	c := &Context{model: m, options: o, size: o.Size, tokens: make([][]Token, o.Sequences), last: -1, abort: new([16]uint32)}
	c.pinner.Pin(c.abort)
	params := o.params(l.c.ctxDefault())
	params.abortCallback = l.strlen
	params.abortCallbackData = uintptr(unsafe.Pointer(c.abort))
	var reason string
	restore := collectErrors(&reason)
	c.handle = l.c.ctxNew(m.handle, params)
	restore()
	if c.handle == 0 {
		c.pinner.Unpin()
		err := fmt.Errorf("new context of %d tokens: llama.cpp refused: %s", o.cells(), reason)
		return nil, hint.New(err, "use a smaller --ctx-size or a smaller model")
	}
	c.memory = l.c.getMemory(c.handle)
	c.size = min(o.Size, int(l.c.ctxSize(c.handle)))
	c.exact = o.Apart && params.flashAttnType == 0
	c.arrays.grow(o.Batch)
	if err := c.checkPurpose(); err != nil {
		c.Close()
		return nil, fmt.Errorf("new context: %w", err)
	}
	c.attachThreads()
	return c, nil
}

// checkPurpose refuses to generate with a model that only embeds, and to embed
// with one that makes no vector for a whole text.
func (c *Context) checkPurpose() error {
	if !c.options.Embeddings {
		if c.memory == 0 {
			return errors.New("the model keeps no memory of its tokens, so it can't generate text")
		}
		return nil
	}
	if p := c.model.library.c.poolingType(c.handle); p == poolingNone || p == poolingRank {
		err := errors.New("the model says no way to make one embedding of a text")
		return hint.New(err, "use a model made for embeddings, or choose a pooling")
	}
	return nil
}

// Close frees the context and its threads.
func (c *Context) Close() {
	if c.handle == 0 {
		return
	}
	c.detachThreads()
	c.model.library.c.ctxFree(c.handle)
	c.freeThreads()
	c.handle = 0
	c.pinner.Unpin()
}

// Size is the number of tokens one sequence can have.
func (c *Context) Size() int { return c.size }

// Sequences is the number of conversations the context holds.
func (c *Context) Sequences() int { return len(c.tokens) }

// Used is the number of tokens of all sequences together. What sequences share
// after [Context.Copy] counts for each.
func (c *Context) Used() int { return c.used }

// Batch is the most tokens one Decode takes.
func (c *Context) Batch() int { return c.options.Batch }

// Exact tells whether a sequence's logits are the same, bit for bit, whatever
// else is computed beside it; see [ContextOptions.Apart].
func (c *Context) Exact() bool { return c.exact }

// Clear forgets all tokens of all sequences.
func (c *Context) Clear() {
	if c.memory != 0 {
		c.model.library.c.memoryClear(c.memory, false)
	}
	clear(c.tokens)
	c.used, c.last = 0, -1
}

// Synchronize waits until the computation that Decode began is done.
func (c *Context) Synchronize() { c.model.library.c.synchronize(c.handle) }

// Logits are those of the last entry that wanted them in the last Decode, one
// per word of the vocabulary, in C's memory: valid until the next call. It is nil if
// nothing was decoded.
func (c *Context) Logits() []float32 { return c.LogitsAt(c.last) }

// LogitsAt are the logits of an entry of the last batch, by the index that
// [Batch.Add] returned; nil if it wanted none.
func (c *Context) LogitsAt(entry int) []float32 {
	if c.last < 0 || entry < 0 || entry >= len(c.rows) || c.rows[entry].inC < 0 || c.options.Embeddings {
		return nil
	}
	if kept := c.rows[entry].kept; len(kept) > 0 {
		return kept
	}
	first := c.model.library.c.logits(c.handle, c.rows[entry].inC)
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
