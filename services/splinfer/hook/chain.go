package hook

import (
	"sync"

	"runa/services/rmp"
)

// Chain returns the hook that asks all of hooks about everything and does what
// the strictest of them wants; of several equal ones the first counts, except
// that biases add up. A panic in one of them is a Stop. A chain of one
// is that one, a chain of none is Empty.
func Chain(hooks ...Hook) Hook {
	var members chain
	for _, h := range hooks {
		switch h := h.(type) {
		case empty:
		case chain:
			members = append(members, h...)
		case guarded:
			members = append(members, h)
		default:
			members = append(members, guarded{h})
		}
	}
	switch len(members) {
	case 0:
		return Empty()
	case 1:
		return members[0]
	}
	return members
}

type chain []guarded

func (c chain) Begin(a Answer) (Session, Verdict, error) {
	s := &chainSession{ended: make(chan struct{})}
	var r round
	for _, h := range c {
		member, v, err := h.Begin(a)
		if err != nil {
			s.End(rmp.ReasonHook)
			return nil, Verdict{}, err
		}
		s.members = append(s.members, member)
		if member.Later() != nil && s.later == nil {
			s.later = make(chan Verdict, 1)
		}
		r.add(member, v, true)
	}
	r.prompt = true
	v, _ := s.settle(&r)
	return s, v, nil
}

// chainSession is one answer in front of several sessions.
type chainSession struct {
	members []Session
	later   chan Verdict // nil if no member needs it
	ended   chan struct{}
	end     sync.Once
	stopped bool // a member said Stop, others may not have answered

	mu     sync.Mutex
	open   bool  // a verdict is to come over later
	closed bool  // later is closed
	cause  error // why, if not by End
}

func (s *chainSession) Judge(t Token) (Verdict, bool) {
	if s.stopped || s.tooEarly() {
		return stop(RuleOrder), true
	}
	var r round
	for _, member := range s.members {
		v, decided := member.Judge(t)
		r.add(member, v, decided)
	}
	return s.settle(&r)
}

func (s *chainSession) tooEarly() bool {
	if s.later == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open || len(s.later) > 0 && !s.closed
}

// round is what the members say of one token, or of the prompt.
type round struct {
	prompt  bool
	decided Verdict // the strictest, Hold aside
	hold    Verdict // of those who hold
	held    bool
	open    []Session // whose verdict comes later
}

func (r *round) add(member Session, v Verdict, decided bool) {
	switch {
	case decided && v.Action != Hold:
		r.decided = stricter(r.decided, v)
		return
	case decided && !r.held:
		r.held, r.hold = true, v
	}
	r.open = append(r.open, member)
}

// settle is what can be said of the round now; if that is not all, goroutines wait for the rest.
func (s *chainSession) settle(r *round) (Verdict, bool) {
	if r.decided.Action == Stop || len(r.open) == 0 {
		s.stopped = r.decided.Action == Stop
		return r.decided, true
	}
	s.mu.Lock()
	s.open = true
	s.mu.Unlock()
	g := &gathering{session: s, prompt: r.prompt, left: len(r.open), worst: r.decided}
	for _, member := range r.open {
		go g.wait(member)
	}
	return r.hold, r.held
}

// gathering waits for the verdicts that a round left open. Its fields are guarded by the session's mu.
type gathering struct {
	session *chainSession
	prompt  bool
	left    int
	worst   Verdict
	over    bool
}

func (g *gathering) wait(member Session) {
	s := g.session
	select {
	case v, ok := <-member.Later():
		var cause error
		if !ok {
			cause = Cause(member)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if !ok {
			s.gone(cause)
			return
		}
		g.take(v.final(g.prompt))
	case <-s.ended:
	}
}

// take adds a verdict; a Stop need not wait for the others.
func (g *gathering) take(v Verdict) {
	g.left--
	g.worst = stricter(g.worst, v)
	if g.over || g.left > 0 && g.worst.Action != Stop {
		return
	}
	g.over = true
	if s := g.session; !s.closed {
		s.open = false
		s.later <- g.worst // there is room: one verdict is open at a time, and Judge looks that it was taken
	}
}

// gone closes later; the caller holds mu.
func (s *chainSession) gone(cause error) {
	if s.later == nil || s.closed {
		return
	}
	s.closed, s.cause = true, cause
	close(s.later)
}

func (s *chainSession) Later() <-chan Verdict { return s.later }

func (s *chainSession) Cause() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cause
}

func (s *chainSession) End(reason string) {
	s.end.Do(func() {
		close(s.ended)
		s.mu.Lock()
		s.gone(nil)
		s.mu.Unlock()
		for _, member := range s.members {
			member.End(reason)
		}
	})
}
