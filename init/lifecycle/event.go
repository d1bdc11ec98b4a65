package lifecycle

import "time"

// Kind is what happened.
type Kind uint8

// The events. Every one may come in every state; what does not matter there
// changes nothing.
const (
	StartRequested   Kind = iota // by a person, or at boot
	StopRequested                // by a person, or at shutdown
	RestartRequested             // by a person
	NeedsReady                   // all it needs is ready
	NeedLost                     // something it needs is not ready (Reason names it)
	Spawned                      // its process lives
	SpawnFailed                  // no process could be made (Reason)
	BecameReady                  // it said so
	ReadyTimeout                 // the ready timer ran out
	Exited                       // its process and all that came of it are gone (OK, Reason)
	Unkillable                   // its process ended, but the kernel can't end the rest (Reason)
	StopTimeout                  // the stop timer ran out
	BackoffElapsed               // the back-off timer ran out
	StableElapsed                // the stable timer ran out
)

var kindNames = [...]string{
	"start requested", "stop requested", "restart requested", "needs ready", "need lost", "spawned", "spawn failed",
	"became ready", "ready timeout", "exited", "unkillable", "stop timeout", "back-off elapsed", "stable elapsed",
}

// Kinds lists every kind of event.
func Kinds() []Kind {
	kinds := make([]Kind, len(kindNames))
	for i := range kinds {
		kinds[i] = Kind(i)
	}
	return kinds
}

func (k Kind) String() string { return kindNames[k] }

// Event is one thing that happened to the service.
type Event struct {
	Kind   Kind
	OK     bool   // Exited: with status 0
	Reason string // in plain words: "exited with status 1 after 12 ms"
}

// Timer names one of a service's timers; each is armed at most once at a time.
type Timer uint8

// The timers and the events they end in.
const (
	ReadyTimer   Timer = iota // ReadyTimeout
	StopTimer                 // StopTimeout
	BackoffTimer              // BackoffElapsed
	StableTimer               // StableElapsed
)

// Elapsed is the kind of event that a timer ends in.
func (t Timer) Elapsed() Kind {
	return [...]Kind{ReadyTimeout, StopTimeout, BackoffElapsed, StableElapsed}[t]
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

func (Spawn) action()  {}
func (Signal) action() {}
func (Kill) action()   {}
func (Arm) action()    {}
func (Disarm) action() {}
