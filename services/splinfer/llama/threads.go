package llama

import "fmt"

// threadpool is a set of ggml's worker threads; without one ggml starts and ends
// threads for every single token.
type threadpool struct {
	library *Library
	handle  uintptr
	size    int
}

// newThreadpool starts threads; for fewer than two there is nothing to start.
func (l *Library) newThreadpool(threads int) threadpool {
	if threads < 2 || l.poolNew == nil {
		return threadpool{}
	}
	var params threadpoolParams
	l.c.poolParams(&params, int32(threads))
	return threadpool{library: l, handle: l.poolNew(&params), size: threads}
}

func (t *threadpool) free() {
	if t.handle != 0 {
		t.library.poolEnd(t.handle)
	}
	*t = threadpool{}
}

func (c *Context) attachThreads() {
	l := c.model.library
	c.pool = l.newThreadpool(max(c.options.Threads, c.options.ThreadsBatch))
	if c.pool.handle != 0 {
		l.c.attachPool(c.handle, c.pool.handle, 0)
	}
}

// detachThreads leaves the pool to be freed once nothing uses it.
func (c *Context) detachThreads() {
	if c.pool.handle != 0 {
		c.model.library.c.detachPool(c.handle)
	}
}

// SetThreads changes how many threads compute one token and many tokens, from
// the next Decode on. What is computed does not depend on it.
func (c *Context) SetThreads(threads, batch int) error {
	if err := checkThreads(threads, batch); err != nil {
		return fmt.Errorf("set threads: %w", err)
	}
	c.options.Threads, c.options.ThreadsBatch = threads, batch
	c.model.library.c.setThreads(c.handle, int32(threads), int32(batch))
	if max(threads, batch) > max(c.pool.size, 1) || threads == 1 && batch == 1 {
		c.detachThreads()
		c.pool.free()
		c.attachThreads()
	}
	return nil
}

// Threads are the numbers of threads that compute one token and many.
func (c *Context) Threads() (threads, batch int) {
	return c.options.Threads, c.options.ThreadsBatch
}
