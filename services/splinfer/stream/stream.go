// Package stream turns the bytes of an answer's tokens into text that may be
// shown. It owns two promises: a character is never cut, though a token may end
// in the middle of one, and no part of a stop string is ever shown, though one
// may lie across many tokens. What comes out in total does not depend on where
// the bytes are cut. It must never look at tokens, and it knows nothing of who reads.
package stream

import (
	"fmt"
	"unicode/utf8"
)

// Bounds of what a request may ask for, see Check.
const (
	MaxStops     = 32
	MaxStopBytes = 256 // of one
)

// Check refuses stop strings that are not worth having or too much: each must
// be UTF-8 text of 1 to MaxStopBytes bytes, and there are at most MaxStops.
func Check(stops []string) error {
	if len(stops) > MaxStops {
		return fmt.Errorf("stop: %d strings are given, at most %d can be", len(stops), MaxStops)
	}
	for i, stop := range stops {
		switch {
		case stop == "" || len(stop) > MaxStopBytes:
			return fmt.Errorf("stop: number %d has %d bytes, want 1 to %d", i+1, len(stop), MaxStopBytes)
		case !utf8.ValidString(stop):
			return fmt.Errorf("stop: number %d is not text in UTF-8", i+1)
		}
	}
	return nil
}

// A Stream is the text of one answer while it is written. It belongs to one
// goroutine at a time.
//
// The answer stops with the first byte that makes any stop string whole; of
// several that end there the longest counts. What stands before it is shown,
// and nothing after. Bytes that can't be part of a character are shown as
// U+FFFD, one for each byte.
type Stream struct {
	stops   []matcher
	held    []byte // not shown yet: may begin a stop string, or end within a character
	shown   []byte // what Push is about to return, kept for its memory
	stopped bool
}

// New returns a stream that ends at any of stops; empty ones are left out.
func New(stops []string) *Stream {
	s := &Stream{}
	for _, stop := range stops {
		if stop != "" {
			s.stops = append(s.stops, newMatcher(stop))
		}
	}
	return s
}

// Push adds a token's bytes and returns the text that can be shown now, often
// none or that of earlier tokens. stopped tells that a stop string is there: the
// answer is over, and every further Push returns nothing.
func (s *Stream) Push(piece []byte) (text string, stopped bool) {
	if s.stopped {
		return "", true
	}
	for i, b := range piece {
		if longest := s.step(b); longest > 0 {
			s.held = append(s.held, piece[:i+1]...)
			s.stopped = true
			return s.show(max(0, len(s.held)-longest)), true
		}
	}
	s.held = append(s.held, piece...)
	end := len(s.held) - s.begun()
	return s.show(end - incomplete(s.held[:end])), false
}

// Flush returns what is held when the answer ends by itself: the beginning of a
// stop string that did not come is text, and half a character is U+FFFD. After
// a stop there is nothing.
func (s *Stream) Flush() string {
	if s.stopped {
		return ""
	}
	for i := range s.stops {
		s.stops[i].matched = 0
	}
	return s.show(len(s.held))
}

// Held is how many bytes wait to be shown.
func (s *Stream) Held() int {
	if s.stopped {
		return 0
	}
	return len(s.held)
}

// show takes the first n held bytes out and returns them as text.
func (s *Stream) show(n int) string {
	s.shown = s.shown[:0]
	for rest := s.held[:n]; len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		s.shown = utf8.AppendRune(s.shown, r)
		rest = rest[size:]
	}
	s.held = append(s.held[:0], s.held[n:]...)
	return string(s.shown)
}

// step moves every matcher on by a byte, and returns the length of the longest
// stop string that it makes whole, 0 if none.
func (s *Stream) step(b byte) (longest int) {
	for i := range s.stops {
		m := &s.stops[i]
		m.step(b)
		if m.matched == len(m.stop) {
			longest = max(longest, len(m.stop))
		}
	}
	return longest
}

// begun is how many bytes at the end may be the beginning of a stop string.
func (s *Stream) begun() (most int) {
	for i := range s.stops {
		most = max(most, s.stops[i].matched)
	}
	return most
}

// incomplete is the number of bytes at the end that begin a character which
// needs more bytes.
func incomplete(text []byte) int {
	for back := 1; back <= min(utf8.UTFMax-1, len(text)); back++ {
		if tail := text[len(text)-back:]; utf8.RuneStart(tail[0]) {
			if utf8.FullRune(tail) {
				return 0
			}
			return back
		}
	}
	return 0
}
