package hook

import (
	"context"
	"io"
	"sync"
	"testing"
	"time"

	"runa/services/rmp/rmptest"
)

// secret stands in tokens, and must stand in no error and no rule.
const secret = "blackberries"

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// scripted is a hook, and its only session, that does what a test says.
type scripted struct {
	begin Verdict
	err   error
	judge func(Token) (Verdict, bool)
	later chan Verdict

	mu     sync.Mutex
	answer Answer
	seen   []Token
	ended  []string
}

func (s *scripted) Begin(a Answer) (Session, Verdict, error) {
	s.answer = a
	return s, s.begin, s.err
}

func (s *scripted) Judge(t Token) (Verdict, bool) {
	s.mu.Lock()
	s.seen = append(s.seen, t)
	s.mu.Unlock()
	if s.judge == nil {
		return Verdict{}, true
	}
	return s.judge(t)
}

func (s *scripted) Later() <-chan Verdict { return s.later }

func (s *scripted) End(reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = append(s.ended, reason)
}

func (s *scripted) endings() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.ended)
}

// always is a judge that says the same of every token.
func always(v Verdict) func(Token) (Verdict, bool) {
	return func(Token) (Verdict, bool) { return v, true }
}

func undecided(Token) (Verdict, bool) { return Verdict{}, false }

// dialling gives one connection after another.
func dialling(wires ...*rmptest.Wire) func(context.Context) (Conn, error) {
	return func(context.Context) (Conn, error) {
		if len(wires) == 0 {
			return nil, io.ErrNoProgress
		}
		next := wires[0]
		wires = wires[1:]
		return next, nil
	}
}

// begun is a session whose prompt got the verdict want.
func begun(t testing.TB, h Hook, a Answer, want Action) Session {
	t.Helper()
	s, v, err := h.Begin(a)
	if err != nil {
		t.Fatal(err)
	}
	if v.Action == Hold {
		v = later(t, s)
	}
	if v.Action != want {
		t.Fatalf("the prompt got %v (%s), want %v", v.Action, v.Rule, want)
	}
	return s
}

// judged is the verdict on a token, however it comes.
func judged(t testing.TB, s Session, token Token) Verdict {
	t.Helper()
	v, decided := s.Judge(token)
	if decided && v.Action != Hold {
		return v
	}
	return later(t, s)
}

func later(t testing.TB, s Session) Verdict {
	t.Helper()
	v, ok := <-s.Later()
	if !ok {
		t.Fatalf("the hook is gone: %v", Cause(s))
	}
	return v
}

// gone waits until a session's hook is gone and returns why.
func gone(t testing.TB, s Session) error {
	t.Helper()
	if v, ok := <-s.Later(); ok {
		t.Fatalf("got %+v from a hook that is gone", v)
	}
	return Cause(s)
}

func fixedTime() time.Time { return time.UnixMilli(1) }
