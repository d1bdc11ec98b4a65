package hook

import (
	"math"
	"time"

	"runa/services/rmp"
)

// asked is one answer that a judge on a line is asked about. All but the first
// four fields are guarded by the line's mu.
type asked struct {
	line   *line
	number uint64
	trace  [16]byte
	later  chan Verdict // holds one

	open   bool  // a verdict is to come
	index  int64 // on what
	held   bool  // the judge wants to think about it
	over   bool  // End was called
	closed bool  // later is closed
	fault  error // why the judge gave this answer up

	due   bool   // the judge has to say something in time
	asks  uint64 // how often that was so
	timer *time.Timer
}

// wait makes the verdict on index due; the caller holds mu.
func (a *asked) wait(index int64) {
	a.open, a.held, a.index = true, false, index
	a.expect()
}

// expect begins the judge's time; the caller holds mu.
func (a *asked) expect() {
	if a.timer != nil {
		a.timer.Stop()
	}
	a.due = true
	a.asks++
	n := a.asks
	a.timer = time.AfterFunc(a.line.o.Patience, func() { a.line.late(a, n) })
}

// close lets go of who waits at later; the caller holds mu.
func (a *asked) close() {
	a.due = false
	a.timer.Stop()
	if !a.closed {
		a.closed = true
		close(a.later)
	}
}

func (a *asked) Judge(t Token) (Verdict, bool) {
	l := a.line
	l.mu.Lock()
	defer l.mu.Unlock()
	if a.closed {
		return Verdict{}, false
	}
	if a.open || len(a.later) > 0 {
		return stop(RuleOrder), true
	}
	if t.Index < 0 || int64(t.Index) > math.MaxUint32 {
		return stop(RuleInvalid), true
	}
	m := rmp.HookToken{Answer: a.number, Index: uint32(t.Index), ID: t.ID, Piece: t.Piece, Text: t.Text, LogProb: t.LogProb}
	if err := l.enqueue(a.trace, rmp.SchemaHookToken, m); err != nil {
		return stop(RuleInvalid), true
	}
	a.wait(int64(t.Index))
	return Verdict{}, false
}

func (a *asked) Later() <-chan Verdict { return a.later }

func (a *asked) Cause() error {
	a.line.mu.Lock()
	defer a.line.mu.Unlock()
	if a.fault != nil {
		return a.fault
	}
	return a.line.fault
}

// End tells the judge, who confirms it: until then a verdict may still be on its way.
func (a *asked) End(reason string) {
	l := a.line
	l.mu.Lock()
	defer l.mu.Unlock()
	if a.over || a.closed {
		return
	}
	a.over = true
	a.close()
	if err := l.enqueue(a.trace, rmp.SchemaHookEnd, rmp.HookEnd{Answer: a.number, Reason: reason}); err != nil {
		return // a word has a MsgPack form
	}
	a.expect()
}
