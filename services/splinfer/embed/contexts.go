package embed

import "runa/services/splinfer/llama"

// llama.cpp's flash attention is two to three times faster than the usual one from
// tile tokens on, and up to five times slower below. A text of flashFrom tokens or
// more is quickest if it is filled up to a tile; a shorter one takes the usual attention.
const (
	tile      = 64
	flashFrom = 48
)

// lanes is how many numbers llama.cpp's fastest code adds up at once (AVX-512). The usual
// attention takes slower code for tokens that are no multiple of it, so that worthFilling
// tokens over one or more are quicker filled up.
const (
	lanes        = 16
	worthFilling = 13
)

// filled is how many tokens are computed for a text of n, of which the rest have no part in
// its vector. It depends on n alone, see the package comment.
func filled(n int) int {
	switch {
	case n >= flashFrom:
		return max(n, tile)
	case n%lanes >= worthFilling:
		return n - n%lanes + lanes
	}
	return n
}

// contexts are those for texts below flashFrom tokens and from there on; long is nil
// if no text can be so long.
type contexts struct {
	short, long *llama.Context
	fill        bool
}

// newContexts makes them with room for a text and what fills it up. Without fill, for
// models that read one token after another, texts are computed as they are.
func newContexts(model *llama.Model, o Options, fill bool) (contexts, error) {
	c := contexts{fill: fill}
	options := llama.ContextOptions{
		Size: min(o.Batch, flashFrom), Batch: min(o.Batch, flashFrom), Sequences: 2,
		Threads: o.Threads, Embeddings: true, FlashAttention: llama.FlashOff,
	}
	var err error
	if c.short, err = model.NewContext(options); err != nil || c.short.Size() < flashFrom {
		return c, err
	}
	options.Size, options.Batch, options.FlashAttention = o.Batch, o.Batch, llama.FlashAuto
	if c.long, err = model.NewContext(options); err != nil {
		c.short.Close()
		return contexts{}, err
	}
	return c, nil
}

func (c *contexts) close() {
	c.short.Close()
	if c.long != nil {
		c.long.Close()
	}
}

// limit is the length in tokens of the longest text.
func (c *contexts) limit() int {
	if c.long != nil {
		return c.long.Size()
	}
	return c.short.Size()
}

// choose says where a text of n tokens is computed, and how many tokens that takes.
func (c *contexts) choose(n int) (*llama.Context, int) {
	context := c.short
	if n >= flashFrom && c.long != nil {
		context = c.long
	}
	if size := filled(n); c.fill && size <= context.Batch() {
		return context, size
	}
	return context, n
}
