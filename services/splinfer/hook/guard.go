package hook

import (
	"errors"
	"fmt"
	"path"
	"runtime"
	"strings"
	"sync"
)

// guarded keeps the faults of a hook to its answer: a panic, a verdict that can't
// be meant and a token left open with no way to decide it later are a Stop.
type guarded struct{ hook Hook }

func (g guarded) Begin(a Answer) (s Session, v Verdict, err error) {
	defer func() {
		if recover() != nil {
			s, v, err = nil, Verdict{}, fmt.Errorf("begin answer: %w: it panicked at %s", ErrGone, panicPlace())
		}
	}()
	inner, v, err := g.hook.Begin(a)
	if err != nil {
		return nil, Verdict{}, err
	}
	if inner == nil {
		return nil, Verdict{}, fmt.Errorf("begin answer: %w: it gave no session", ErrGone)
	}
	session := &guardedSession{inner: inner, later: inner.Later()}
	if v.Action == Mask { // there is no token yet
		return session, stop(RuleInvalid), nil
	}
	v, _ = session.answered(v, true)
	return session, v, nil
}

type guardedSession struct {
	inner  Session
	later  <-chan Verdict
	broken bool // it panicked: nothing it says counts any more
	end    sync.Once
}

func (g *guardedSession) Judge(t Token) (v Verdict, decided bool) {
	if g.broken {
		return stop(RulePanic), true
	}
	defer func() {
		if recover() != nil {
			g.broken = true
			v, decided = stop(panicRule()), true
		}
	}()
	return g.answered(g.inner.Judge(t))
}

func (g *guardedSession) answered(v Verdict, decided bool) (Verdict, bool) {
	if (!decided || v.Action == Hold) && g.later == nil {
		return stop(RuleNoLater), true
	}
	if !decided {
		return Verdict{}, false
	}
	return v.sound(), true
}

func (g *guardedSession) Later() <-chan Verdict { return g.later }

func (g *guardedSession) End(reason string) {
	g.end.Do(func() {
		defer func() { _ = recover() }() // the answer is over, nothing depends on it
		g.inner.End(reason)
	})
}

func (g *guardedSession) Cause() (err error) {
	defer func() {
		if recover() != nil {
			err = ErrGone
		}
	}()
	return Cause(g.inner)
}

// Cause says why the Later of a session was closed before its End. The error
// wraps ErrGone and has no words of an answer in it.
func Cause(s Session) error {
	if known, ok := s.(interface{ Cause() error }); ok {
		if err := known.Cause(); err != nil {
			return err
		}
	}
	return ErrGone
}

// panicRule names the place of a panic and nothing of its value, which may hold words.
func panicRule() string {
	if rule := RulePanic + ":" + panicPlace(); checkRule(rule) == nil {
		return rule
	}
	return RulePanic
}

// panicPlace is the file and line that panicked, for a function deferred by the
// one that the panic came through.
func panicPlace() string {
	var callers [32]uintptr
	frames := runtime.CallersFrames(callers[:runtime.Callers(2, callers[:])])
	panicking := false
	for {
		frame, more := frames.Next()
		switch {
		case frame.Function == "runtime.gopanic":
			panicking = true
		case panicking && !strings.HasPrefix(frame.Function, "runtime."):
			return fmt.Sprintf("%s:%d", path.Base(frame.File), frame.Line)
		}
		if !more {
			return "unknown"
		}
	}
}

// root is the innermost error, a sentinel: what is wrapped around it may quote
// what was received.
func root(err error) error {
	for {
		switch wrapped := err.(type) {
		case interface{ Unwrap() []error }:
			if all := wrapped.Unwrap(); len(all) > 0 {
				err = all[0]
				continue
			}
			return err
		default:
			inner := errors.Unwrap(err)
			if inner == nil {
				return err
			}
			err = inner
		}
	}
}
