package supervise

import (
	"context"
	"errors"
	"fmt"
	"time"

	"runa/init/contain"
	"runa/init/lifecycle"
	"runa/init/manifest"
)

// Everything in this file runs in Run's goroutine.

// feed gives a service an event, does what follows and notes the change.
func (s *Supervisor) feed(one *service, event lifecycle.Event) {
	before := one.state
	next, actions := one.rules.Step(before, event)
	one.state = next
	if next.Process == lifecycle.Absent {
		one.pid = 0
	}
	if next.Phase != before.Phase {
		one.since = s.options.System.Now()
		one.nextStart = time.Time{}
	}
	if next.Phase != lifecycle.Starting {
		one.cancelBus()
	}
	if next.Phase != before.Phase || next.Reason != before.Reason {
		s.tell(one)
	}
	for _, action := range actions {
		s.act(one, action)
	}
	s.followStory(one, before)
}

func (s *Supervisor) act(one *service, action lifecycle.Action) {
	switch a := action.(type) {
	case lifecycle.Spawn:
		s.spawn(one)
	case lifecycle.Signal:
		s.options.System.Signal(one.Name, one.Stop.Signal)
	case lifecycle.Kill:
		s.options.System.Kill(one.Name)
	case lifecycle.Arm:
		s.arm(one, a)
	case lifecycle.Disarm:
		if cancel, armed := one.timers[a.Timer]; armed {
			cancel()
			delete(one.timers, a.Timer)
		}
	case lifecycle.Failure:
		s.failure(one, a)
	case lifecycle.RestartDependents:
		s.restartDependents(one)
	default:
		s.ask(one, action)
	}
}

// arm starts a timer. One that fires while it is being cancelled has lost its
// place in the map and is not heard.
func (s *Supervisor) arm(one *service, a lifecycle.Arm) {
	if cancel, armed := one.timers[a.Timer]; armed {
		cancel()
	}
	cancelled := false
	stop := s.options.System.After(a.After, func() {
		s.post(func() {
			if cancelled {
				return
			}
			delete(one.timers, a.Timer)
			s.feed(one, lifecycle.Event{Kind: a.Timer.Elapsed()})
		})
	})
	one.timers[a.Timer] = func() { cancelled = true; stop() }
	if a.Timer == lifecycle.BackoffTimer {
		one.nextStart = s.options.System.Now().Add(a.After)
	}
}

// spawn has a process made. Reports of an earlier process that come late are
// not heard.
func (s *Supervisor) spawn(one *service) {
	one.life++
	one.clearing = false
	life := one.life
	report := func(r Report) {
		s.post(func() {
			if life == one.life {
				s.report(one, r)
			}
		})
	}
	if err := s.prepareBus(one); err != nil {
		contain.Go("report that a service has no bus", func() {
			report(Report{Event: lifecycle.Event{Kind: lifecycle.SpawnFailed, Reason: "not started: " + err.Error()}})
		})
		return
	}
	s.options.System.Spawn(one.Service, report)
}

func (s *Supervisor) report(one *service, r Report) {
	switch r.Kind {
	case lifecycle.Complaint:
		s.complained(one, r.About, r.Reason)
		return
	case lifecycle.Spawned:
		one.pid = r.PID
		if one.Ready.By == manifest.ByBus {
			s.waitForBus(one)
		}
	}
	one.leftover = r.Kind == lifecycle.Unkillable
	s.feed(one, r.Event)
}

var errNoBus = errors.New("it gets ready by the bus, and there is no bus")

// prepareBus removes what an earlier life left, so that whatever appears on the
// key is news of this one.
func (s *Supervisor) prepareBus(one *service) error {
	if one.Ready.By != manifest.ByBus {
		return nil
	}
	if s.options.WaitBusKey == nil || s.options.ForgetBusKey == nil {
		return errNoBus
	}
	if err := s.options.ForgetBusKey(BusKey(one.Name)); err != nil {
		return fmt.Errorf("forget that it was ready: %w", err)
	}
	return nil
}

func (s *Supervisor) waitForBus(one *service) {
	ctx, cancel := context.WithCancel(s.context)
	one.cancelBus = cancel
	life := one.life
	contain.Go("wait for a service on the bus", func() {
		err := s.options.WaitBusKey(ctx, BusKey(one.Name))
		s.post(func() {
			switch {
			case life != one.life || ctx.Err() != nil:
			case err != nil:
				s.options.Log.Warn("cannot see on the bus whether a service is ready", "service", one.Name, "reason", err)
			default:
				s.feed(one, lifecycle.Event{Kind: lifecycle.BecameReady})
			}
		})
	})
}

// failure counts a failure and remembers it for who asks why.
func (s *Supervisor) failure(one *service, f lifecycle.Failure) {
	s.faults[f.Class]++
	one.story.fail(s.options.System.Now(), f)
	failures := one.state.Failures
	s.later(func() {
		s.options.Log.Warn("a failure of a service", "service", one.Name, "class", string(f.Class), "reason", f.Reason, "failures", failures)
	})
}

// restartDependents clears the way for a service that keeps failing: what needs
// it ends first, and starts again when it is ready.
func (s *Supervisor) restartDependents(one *service) {
	one.clearing = true
	for _, other := range s.dependents(one) {
		s.feed(other, lifecycle.Event{Kind: lifecycle.RestartRequested, Reason: one.Name + ", which it needs, keeps failing"})
	}
}

// dependents are the services that need one and have a process.
func (s *Supervisor) dependents(one *service) []*service {
	var all []*service
	for _, other := range s.order {
		for _, need := range other.Needs {
			if need == one.Name && other.state.Process != lifecycle.Absent {
				all = append(all, other)
			}
		}
	}
	return all
}

// tell notes a change; it is told when the step is over.
func (s *Supervisor) tell(one *service) {
	change := Change{
		Time: s.options.System.Now(), Service: one.Name, State: one.state.Phase.String(),
		Reason: one.state.Reason, Class: string(one.state.Class), Rung: string(one.state.Rung),
		PID: one.pid, Restarts: one.state.Restarts, Version: one.version,
	}
	one.story.add(change)
	s.later(func() { s.announceChange(change) })
}

// later has something logged or told when the step is over, so that a service's
// next life does not wait for it.
func (s *Supervisor) later(f func()) { s.untold = append(s.untold, f) }

func (s *Supervisor) tellAll() {
	for _, f := range s.untold {
		f()
	}
	clear(s.untold)
	s.untold = s.untold[:0]
}

// announceChange hands a change to the log and to all who listen.
func (s *Supervisor) announceChange(change Change) {
	words := []any{"service", change.Service, "reason", change.Reason, "pid", change.PID, "restarts", change.Restarts}
	for _, extra := range [...][2]string{{"class", change.Class}, {"rung", change.Rung}, {"version", change.Version}} {
		if extra[1] != "" {
			words = append(words, extra[0], extra[1])
		}
	}
	s.options.Log.Info("service "+change.State, words...)
	s.changes.publish(change)
}
