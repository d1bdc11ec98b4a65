package supervise

import (
	"time"

	"runa/init/control"
	"runa/init/lifecycle"
)

// eventsKept is how many changes of a service are kept for its explanation.
const eventsKept = 20

// story is what a person is told of a service's past: its newest changes, and
// the newest row of failures with what was done about them.
type story struct {
	events []control.Event // oldest first

	failed  lifecycle.Failure // the newest failure
	at      time.Time         // of it; zero: none yet
	first   time.Time         // of its row
	row     int               // failures in the row
	steps   []step            // done about the row, in order
	settled bool              // the row is over
}

// step is one thing that was done, times times in a row.
type step struct {
	text  string
	times int
}

// stepsKept bounds the steps of a row that never ends.
const stepsKept = 12

func (y *story) add(c Change) {
	if len(y.events) == eventsKept {
		y.events = append(y.events[:0], y.events[1:]...)
	}
	y.events = append(y.events, control.Event{
		Time: c.Time, Service: c.Service, State: c.State, Reason: c.Reason, Class: c.Class, Rung: c.Rung,
		PID: c.PID, Restarts: c.Restarts, Version: c.Version,
	})
}

func (y *story) fail(now time.Time, f lifecycle.Failure) {
	if y.at.IsZero() || y.settled {
		y.first, y.row, y.steps, y.settled = now, 0, nil, false
	}
	y.failed, y.at = f, now
	y.row++
}

func (y *story) note(text string) {
	if last := len(y.steps) - 1; last >= 0 && y.steps[last].text == text {
		y.steps[last].times++
		return
	}
	if len(y.steps) == stepsKept {
		y.steps = append(y.steps[:0], y.steps[1:]...)
	}
	y.steps = append(y.steps, step{text, 1})
}

// followStory notes the rungs that are taken without work of their own.
func (s *Supervisor) followStory(one *service, before lifecycle.State) {
	now := one.state
	if before.Failures > 0 && now.Failures == 0 {
		one.story.settled = true
	}
	if now.Phase == before.Phase || before.Phase.Serves() && now.Phase == lifecycle.Stopping {
		return
	}
	fell := now.Failures > before.Failures || before.Work != lifecycle.Idle && now.Work == lifecycle.Idle
	switch {
	case now.Phase == lifecycle.Backoff && now.Work == lifecycle.Idle:
		one.story.note("it was given a pause before the next start")
	case now.Phase == lifecycle.Failed && now.Failures > 0:
		one.story.note("gilgul gave up")
	case now.Phase == lifecycle.Waiting && fell && now.Rung == lifecycle.RungRestart:
		one.story.note("it was started again at once")
	case now.Phase == lifecycle.Waiting && fell && now.Rung == lifecycle.RungDependents:
		one.story.note("what needs it was ended, then it was started again")
	}
}
