package supervise

import (
	"fmt"

	"runa/init/lifecycle"
)

// Everything in this file runs in Run's goroutine.

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
		s.chooseVersion(one)
		s.feed(one, lifecycle.Event{Kind: lifecycle.NeedsReady})
	case lifecycle.Ready, lifecycle.Degraded:
		if lost := s.lost(one); lost != "" {
			s.feed(one, lifecycle.Event{Kind: lifecycle.NeedLost, Reason: lost + ", which it needs"})
		} else if one.state.Reason != one.state.Shortfall {
			s.feed(one, lifecycle.Event{Kind: lifecycle.NeedsReady})
		}
	}
}

// chooseVersion notes what the next process will run.
func (s *Supervisor) chooseVersion(one *service) {
	version, probation := s.options.System.Version(one.Name)
	one.version = version
	if probation && !one.state.Probation {
		s.feed(one, lifecycle.Event{Kind: lifecycle.ProbationFound})
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
	if one.state.Work != lifecycle.Idle {
		return one.state.Work.String()
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
	if one.clearing {
		if still := s.dependents(one); len(still) > 0 {
			return still[0].Name + " to end, which needs it"
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
	up, rest := true, s.shutting && (s.jobs == 0 || s.hurry)
	for _, one := range s.order {
		up = up && (one.state.Phase.Serves() || one.state.Phase == lifecycle.Done)
		rest = rest && one.atRest()
	}
	if up {
		s.up.Do(func() { close(s.allUp) })
	}
	if rest {
		s.rest.Do(func() { close(s.atRest) })
	}
}
