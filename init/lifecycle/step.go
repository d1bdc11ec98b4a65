package lifecycle

import "fmt"

// Step is the transition function: what a service becomes after an event, and
// what has to be done. It is total: an event that means nothing in a state
// leaves it as it is.
func (r Rules) Step(s State, e Event) (State, []Action) {
	if !possible(s.Process, e.Kind) {
		return s, nil
	}
	switch s.Phase {
	case Defined, Failed, Done:
		return r.atRest(s, e)
	case Waiting:
		return r.waiting(s, e)
	case Starting:
		return r.starting(s, e)
	case Ready:
		return r.ready(s, e)
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
	case Exited, Unkillable:
		return p == Running
	}
	return true
}

func (r Rules) atRest(s State, e Event) (State, []Action) {
	switch e.Kind {
	case StartRequested, RestartRequested:
		return afresh("started on request"), nil
	case StopRequested:
		return State{Phase: Defined, Restarts: s.Restarts, Reason: "stopped on request"}, nil
	}
	return s, nil
}

// afresh is a start that a person (or boot) asked for: old failures are forgotten.
func afresh(reason string) State { return State{Phase: Waiting, Reason: reason} }

func (r Rules) waiting(s State, e Event) (State, []Action) {
	switch e.Kind {
	case NeedsReady:
		s.Phase, s.Process = Starting, Spawning
		if s.Blocked {
			s.Blocked, s.Reason = false, "what it waited for is there"
		}
		return s, []Action{Spawn{}}
	case NeedLost:
		s.Blocked, s.Reason = true, e.Reason
	case StopRequested:
		return State{Phase: Defined, Restarts: s.Restarts, Reason: "stopped on request"}, nil
	}
	return s, nil
}

func (r Rules) starting(s State, e Event) (State, []Action) {
	switch e.Kind {
	case Spawned:
		s.Process = Running
		switch {
		case r.ReadyAtOnce && !r.Oneshot:
			return r.becomeReady(s)
		case r.ReadyTimeout > 0:
			return s, []Action{Arm{ReadyTimer, r.ReadyTimeout}}
		}
	case SpawnFailed:
		s.Process = Absent
		return r.failed(s, e.Reason)
	case BecameReady:
		if s.Process == Running && !r.Oneshot {
			return r.becomeReady(s)
		}
	case ReadyTimeout:
		return r.stop(s, Retry, fmt.Sprintf("not ready after %v", r.ReadyTimeout))
	case StopRequested:
		return r.stop(s, Rest, "stopped on request")
	case RestartRequested:
		return r.stop(s, Again, "restarted on request")
	case Exited:
		s.Process = Absent
		if r.Oneshot && e.OK {
			s.Phase, s.Reason = Done, e.Reason
			return s, []Action{Disarm{ReadyTimer}}
		}
		reason := e.Reason
		if !r.Oneshot {
			reason += ", before it was ready"
		}
		return r.failed(s, reason, Disarm{ReadyTimer})
	case Unkillable:
		return r.unkillable(s, e.Reason, Disarm{ReadyTimer})
	}
	return s, nil
}

func (r Rules) becomeReady(s State) (State, []Action) {
	s.Phase, s.Reason = Ready, ""
	return s, []Action{Disarm{ReadyTimer}, Arm{StableTimer, r.Stable}}
}

func (r Rules) ready(s State, e Event) (State, []Action) {
	switch e.Kind {
	case NeedLost:
		s.Reason = e.Reason
	case NeedsReady:
		s.Reason = ""
	case StableElapsed:
		s.Failures = 0
	case StopRequested:
		return r.stop(s, Rest, "stopped on request")
	case RestartRequested:
		return r.stop(s, Again, "restarted on request")
	case Exited:
		s.Process = Absent
		if e.OK && r.Policy != Always {
			s.Phase, s.Reason = Done, e.Reason
			return s, []Action{Disarm{StableTimer}}
		}
		return r.failed(s, e.Reason, Disarm{StableTimer})
	case Unkillable:
		return r.unkillable(s, e.Reason, Disarm{StableTimer})
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
	case StartRequested, RestartRequested:
		s.Next = Again
	case Exited, SpawnFailed:
		return r.stopped(s, e)
	case Unkillable:
		return r.unkillable(s, e.Reason, Disarm{StopTimer})
	}
	return s, nil
}

// stopped is the end of a service that was asked to end.
func (r Rules) stopped(s State, e Event) (State, []Action) {
	disarm := Disarm{StopTimer}
	s.Process = Absent
	switch s.Next {
	case Again:
		return afresh("restarted on request"), []Action{disarm}
	case Retry:
		s.Next = Rest
		return r.failed(s, s.Reason, disarm)
	}
	return State{Phase: Defined, Restarts: s.Restarts, Reason: s.Reason}, []Action{disarm}
}

func (r Rules) backoff(s State, e Event) (State, []Action) {
	switch e.Kind {
	case BackoffElapsed:
		s.Phase = Waiting
		s.Restarts++
	case StartRequested, RestartRequested:
		return afresh("started on request"), []Action{Disarm{BackoffTimer}}
	case StopRequested:
		return State{Phase: Defined, Restarts: s.Restarts, Reason: "stopped on request"}, []Action{Disarm{BackoffTimer}}
	}
	return s, nil
}

// stop asks the process to end; a process still being made is asked when it is there.
func (r Rules) stop(s State, next Next, reason string) (State, []Action) {
	actions := []Action{Disarm{ReadyTimer}, Disarm{StableTimer}}
	if s.Process == Running {
		actions = append(actions, Signal{}, Arm{StopTimer, r.StopTimeout})
	}
	s.Phase, s.Next, s.Reason = Stopping, next, reason
	return s, actions
}

// failed decides what follows a failure: nothing, a start at once, or a wait.
func (r Rules) failed(s State, reason string, actions ...Action) (State, []Action) {
	s.Reason = reason
	if r.Policy == Never {
		s.Phase = Failed
		return s, actions
	}
	s.Failures++
	delay := r.Delay(s.Failures)
	if delay == 0 {
		s.Phase = Waiting
		s.Restarts++
		return s, actions
	}
	s.Phase = Backoff
	return s, append(actions, Arm{BackoffTimer, delay})
}

// unkillable gives up: what is left of the service may still hold its data.
func (r Rules) unkillable(s State, reason string, actions ...Action) (State, []Action) {
	return State{Phase: Failed, Failures: s.Failures, Restarts: s.Restarts, Reason: reason}, actions
}
