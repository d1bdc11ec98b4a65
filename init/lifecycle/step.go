package lifecycle

import (
	"cmp"
	"fmt"
)

// Step is the transition function: what a service becomes after an event, and
// what has to be done. It is total: an event that means nothing in a state
// leaves it as it is.
func (r Rules) Step(s State, e Event) (State, []Action) {
	if !possible(s.Process, e.Kind) {
		return s, nil
	}
	switch e.Kind {
	case PolicyAnswered, SetAsideDone, GiveBackDone, RollBackDone:
		return r.answered(s, e)
	}
	switch s.Phase {
	case Defined, Failed, Done:
		return r.atRest(s, e)
	case Waiting:
		return r.waiting(s, e)
	case Starting:
		return r.starting(s, e)
	case Ready, Degraded:
		return r.serving(s, e)
	case Stopping:
		return r.stopping(s, e)
	default:
		return r.backoff(s, e)
	}
}

// possible refuses news of a process that contradict what is known of it, so
// that no report, late or doubled, can lead to two processes.
func possible(p Process, k Kind) bool {
	switch k {
	case Spawned, SpawnFailed:
		return p == Spawning
	case Exited, Unkillable, Defect, BecameReady, BecameDegraded, Recovered:
		return p == Running
	}
	return true
}

func (r Rules) atRest(s State, e Event) (State, []Action) {
	switch e.Kind {
	case StartRequested, RestartRequested:
		return afresh(s, "started on request"), nil
	case UpdateRequested:
		s.Probation = true
		if s.Phase == Failed {
			return afresh(s, updated(e)), nil
		}
	case CycleElapsed:
		if s.Phase == Done || s.Phase == Failed && !s.Stuck {
			return afresh(s, "its cycle began again"), nil
		}
	case StopRequested:
		return rest(s, "stopped on request"), r.uncycle()
	}
	return s, nil
}

func updated(e Event) string { return cmp.Or(e.Reason, "updated") }

// afresh is a start that is not because of a failure: old failures are
// forgotten. What is true of the service's state and version stays true.
func afresh(s State, reason string) State {
	return State{Phase: Waiting, Reason: reason, Work: pending(s.Work), Aside: s.Aside, UntilReady: s.UntilReady, Probation: s.Probation}
}

// rest is a service that shall not run.
func rest(s State, reason string) State {
	fresh := afresh(s, reason)
	fresh.Phase, fresh.Restarts = Defined, s.Restarts
	return fresh
}

// pending is the work whose end must be waited for though nobody wants its
// result: all but the answer to a question.
func pending(w Work) Work {
	if w == AskingPolicy {
		return Idle
	}
	return w
}

func (r Rules) waiting(s State, e Event) (State, []Action) {
	switch e.Kind {
	case NeedsReady:
		if s.Work != Idle {
			return s, nil
		}
		s.Phase, s.Process = Starting, Spawning
		if s.Blocked {
			s.Blocked, s.Reason = false, "what it waited for is there"
		}
		actions := []Action{Spawn{}}
		if r.Oneshot && r.Cycle > 0 {
			actions = append(actions, Arm{CycleTimer, r.Cycle})
		}
		return s, actions
	case NeedLost:
		s.Blocked, s.Reason = true, e.Reason
	case ProbationFound, UpdateRequested:
		s.Probation = true
	case StopRequested:
		return rest(s, "stopped on request"), r.uncycle()
	}
	return s, nil
}

func (r Rules) starting(s State, e Event) (State, []Action) {
	switch e.Kind {
	case Spawned:
		return r.spawned(s)
	case SpawnFailed:
		return r.ended(s, e, ClassNotStarted, e.Reason)
	case BecameReady:
		return r.saidReady(s)
	case BecameDegraded:
		s.Shortfall = e.Reason
	case Recovered:
		s.Shortfall = ""
	case ProbePassed, ProbeFailed, ProbeVoid, ProbeDue:
		return r.probed(s, e)
	case ReadyTimeout:
		return r.fail(s, ClassSlowStart, fmt.Sprintf("not ready after %v", r.ReadyTimeout), false)
	case Exited:
		if r.Oneshot && e.OK {
			return r.done(s, e.Reason)
		}
		reason := e.Reason
		if !r.Oneshot {
			reason += ", before it was ready"
		}
		return r.ended(s, e, ClassExit, reason)
	case CycleElapsed:
		s.Due = true
	default:
		return r.alive(s, e)
	}
	return s, nil
}

func (r Rules) spawned(s State) (State, []Action) {
	s.Process = Running
	var actions []Action
	if r.ReadyTimeout > 0 {
		actions = []Action{Arm{ReadyTimer, r.ReadyTimeout}}
	}
	switch {
	case !r.ReadyAtOnce || r.Oneshot:
	case r.Probe:
		s.Probing = true
		actions = append(actions, Probe{})
	default:
		return r.becomeReady(s)
	}
	return s, actions
}

// saidReady believes a service that has no probe.
func (r Rules) saidReady(s State) (State, []Action) {
	switch {
	case r.Oneshot || s.SaidReady:
		return s, nil
	case !r.Probe:
		return r.becomeReady(s)
	}
	s.SaidReady, s.Probing = true, true
	return s, []Action{Probe{}}
}

func (r Rules) becomeReady(s State) (State, []Action) {
	s.Phase, s.Reason = Ready, s.Shortfall
	if s.Shortfall != "" {
		s.Phase = Degraded
	}
	s.SaidReady, s.Probing, s.Doubts = false, false, 0
	actions := []Action{Disarm{ReadyTimer}, Arm{StableTimer, r.Stable}}
	if r.Probe {
		actions = append(actions, Arm{ProbeTimer, r.ProbeEvery})
	}
	if s.Probation {
		actions = append(actions, Arm{ProbationTimer, r.Probation})
	}
	if s.Aside && s.UntilReady {
		actions = append(actions, Keep{})
		s = forgotten(s)
		s.Aside, s.UntilReady = false, false
	}
	return s, actions
}

func (r Rules) serving(s State, e Event) (State, []Action) {
	switch e.Kind {
	case NeedLost:
		s.Reason, s.Doubts = e.Reason, 0
	case NeedsReady:
		s.Reason, s.Doubts = s.Shortfall, 0
	case BecameDegraded:
		s.Phase, s.Shortfall, s.Reason = Degraded, e.Reason, e.Reason
	case Recovered:
		s.Phase, s.Shortfall, s.Reason = Ready, "", ""
	case ProbePassed, ProbeFailed, ProbeVoid, ProbeDue, Complaint:
		return r.probed(s, e)
	case StableElapsed:
		return r.stable(s)
	case ProbationElapsed:
		if s.Probation {
			s.Probation = false
			return s, []Action{Commit{}}
		}
	case SnapshotDue:
		if r.Snapshot > 0 {
			return s, r.snapshot(s)
		}
	case Exited:
		if e.OK && r.Policy != Always {
			return r.done(s, e.Reason)
		}
		return r.ended(s, e, ClassExit, e.Reason)
	default:
		return r.alive(s, e)
	}
	return s, nil
}

// stable forgets the failures; a state that is still aside was the cause.
func (r Rules) stable(s State) (State, []Action) {
	var actions []Action
	if s.Aside {
		actions = append(actions, Keep{})
	}
	s = forgotten(s)
	s.Aside, s.UntilReady, s.AsideUsed = false, false, false
	if r.Snapshot > 0 {
		actions = append(actions, r.snapshot(s)...)
	}
	return s, actions
}

// snapshot copies the state of a service that is well; one that is not waits
// for the next time.
func (r Rules) snapshot(s State) []Action {
	again := Arm{SnapshotTimer, r.Snapshot}
	if s.Phase != Ready || s.Doubts > 0 {
		return []Action{again}
	}
	return []Action{Snapshot{}, again}
}

// alive is what means the same for a service that starts and one that serves.
func (r Rules) alive(s State, e Event) (State, []Action) {
	switch e.Kind {
	case Defect:
		return r.fail(s, e.Class, e.Reason, true)
	case StopRequested:
		s, actions := r.stop(s, Rest, "stopped on request")
		return s, append(actions, r.uncycle()...)
	case RestartRequested:
		return r.stop(s, Again, cmp.Or(e.Reason, "restarted on request"))
	case UpdateRequested:
		s.Probation = true
		return r.stop(s, Again, updated(e))
	case Unkillable:
		return r.unkillable(s, e.Reason)
	}
	return s, nil
}

func (r Rules) stopping(s State, e Event) (State, []Action) {
	switch e.Kind {
	case Spawned: // the stop came while the process was being made
		s.Process = Running
		return s, []Action{Signal{}, Arm{StopTimer, r.StopTimeout}}
	case StopTimeout:
		s.Reason = fmt.Sprintf("%s; killed: it did not end within %v", s.Reason, r.StopTimeout)
		return s, []Action{Kill{}}
	case StopRequested:
		s.Next = Rest
		return s, r.uncycle()
	case StartRequested, RestartRequested:
		s.Next = Again
	case UpdateRequested:
		s.Probation = true
		if s.Next == Retry {
			s.Next = Again
		}
	case CycleElapsed:
		s.Due = true
	case Exited, SpawnFailed:
		return r.stopped(s)
	case Unkillable:
		return r.unkillable(s, e.Reason)
	}
	return s, nil
}

// stopped is the end of a service that was asked to end.
func (r Rules) stopped(s State) (State, []Action) {
	disarm := []Action{Disarm{StopTimer}}
	s.Process = Absent
	switch s.Next {
	case Again:
		return afresh(s, s.Reason), disarm
	case Retry:
		s.Next = Rest
		return r.climb(s, disarm)
	}
	return rest(s, s.Reason), disarm
}

// done is a good end. A version whose program ended well has passed.
func (r Rules) done(s State, reason string) (State, []Action) {
	actions := r.disarm()
	if s.Probation {
		actions = append(actions, Commit{})
	}
	if s.Aside {
		actions = append(actions, Keep{})
	}
	phase := Done
	if s.Due {
		phase, reason = Waiting, "its cycle began again"
	}
	return State{Phase: phase, Reason: reason, Restarts: s.Restarts}, actions
}

// stop asks the process to end; a process still being made is asked when it is there.
func (r Rules) stop(s State, next Next, reason string) (State, []Action) {
	actions := r.disarm()
	if s.Process == Running {
		actions = append(actions, Signal{}, Arm{StopTimer, r.StopTimeout})
	}
	return leave(s, Stopping, next, reason), actions
}

// leave forgets what is only true while the process starts or serves.
func leave(s State, phase Phase, next Next, reason string) State {
	s.Phase, s.Next, s.Reason = phase, next, reason
	s.Shortfall, s.SaidReady, s.Probing, s.Accused, s.Doubts = "", false, false, false, 0
	return s
}

// disarm stops the timers of a life.
func (r Rules) disarm() []Action {
	actions := []Action{Disarm{ReadyTimer}, Disarm{StableTimer}}
	for _, of := range []struct {
		used  bool
		timer Timer
	}{{r.Probe, ProbeTimer}, {r.Probation > 0, ProbationTimer}, {r.Snapshot > 0, SnapshotTimer}} {
		if of.used {
			actions = append(actions, Disarm{of.timer})
		}
	}
	return actions
}

// uncycle forgets the next cycle of what shall not run.
func (r Rules) uncycle() []Action {
	if r.Cycle == 0 {
		return nil
	}
	return []Action{Disarm{CycleTimer}}
}

// unkillable gives up: what is left of the service may still hold its data.
func (r Rules) unkillable(s State, reason string) (State, []Action) {
	failed := leave(s, Failed, Rest, reason)
	failed.Process, failed.Stuck = Absent, true
	return failed, append(r.disarm(), Disarm{StopTimer})
}
