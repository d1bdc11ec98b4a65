package splinfer

import (
	"fmt"

	"runa/services/splinfer/journal"
	"runa/services/splinfer/llama"
)

// segment is a part of a conversation that the model reads in one of two ways:
// what was drawn token by token, everything else many tokens at once. llama.cpp
// computes the two by other code, so a conversation that is read again gives the same
// words only if each part is read as it was the first time.
type segment struct {
	tokens []llama.Token
	drawn  bool
}

// history is a conversation's tokens in their order.
type history struct {
	segments []segment
	length   int // tokens of all segments
}

// read appends what is read at once: a segment of its own, because a piece of a
// single token is computed otherwise than one of more.
func (h *history) read(tokens []llama.Token) {
	if len(tokens) > 0 {
		h.segments = append(h.segments, segment{tokens: tokens})
		h.length += len(tokens)
	}
}

// draw appends a token that was drawn.
func (h *history) draw(t llama.Token) {
	if n := len(h.segments); n == 0 || !h.segments[n-1].drawn {
		h.segments = append(h.segments, segment{drawn: true})
	}
	last := &h.segments[len(h.segments)-1]
	last.tokens = append(last.tokens, t)
	h.length++
}

// keep forgets all but the first n tokens.
func (h *history) keep(n int) {
	h.length = min(h.length, n)
	for i := range h.segments {
		s := &h.segments[i]
		if n <= len(s.tokens) {
			s.tokens = s.tokens[:n:n]
			h.segments = h.segments[:i+1]
			if n == 0 {
				h.segments = h.segments[:i]
			}
			return
		}
		n -= len(s.tokens)
	}
}

// replace puts another token in the place of one.
func (h *history) replace(index int, t llama.Token) {
	if s, at := h.at(index); s != nil {
		s.tokens[at] = t
	}
}

// at is the segment that holds a token and where in it; nil behind the end.
func (h *history) at(index int) (*segment, int) {
	for i := range h.segments {
		if s := &h.segments[i]; index < len(s.tokens) {
			return s, index
		}
		index -= len(h.segments[i].tokens)
	}
	return nil, 0
}

// next is what may be read in one go after the first have tokens: at most most of
// a segment that is read at once, or one token of one that was drawn.
func (h *history) next(have, most int) (tokens []llama.Token) {
	s, at := h.at(have)
	switch {
	case s == nil:
		return nil
	case s.drawn:
		return s.tokens[at : at+1]
	}
	for piece := range llama.Pieces(s.tokens[at:], most) {
		return piece
	}
	return nil
}

// shared is how many of the given tokens the history begins with.
func (h *history) shared(tokens []llama.Token) int {
	n := 0
	for _, s := range h.segments {
		for _, t := range s.tokens {
			if n == len(tokens) || tokens[n] != t {
				return n
			}
			n++
		}
	}
	return n
}

// alike is how many tokens it begins with that any history with the same ones
// would have read in the same way: not drawn, and not alone.
func (h *history) alike() int {
	n := 0
	for _, s := range h.segments {
		if s.drawn || len(s.tokens) == 1 {
			break
		}
		n += len(s.tokens)
	}
	return n
}

// resumable is how many of the first have tokens, which are in memory, can stay
// there: at least one has to be read for the model to say what comes next, and
// none of those read at once may be left alone.
func (h *history) resumable(have int) int {
	have = min(have, h.length)
	if have == h.length {
		have--
	}
	if have <= 0 {
		return 0
	}
	if s, at := h.at(have); !s.drawn && at == len(s.tokens)-1 && at > 0 {
		have--
	}
	return have
}

// begun is what a journal says of the answer that was begun last.
type begun struct {
	journal.Begin
	drawn      []journal.Drawn // its tokens
	at         int             // the conversation's tokens before it
	unfinished bool
}

// recall reads a conversation from its journal.
func recall(c *journal.Conversation) (h history, last begun, err error) {
	err = c.Replay(func(r journal.Record) error {
		switch r := r.(type) {
		case journal.Begin:
			last = begun{Begin: r, unfinished: true}
		case journal.Prompt:
			h.read(r.Tokens)
			last.at, last.drawn = h.length, nil
		case journal.Run:
			for _, t := range r.Tokens {
				h.draw(t.ID)
			}
			last.drawn = append(last.drawn, r.Tokens...)
		case journal.Whisper:
			h.read(r.Tokens)
		case journal.Mask:
			h.replace(r.Index, r.ID)
		case journal.Keep:
			h.keep(r.Tokens)
			last.drawn = nil
		case journal.End:
			last.unfinished = false
		default:
			return fmt.Errorf("a record of type %T is unknown", r)
		}
		return nil
	})
	return h, last, err
}
