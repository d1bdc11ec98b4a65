// Package lifecycle is the life of one service as a pure state machine:
// Rules.Step(state, event) gives the next state and what to do about it. It
// owns the meaning of the states, the restart policy and the back-off. It must
// never start, signal or time anything itself: package supervise does what the
// actions say and reports what happened as events.
//
// # Phases
//
//	defined   nobody wants it to run
//	waiting   it shall run, what it needs is not ready yet
//	starting  a process is being made, or it is not ready yet
//	ready     it runs and serves
//	stopping  it was asked to end
//	backoff   it failed and waits before the next try
//	failed    it ended badly and is not tried again unless asked
//	done      it ended well and is not started again unless asked
//
// Two promises hold for any sequence of events, as the property test shows:
// Spawn is never asked for while a process may be alive, and a service that is
// stopping always ends, because its stop timer is armed or its kill was asked for.
package lifecycle

import "time"

// Phase is where a service is in its life.
type Phase uint8

// The phases, as the package comment explains them.
const (
	Defined Phase = iota
	Waiting
	Starting
	Ready
	Stopping
	Backoff
	Failed
	Done
)

var phaseNames = [...]string{"defined", "waiting", "starting", "ready", "stopping", "backoff", "failed", "done"}

// Phases lists every phase.
func Phases() []Phase {
	return []Phase{Defined, Waiting, Starting, Ready, Stopping, Backoff, Failed, Done}
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

// Stay defined; start again because a person asked; or count as a failure.
const (
	Rest Next = iota
	Again
	Retry
)

// State is everything the machine remembers of a service. The zero value is a
// service that is defined.
type State struct {
	Phase    Phase
	Process  Process
	Next     Next   // in phase stopping
	Failures int    // in a row; decides the back-off
	Restarts int    // starts after the first since a person asked
	Reason   string // why it is in this phase, in plain words
	Blocked  bool   // in phase waiting: Reason tells what it waits for
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
	ReadyAtOnce  bool // ready as soon as it is started
	Oneshot      bool // done, which counts as ready, when it ended with status 0
}

// Delay is the wait before the next start after so many failures in a row:
// none after the first, then Initial*2^n up to Max.
func (r Rules) Delay(failures int) time.Duration {
	if failures <= 1 {
		return 0
	}
	delay := min(r.Initial, r.Max)
	for n := failures - 2; n > 0 && delay < r.Max; n-- {
		delay = min(2*delay, r.Max)
	}
	return delay
}

// Serves says whether those that need the service may run.
func (r Rules) Serves(s State) bool {
	return s.Phase == Ready || r.Oneshot && s.Phase == Done
}
