package llama

import "fmt"

// threadpool is a set of ggml's worker threads; without one ggml starts and ends
// threads for every single token.
type threadpool struct {
	library *Library
	handle  uintptr
	size    int
}

// newThreadpool starts threads.
func (l *Library) newThreadpool(threads int) threadpool {
	if l.poolNew == nil {
		return threadpool{}
	}
	var params threadpoolParams
	l.c.poolParams(&params, int32(threads))
	// ggml's threads would spin for tenths of a second after each token, on
	// processors that the bus, samplers and clients need. Waking them costs 5 % of the
	// words of a model of 15 million weights, nothing of one of a billion.
	params.poll = 0
	return threadpool{library: l, handle: l.poolNew(&params), size: threads}
}

func (t *threadpool) free() {
	if t.handle != 0 {
		t.library.poolEnd(t.handle)
	}
	*t = threadpool{}
}

// attachThreads gives the context as many threads as its options say, beside the one
// that calls.
//
// llama.cpp's backend keeps the pool it computed with last until the next computation,
// and pauses it then: so none is freed before the context is. They only get
// larger, so there are few.
func (c *Context) attachThreads() {
	l := c.model.library
	need := max(c.options.Threads, c.options.ThreadsBatch)
	if need < 2 {
		c.detachThreads()
		return
	}
	if len(c.pools) == 0 || c.pools[len(c.pools)-1].size < need {
		pool := l.newThreadpool(need)
		if pool.handle == 0 {
			return
		}
		c.pools = append(c.pools, pool)
	}
	l.c.attachPool(c.handle, c.pools[len(c.pools)-1].handle, 0)
}

func (c *Context) detachThreads() {
	if len(c.pools) > 0 {
		c.model.library.c.detachPool(c.handle)
	}
}

// freeThreads ends all threads; the context must be gone.
func (c *Context) freeThreads() {
	for i := range c.pools {
		c.pools[i].free()
	}
	c.pools = nil
}

// SetThreads changes how many threads compute one token and many tokens, from
// the next Decode on. What is computed does not depend on it.
func (c *Context) SetThreads(threads, batch int) error {
	if err := checkThreads(threads, batch); err != nil {
		return fmt.Errorf("set threads: %w", err)
	}
	c.options.Threads, c.options.ThreadsBatch = threads, batch
	c.model.library.c.setThreads(c.handle, int32(threads), int32(batch))
	c.attachThreads()
	return nil
}

// Threads are the numbers of threads that compute one token and many.
func (c *Context) Threads() (threads, batch int) {
	return c.options.Threads, c.options.ThreadsBatch
}
