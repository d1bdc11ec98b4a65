package supervise

import (
	"context"
	"errors"
	"fmt"
	"time"

	"runa/init/lifecycle"
	"runa/init/manifest"
)

// Everything in this file runs in Run's goroutine.

// feed gives a service an event, does what follows and tells about the change.
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
	life := one.life
	report := func(r Report) {
		s.post(func() {
			if life == one.life {
				s.report(one, r)
			}
		})
	}
	if err := s.prepareBus(one); err != nil {
		go report(Report{Event: lifecycle.Event{Kind: lifecycle.SpawnFailed, Reason: "not started: " + err.Error()}})
		return
	}
	s.options.System.Spawn(one.Service, report)
}

func (s *Supervisor) report(one *service, r Report) {
	one.leftover = r.Kind == lifecycle.Unkillable
	if r.Kind == lifecycle.Spawned {
		one.pid = r.PID
		if one.Ready.By == manifest.ByBus {
			s.waitForBus(one)
		}
	}
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
	go func() {
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
	}()
}

func (s *Supervisor) tell(one *service) {
	change := Change{
		Time: s.options.System.Now(), Service: one.Name, State: one.state.Phase.String(),
		Reason: one.state.Reason, PID: one.pid, Restarts: one.state.Restarts,
	}
	s.options.Log.Info("service "+change.State, "service", change.Service, "reason", change.Reason, "pid", change.PID, "restarts", change.Restarts)
	s.changes.publish(change)
}

// settle lets services follow what changed around them until nothing does.
func (s *Supervisor) settle() {
	for changed := true; changed; {
		changed = false
		for _, one := range s.order {
			before := one.state
			if s.shutting {
				s.settleDown(one)
			} else {
				s.settleUp(one)
			}
			changed = changed || one.state != before
		}
	}
	s.announce()
}

// settleUp starts what can start and says what waits for what.
func (s *Supervisor) settleUp(one *service) {
	switch one.state.Phase {
	case lifecycle.Waiting:
		if obstacle := s.obstacle(one); obstacle != "" {
			s.feed(one, lifecycle.Event{Kind: lifecycle.NeedLost, Reason: "waiting for " + obstacle})
			return
		}
		s.feed(one, lifecycle.Event{Kind: lifecycle.NeedsReady})
	case lifecycle.Ready:
		if lost := s.lost(one); lost != "" {
			s.feed(one, lifecycle.Event{Kind: lifecycle.NeedLost, Reason: lost + ", which it needs"})
		} else if one.state.Reason != "" {
			s.feed(one, lifecycle.Event{Kind: lifecycle.NeedsReady})
		}
	}
}

// lost tells which need of a service is not ready, as "splinter is backoff".
func (s *Supervisor) lost(one *service) string {
	for _, need := range one.Needs {
		if n := s.byName[need]; !n.rules.Serves(n.state) {
			return fmt.Sprintf("%s is %v", need, n.state.Phase)
		}
	}
	return ""
}

// obstacle tells what keeps a waiting service from starting.
func (s *Supervisor) obstacle(one *service) string {
	if one.Data && !s.data.known {
		return "/data"
	}
	if one.Data && s.data.err != nil {
		return "/data: " + s.data.err.Error()
	}
	for _, need := range one.Needs {
		if n := s.byName[need]; !n.rules.Serves(n.state) {
			return fmt.Sprintf("%s (%v)", need, n.state.Phase)
		}
	}
	for _, want := range one.Wants {
		if w, there := s.byName[want]; there && s.coming(w) {
			return fmt.Sprintf("%s (%v), which it wants first", want, w.state.Phase)
		}
	}
	return ""
}

// coming says whether a service is on its way to being ready, so that waiting
// for it makes sense. Needs and wants have no circles, so this ends.
func (s *Supervisor) coming(one *service) bool {
	switch one.state.Phase {
	case lifecycle.Starting:
		return true
	case lifecycle.Waiting:
		if one.Data && s.data.err != nil {
			return false
		}
		for _, need := range one.Needs {
			if n := s.byName[need]; !n.rules.Serves(n.state) && !s.coming(n) {
				return false
			}
		}
		return true
	}
	return false
}

// settleDown asks a service to end when nothing that depends on it runs.
func (s *Supervisor) settleDown(one *service) {
	if one.atRest() || one.state.Phase == lifecycle.Stopping && one.state.Next == lifecycle.Rest {
		return
	}
	for _, other := range s.order {
		if !other.atRest() && other.dependsOn(one.Name) {
			return
		}
	}
	s.feed(one, lifecycle.Event{Kind: lifecycle.StopRequested})
}

func (one *service) atRest() bool {
	switch one.state.Phase {
	case lifecycle.Defined, lifecycle.Failed, lifecycle.Done:
		return true
	}
	return false
}

func (one *service) dependsOn(name string) bool {
	for _, list := range [][]string{one.Needs, one.Wants} {
		for _, other := range list {
			if other == name {
				return true
			}
		}
	}
	return false
}

// announce closes the channels others wait on.
func (s *Supervisor) announce() {
	up, rest := true, s.shutting
	for _, one := range s.order {
		up = up && (one.state.Phase == lifecycle.Ready || one.state.Phase == lifecycle.Done)
		rest = rest && one.atRest()
	}
	if up {
		s.up.Do(func() { close(s.allUp) })
	}
	if rest {
		s.rest.Do(func() { close(s.atRest) })
	}
}
