package lifecycle

import (
	"cmp"
	"time"
)

// longestWait bounds what a policy program may ask for.
const longestWait = 24 * time.Hour

// find notes a failure. One of a version on probation is the version's.
func (r Rules) find(s State, class Class, reason string) (State, Failure) {
	s.Early = s.Phase == Starting
	if s.Probation {
		class, reason = ClassBadUpdate, "its new version failed: "+reason
	}
	s.Class = class
	return s, Failure{class, reason}
}

// fail ends a process that lives and is not as it should be: at once if it is
// sick, on request if it is only late.
func (r Rules) fail(s State, class Class, reason string, kill bool) (State, []Action) {
	s, found := r.find(s, cmp.Or(class, ClassExit), reason)
	if !kill {
		s, actions := r.stop(s, Retry, found.Reason)
		return s, append([]Action{found}, actions...)
	}
	return leave(s, Stopping, Retry, found.Reason), append([]Action{Kill{}, found}, r.disarm()...)
}

// ended is the end of a process that nobody asked for, or of the attempt to
// make one.
func (r Rules) ended(s State, e Event, class Class, reason string) (State, []Action) {
	s, found := r.find(s, cmp.Or(e.Class, class), reason)
	s.Process = Absent
	return r.climb(leave(s, Backoff, Rest, found.Reason), append(r.disarm(), found))
}

// climb begins with what follows a failure, its process gone: a state that was
// set aside in vain is given back, the policy program is asked, then the ladder
// decides.
func (r Rules) climb(s State, actions []Action) (State, []Action) {
	s.Phase, s.Due = Backoff, false
	s.Failures++
	if r.Policy == Never && !s.Probation {
		return r.giveUp(s, actions)
	}
	if s.Aside {
		s.Work = GivingBack
		return s, append(actions, GiveBack{})
	}
	return r.consider(s, actions)
}

func (r Rules) consider(s State, actions []Action) (State, []Action) {
	if r.AskPolicy && !s.Probation {
		s.Work = AskingPolicy
		return s, append(actions, AskPolicy{})
	}
	return r.take(s, r.NextRung(s), actions)
}

// take does what a rung says.
func (r Rules) take(s State, rung Rung, actions []Action) (State, []Action) {
	s.Rung = cmp.Or(rung, RungBackoff)
	jumped := rung == RungRollBack && s.Probation || rung == RungSetAside && s.Class == ClassCorruptState
	if !jumped {
		s.Position = cmp.Or(rung, s.Position)
	}
	switch rung {
	case RungRestart:
		return again(s), actions
	case RungSetAside:
		s.Work, s.AsideUsed = SettingAside, true
		return s, append(actions, SetAside{})
	case RungDependents:
		return again(s), append(actions, RestartDependents{})
	case RungRollBack:
		s.Work = RollingBack
		return s, append(actions, RollBack{})
	case RungGiveUp:
		return r.giveUp(s, actions)
	}
	s.Tries++ // at the back-off, or at the end of a ladder without giving up
	return s, append(actions, Arm{BackoffTimer, r.Delay(s.Tries)})
}

// giveUp ends the tries, of what runs in a cycle until the next one.
func (r Rules) giveUp(s State, actions []Action) (State, []Action) {
	s.Phase = Failed
	if r.Oneshot && r.Cycle > 0 {
		actions = append(actions, Arm{CycleTimer, r.Cycle})
	}
	return s, actions
}

// again lets it start as soon as what it needs is there.
func again(s State) State {
	s.Phase = Waiting
	s.Restarts++
	return s
}

// answered takes the result of a work. A service that is no longer in back-off
// only remembers what became of its state and version.
func (r Rules) answered(s State, e Event) (State, []Action) {
	expected := map[Kind]Work{PolicyAnswered: AskingPolicy, SetAsideDone: SettingAside, GiveBackDone: GivingBack, RollBackDone: RollingBack}
	if s.Work != expected[e.Kind] {
		return s, nil
	}
	s.Work = Idle
	switch e.Kind {
	case SetAsideDone:
		if e.OK {
			s.Aside = true
			s.UntilReady = s.Class == ClassCorruptState || s.Early
		}
	case GiveBackDone:
		s.Aside, s.UntilReady = false, false
	}
	if s.Phase != Backoff {
		s.Probation = s.Probation && !(e.Kind == RollBackDone && e.OK)
		return s, nil
	}
	if e.Kind == PolicyAnswered {
		return r.advised(s, e)
	}
	if e.Reason != "" {
		s.Reason += "; " + e.Reason
	}
	switch {
	case e.Kind == GiveBackDone:
		return r.consider(s, nil)
	case e.Kind == RollBackDone:
		return r.rolledBack(s, e)
	case !e.OK:
		return r.take(s, r.NextRung(s), nil)
	}
	return again(s), nil
}

// rolledBack starts the version before; after a version on probation with its
// failures forgotten. Without a version before the ladder goes on.
func (r Rules) rolledBack(s State, e Event) (State, []Action) {
	probation := s.Probation
	s.Probation = false
	switch {
	case !e.OK && r.Policy == Never:
		return r.giveUp(s, nil)
	case !e.OK:
		return r.take(s, r.NextRung(s), nil)
	case probation:
		s.Failures, s.Position, s.Tries = 0, "", 0
	}
	return again(s), nil
}

// advised does what the policy program said. A start at once is granted as
// often as the ladder's back-off has tries; after that it gets its pauses.
func (r Rules) advised(s State, e Event) (State, []Action) {
	switch e.Advice {
	case AdviceRestart:
		s.Rung = RungRestart
		if s.Failures > 1+r.Tries {
			return s, []Action{Arm{BackoffTimer, r.Delay(s.Failures - 1 - r.Tries)}}
		}
		return again(s), nil
	case AdviceWait:
		s.Rung = RungBackoff
		return s, []Action{Arm{BackoffTimer, min(max(e.After, time.Millisecond), longestWait)}}
	case AdviceGiveUp:
		s.Rung = RungGiveUp
		return r.giveUp(s, nil)
	}
	return r.take(s, r.NextRung(s), nil)
}

func (r Rules) backoff(s State, e Event) (State, []Action) {
	switch e.Kind {
	case BackoffElapsed:
		if s.Work == Idle {
			return again(s), nil
		}
	case StartRequested, RestartRequested:
		return afresh(s, "started on request"), []Action{Disarm{BackoffTimer}}
	case UpdateRequested:
		s.Probation = true
		return afresh(s, updated(e)), []Action{Disarm{BackoffTimer}}
	case StopRequested:
		return rest(s, "stopped on request"), append(r.uncycle(), Disarm{BackoffTimer})
	}
	return s, nil
}
