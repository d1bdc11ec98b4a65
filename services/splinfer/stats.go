package splinfer

import (
	"sync"
	"time"

	"runa/services/rmp"
)

// window is over how long speeds are told.
const window = 10

// stats are counts that others may read.
type stats struct {
	mu        sync.Mutex
	answering int
	tokens    uint64
	seconds   [window]second
	kept      rmp.Stats // what the computing goroutine tells now and then
}

// second is what was done in one second since 1970.
type second struct {
	at          int64
	read, wrote int
}

func (s *stats) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answering++
}

func (s *stats) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answering--
}

func (s *stats) now(now time.Time) *second {
	at := now.Unix()
	one := &s.seconds[at%window]
	if one.at != at {
		*one = second{at: at}
	}
	return one
}

// read counts tokens of prompts.
func (s *stats) read(now time.Time, tokens int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now(now).read += tokens
}

// wrote counts a token of an answer.
func (s *stats) wrote(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens++
	s.now(now).wrote++
}

// tell keeps what only the computing goroutine knows.
func (s *stats) tell(kept rmp.Stats) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept = kept
}

// report is what is known now. Speeds are over the seconds in which anything was
// done, so that a short answer is not shown as a slow one.
func (s *stats) report(now time.Time) rmp.Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.kept
	r.Answering, r.Tokens = uint32(s.answering), s.tokens
	read, wrote, reading, writing := 0, 0, 0, 0
	for _, one := range s.seconds {
		if now.Unix()-one.at >= window {
			continue
		}
		if one.read > 0 {
			read, reading = read+one.read, reading+1
		}
		if one.wrote > 0 {
			wrote, writing = wrote+one.wrote, writing+1
		}
	}
	r.PrefillPerSecond, r.TokensPerSecond = float64(read)/float64(max(reading, 1)), float64(wrote)/float64(max(writing, 1))
	return r
}

// tellStats lets others know what the engine holds.
func (e *engine) tellStats() {
	kept := rmp.Stats{Model: e.loadedName(), SavedBytes: uint64(e.shelf.used), Threads: uint32(e.threads)}
	if l := e.current; l != nil {
		kept.Seats, kept.KVTokens = uint32(len(l.seats)), uint64(l.context.Used())
		kept.KVSize = uint64(l.context.Size() * len(l.seats))
	}
	e.stats.tell(kept)
}
