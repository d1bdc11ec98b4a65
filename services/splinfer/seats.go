package splinfer

import (
	"cmp"
	"slices"
)

// seat is one of the sequences of the context: a place in memory for the tokens
// of a conversation, also while nobody is answered there.
type seat struct {
	number int
	turn   *turn  // the answer that is being written; nil: none
	talk   *talk  // whose tokens they are; nil: of a request that belongs to no conversation
	alike  int    // tokens it begins with that others would read in the same way, see history.alike
	used   uint64 // when it was used last
}

func newSeats(n int) []*seat {
	seats := make([]*seat, n)
	for i := range seats {
		seats[i] = &seat{number: i}
	}
	return seats
}

// minShared is from how many tokens on it pays to copy them from another seat.
const minShared = 16

// answering are the turns in the order of their seats.
func (e *engine) answering() (turns []*turn) {
	if e.current == nil {
		return nil
	}
	for _, s := range e.current.seats {
		if s.turn != nil {
			turns = append(turns, s.turn)
		}
	}
	return turns
}

// free says whether a job may sit down. Jobs in the background leave a seat for
// a person where there are two.
func (e *engine) free(j *job) bool {
	idle, background := 0, 0
	for _, s := range e.current.seats {
		if s.turn == nil {
			idle++
		} else if s.turn.job.background() {
			background++
		}
	}
	if j.background() && len(e.current.seats) > 1 {
		return idle > 1 || idle == 1 && background == 0
	}
	return idle > 0
}

// place finds a seat for a history and brings as much of it into memory there as
// is known: its own seat, a saved state, or the tokens it shares with others. It
// returns the seat and how many tokens need not be read. There must be a free one.
func (e *engine) place(h *history, c *talk) (*seat, int) {
	e.clock++
	if c != nil && c.seat != nil {
		s := c.seat
		s.used = e.clock
		if e.matches(c, s) {
			return s, e.rewind(h, s)
		}
		s.talk, c.seat = nil, nil
	}
	s, have := e.choose(h, c)
	s.used = e.clock
	if c != nil {
		s.talk, c.seat = c, s
		if have == 0 {
			have = e.recalled(c, s)
		}
	}
	if have == 0 {
		have = e.share(h, s)
	}
	s.alike = min(h.alike(), have)
	return s, e.rewind(h, s)
}

// choose takes an idle seat: of a request like this one, whose tokens stay, or an
// empty one, or the one that was not used for longest, whose tokens go.
func (e *engine) choose(h *history, c *talk) (*seat, int) {
	var idle []*seat
	for _, s := range e.current.seats {
		if s.turn == nil && (s.talk == nil || s.talk.turn == nil) {
			idle = append(idle, s)
		}
	}
	if c == nil && !e.current.model.Recurrent() {
		best, shared := (*seat)(nil), minShared-1
		for _, s := range idle {
			if s.talk != nil {
				continue
			}
			tokens := e.current.context.Tokens(s.number)
			n := min(h.shared(tokens), s.alike, h.alike())
			// More than half of it is thrown away: another may want it.
			if n > shared && n >= len(tokens)/2 {
				best, shared = s, n
			}
		}
		if best != nil && e.current.context.Remove(best.number, shared) == nil {
			return best, shared
		}
	}
	s := slices.MinFunc(idle, func(a, b *seat) int {
		return cmp.Or(cmp.Compare(e.weight(a), e.weight(b)), cmp.Compare(a.used, b.used), cmp.Compare(a.number, b.number))
	})
	e.evict(s)
	return s, 0
}

// weight is 0 for an empty seat, 1 for any other.
func (e *engine) weight(s *seat) int { return min(e.current.context.Length(s.number), 1) }

// share copies what another seat has of the history's beginning.
func (e *engine) share(h *history, to *seat) int {
	if e.current.model.Recurrent() {
		return 0
	}
	from, most := (*seat)(nil), minShared-1
	for _, s := range e.current.seats {
		if n := min(h.shared(e.current.context.Tokens(s.number)), s.alike, h.alike()); s != to && n > most {
			from, most = s, n
		}
	}
	if from == nil {
		return 0
	}
	if err := e.current.context.Copy(from.number, to.number, most); err != nil {
		e.o.Log.Warn("tokens can't be shared", "reason", err.Error())
		return 0
	}
	return most
}

// rewind takes away what has to be read again, see history.resumable.
func (e *engine) rewind(h *history, s *seat) int {
	have := e.current.context.Length(s.number)
	keep := h.resumable(have)
	if keep < have && e.current.context.Remove(s.number, keep) != nil {
		keep = 0 // a recurrent state can only be forgotten whole
		_ = e.current.context.Remove(s.number, 0)
	}
	s.alike = min(s.alike, keep)
	return keep
}

// evict empties an idle seat. What a conversation has there is kept in memory, or
// on the disk if it is not there already.
func (e *engine) evict(s *seat) {
	if c := s.talk; c != nil {
		length := e.current.context.Length(s.number)
		if length > 0 && (e.shelf.budget > 0 || length > c.saved) {
			if state := e.state(s); state != nil {
				e.shelf.put(c.id, state)
				if length > c.saved {
					e.write(s, state)
				}
			}
		}
		s.talk, c.seat = nil, nil
	}
	_ = e.current.context.Remove(s.number, 0)
	s.alike = 0
}

// closeUp moves the last answer into a gap before it: llama.cpp reads the weights
// once for each run of neighbouring sequences.
func (e *engine) closeUp() {
	turns := e.answering()
	if len(turns) < 2 || turns[len(turns)-1].seat.number-turns[0].seat.number == len(turns)-1 {
		return
	}
	from := turns[len(turns)-1].seat
	var gap *seat
	for _, s := range e.current.seats[turns[0].seat.number:from.number] {
		if s.turn == nil {
			gap = s
			break
		}
	}
	e.evict(gap)
	if err := e.current.context.Copy(from.number, gap.number, e.current.context.Length(from.number)); err != nil {
		e.o.Log.Warn("an answer can't change its seat", "reason", err.Error())
		return
	}
	gap.turn, gap.talk, gap.alike, gap.used = from.turn, from.talk, from.alike, from.used
	gap.turn.seat = gap
	if gap.talk != nil {
		gap.talk.seat = gap
	}
	from.turn, from.talk, from.alike = nil, nil, 0
	_ = e.current.context.Remove(from.number, 0)
}
