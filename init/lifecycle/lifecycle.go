// Package lifecycle is the life of one service as a pure state machine:
// Rules.Step(state, event) gives the next state and what to do about it. It
// owns the meaning of the states, the restart policy, the ladder that is climbed
// when a service keeps failing, and the probation of a new version. It must
// never start, signal, ask or time anything itself: package supervise does what
// the actions say and reports what happened as events.
//
// # Phases
//
//	defined   nobody wants it to run
//	waiting   it shall run, what it needs is not ready yet
//	starting  a process is being made, or it is not ready yet
//	ready     it runs and serves
//	degraded  it runs and serves in part
//	stopping  it was asked to end, or is being killed
//	backoff   it failed; the next try is prepared or waited for
//	failed    it ended badly and is not tried again unless asked
//	done      it ended well and is not started again unless asked or its cycle comes
//
// # The ladder
//
// Each failure in a row takes the next rung that the manifest allows: a start
// at once; starts after growing pauses; a start with the state set aside and the
// last good snapshot in its place; a start after everything that needs the
// service has ended; a start of the version before; giving up. A ladder without
// giving up ends in the longest pause, again and again. Being ready for
// Rules.Stable forgets the failures.
//
// A service that says that its state is corrupt goes straight to setting it
// aside, once; after that the ladder goes on where it was. A state that was set aside and turns out not to be the cause, because
// the service fails again, is given back before the next rung. A version that
// fails within its probation is taken back at once.
//
// # Promises
//
// They hold for any sequence of events, as the property tests show: Spawn is
// never asked for while a process may be alive, nor while the service's state or
// version is being changed; a service that is stopping always ends, because its
// stop timer is armed or its kill was asked for; a ladder with giving up ends in
// ready or failed.
package lifecycle

import (
	"slices"
	"time"
)

// Phase is where a service is in its life.
type Phase uint8

// The phases, as the package comment explains them.
const (
	Defined Phase = iota
	Waiting
	Starting
	Ready
	Degraded
	Stopping
	Backoff
	Failed
	Done
)

var phaseNames = [...]string{"defined", "waiting", "starting", "ready", "degraded", "stopping", "backoff", "failed", "done"}

// Phases lists every phase.
func Phases() []Phase {
	return []Phase{Defined, Waiting, Starting, Ready, Degraded, Stopping, Backoff, Failed, Done}
}

func (p Phase) String() string { return phaseNames[p] }

// Process is what is known about the service's process.
type Process uint8

// No process; one that was asked for and is not reported yet; one that lives.
const (
	Absent Process = iota
	Spawning
	Running
)

// Next is what follows once a stopping service has ended.
type Next uint8

// Stay defined; start again because a person asked; or climb the ladder.
const (
	Rest Next = iota
	Again
	Retry
)

// Work is what is being done for a service that does not run. Its answer comes
// once, in whatever phase the service is by then.
type Work uint8

// Nothing; the policy program is asked; the state is moved away or back; the
// version before is put in place.
const (
	Idle Work = iota
	AskingPolicy
	SettingAside
	GivingBack
	RollingBack
)

var workNames = [...]string{"", "its policy program to answer", "its state to be set aside", "its state to be given back", "the version before to be put in place"}

func (w Work) String() string { return workNames[w] }

// Rung is a step of the ladder; the names are those of the manifest.
type Rung string

// The rungs, in their order.
const (
	RungRestart    Rung = "restart"
	RungBackoff    Rung = "backoff"
	RungSetAside   Rung = "set-aside"
	RungDependents Rung = "dependents"
	RungRollBack   Rung = "roll-back"
	RungGiveUp     Rung = "give-up"
)

// Rungs lists every rung in its order.
func Rungs() []Rung {
	return []Rung{RungRestart, RungBackoff, RungSetAside, RungDependents, RungRollBack, RungGiveUp}
}

// State is everything the machine remembers of a service. The zero value is a
// service that is defined.
type State struct {
	Phase    Phase
	Process  Process
	Next     Next   // in phase stopping
	Reason   string // why it is in this phase, in plain words
	Blocked  bool   // in phase waiting: Reason tells what it waits for
	Work     Work   // no process is made until it is answered
	Restarts int    // starts after the first since a person asked
	Stuck    bool   // what the kernel could not end may still hold its data

	Failures int   // in a row
	Class    Class // of the newest of them
	Early    bool  // the newest came before it was ready
	Rung     Rung  // taken for it, "": none yet
	Position Rung  // how far the ladder is climbed
	Tries    int   // at RungBackoff

	Aside      bool // its state is set aside, perhaps in vain
	UntilReady bool // being ready will show that the state was the cause
	AsideUsed  bool // setting aside is done once in a row of failures

	Shortfall string // why it works only in part, "": it does not say so
	SaidReady bool   // in phase starting: it said so, the probe is under way
	Probing   bool   // an answer of a probe is expected
	Accused   bool   // the probe was asked for by a complaint
	Doubts    int    // probes in a row that failed
	Probation bool   // a failure takes its version back
	Due       bool   // its cycle came while it still ran
}

// Policy says which ends are followed by a new start.
type Policy uint8

// Always; only after a failure; never.
const (
	Always Policy = iota
	OnFailure
	Never
)

// Rules are what a service's manifest says about its life.
type Rules struct {
	Policy       Policy
	Initial, Max time.Duration // back-off: Initial*2^n up to Max
	Stable       time.Duration // ready this long forgets earlier failures
	ReadyTimeout time.Duration // 0: no limit
	StopTimeout  time.Duration
	ReadyAtOnce  bool // ready as soon as it is started, or as its probe says
	Oneshot      bool // done, which counts as ready, when it ended with status 0

	Ladder     []Rung // the rungs that are climbed
	Tries      int    // at RungBackoff
	AskPolicy  bool   // a program is asked before the ladder
	Data       bool   // it has state that can be set aside
	Dependents bool   // others need it

	Probe      bool
	ProbeEvery time.Duration
	Probation  time.Duration
	Snapshot   time.Duration // how often, 0: never
	Cycle      time.Duration // of a oneshot, 0: it runs once
}

// Delay is the pause before the n-th try at RungBackoff: Initial*2^(n-1) up to Max.
func (r Rules) Delay(n int) time.Duration {
	delay := min(r.Initial, r.Max)
	for ; n > 1 && delay < r.Max; n-- {
		delay = min(2*delay, r.Max)
	}
	return delay
}

// forgotten is s without the failures in a row.
func forgotten(s State) State {
	s.Failures, s.Class, s.Early, s.Rung, s.Position, s.Tries = 0, "", false, "", "", 0
	return s
}

// Serves says whether those that need the service may run.
func (r Rules) Serves(s State) bool { return s.Phase.Serves() || r.Oneshot && s.Phase == Done }

// Serves says whether a service in this phase answers, if only in part.
func (p Phase) Serves() bool { return p == Ready || p == Degraded }

// NextRung is the rung for the failure that s describes, "" at the end of a
// ladder without giving up.
func (r Rules) NextRung(s State) Rung {
	if s.Probation {
		return RungRollBack
	}
	if s.Class == ClassCorruptState && !s.AsideUsed && r.Data && slices.Contains(r.Ladder, RungSetAside) {
		return RungSetAside
	}
	if s.Position == RungBackoff && s.Tries < r.Tries {
		return RungBackoff
	}
	order := Rungs()
	for _, rung := range order[1+slices.Index(order, s.Position):] {
		if slices.Contains(r.Ladder, rung) && r.applies(s, rung) {
			return rung
		}
	}
	return ""
}

// applies says whether a rung makes sense for the service.
func (r Rules) applies(s State, rung Rung) bool {
	switch rung {
	case RungBackoff:
		return r.Tries > 0
	case RungSetAside:
		return r.Data && !s.AsideUsed
	case RungDependents:
		return r.Dependents
	}
	return true
}
