package lifecycle

import "time"

// Timer names one of a service's timers; each is armed at most once at a time.
type Timer uint8

// The timers and the events they end in.
const (
	ReadyTimer     Timer = iota // ReadyTimeout
	StopTimer                   // StopTimeout
	BackoffTimer                // BackoffElapsed
	StableTimer                 // StableElapsed
	ProbeTimer                  // ProbeDue
	ProbationTimer              // ProbationElapsed
	SnapshotTimer               // SnapshotDue
	CycleTimer                  // CycleElapsed
)

var timerNames = [...]string{"ready", "stop", "back-off", "stable", "probe", "probation", "snapshot", "cycle"}

func (t Timer) String() string { return timerNames[t] }

// Elapsed is the kind of event that a timer ends in.
func (t Timer) Elapsed() Kind {
	return [...]Kind{
		ReadyTimeout, StopTimeout, BackoffElapsed, StableElapsed, ProbeDue, ProbationElapsed, SnapshotDue, CycleElapsed,
	}[t]
}

// Action is something the supervisor has to do, in the order given.
type Action interface{ action() }

// Spawn makes a process and reports Spawned or SpawnFailed.
type Spawn struct{}

// Signal sends the manifest's stop signal to the process.
type Signal struct{}

// Kill ends the process and everything that came of it. Exited or Unkillable
// follows.
type Kill struct{}

// Arm starts a timer, replacing what it was.
type Arm struct {
	Timer Timer
	After time.Duration
}

// Disarm stops a timer, armed or not.
type Disarm struct{ Timer Timer }

// Probe asks the service in its own protocol. ProbePassed, ProbeFailed or
// ProbeVoid follows; the answers to earlier probes no longer count.
type Probe struct{}

// AskPolicy runs the policy program. PolicyAnswered follows.
type AskPolicy struct{}

// SetAside moves the service's state away and restores the last good snapshot.
// SetAsideDone follows.
type SetAside struct{}

// GiveBack undoes SetAside. GiveBackDone follows.
type GiveBack struct{}

// Keep ends the doubt about a state that was set aside: it was the cause, and
// stays aside.
type Keep struct{}

// RestartDependents restarts what needs the service, and lets it start when
// none of them runs.
type RestartDependents struct{}

// RollBack puts the version before in place. RollBackDone follows.
type RollBack struct{}

// Commit ends the probation of the version that runs: it is good.
type Commit struct{}

// Snapshot copies the state of the service, which is well.
type Snapshot struct{}

// Failure is a failure that was just found: it is counted and told.
type Failure struct {
	Class  Class
	Reason string
}

func (Spawn) action()             {}
func (Signal) action()            {}
func (Kill) action()              {}
func (Arm) action()               {}
func (Disarm) action()            {}
func (Probe) action()             {}
func (AskPolicy) action()         {}
func (SetAside) action()          {}
func (GiveBack) action()          {}
func (Keep) action()              {}
func (RestartDependents) action() {}
func (RollBack) action()          {}
func (Commit) action()            {}
func (Snapshot) action()          {}
func (Failure) action()           {}
