package lifecycle

import "time"

// probeAgain is the pause before a doubtful probe is repeated: in it the end of
// what the probe went over becomes known.
const probeAgain = 200 * time.Millisecond

// probesToDoubt is how many probes in a row have to fail: one may have been
// unlucky.
const probesToDoubt = 2

// probed deals with probes and their answers, while the service starts (then
// a passed probe makes it ready) and while it serves.
func (r Rules) probed(s State, e Event) (State, []Action) {
	switch {
	case e.Kind == ProbeDue || e.Kind == Complaint:
		return r.probe(s, e.Kind == Complaint)
	case !s.Probing:
		return s, nil
	}
	s.Probing = false
	switch e.Kind {
	case ProbePassed:
		s.Doubts, s.Accused = 0, false
		if s.Phase == Starting {
			return r.becomeReady(s)
		}
		return s, []Action{Arm{ProbeTimer, r.ProbeEvery}}
	case ProbeVoid:
		return s, []Action{Arm{ProbeTimer, min(r.ProbeEvery, probeAgain)}}
	}
	return r.doubt(s, e.Reason)
}

// probe asks for a probe, unless one is under way or nothing is to be probed.
func (r Rules) probe(s State, accused bool) (State, []Action) {
	waitsForProbe := s.Phase.Serves() || s.SaidReady || r.ReadyAtOnce && s.Process == Running
	if !r.Probe || !waitsForProbe {
		return s, nil
	}
	s.Accused = s.Accused || accused
	if s.Probing {
		return s, nil
	}
	s.Probing = true
	return s, []Action{Probe{}}
}

// doubt counts a failed probe. One that starts and has not said that it is
// ready may fail it until its time is over.
func (r Rules) doubt(s State, why string) (State, []Action) {
	again := []Action{Arm{ProbeTimer, min(r.ProbeEvery, probeAgain)}}
	if s.Phase == Starting && !s.SaidReady {
		return s, again
	}
	if s.Doubts++; s.Doubts < probesToDoubt {
		return s, again
	}
	switch {
	case s.Accused:
		return r.fail(s, ClassComplaint, "others complained about it and its probe failed: "+why, true)
	case s.Phase == Starting:
		return r.fail(s, ClassFalseReady, "it said that it is ready, but its probe failed: "+why, true)
	}
	return r.fail(s, ClassFalseReady, "it runs, but its probe failed: "+why, true)
}
