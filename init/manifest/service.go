// Package manifest reads service manifests: one YAML file per service, parsed
// strictly, so that a wrong key or value is told with file, line and column
// before anything is started. It owns the manifest's keys, their defaults and
// the order that needs and wants imply. It must never start a process, and a
// bad manifest must never keep a good one from being used.
package manifest

import (
	"syscall"
	"time"
)

// Service is one service as its manifest declares it, defaults filled in.
type Service struct {
	Name    string            // the file's name without .yaml
	File    string            // the file it was read from, for messages
	Exec    string            // absolute path of the program
	Args    []string          // its arguments, without the program's name
	Env     map[string]string // added to the clean environment gilgul gives
	User    string            // name in /etc/passwd it runs as
	Needs   []string          // services that must be ready before it starts
	Wants   []string          // services that go first if they are there
	Ready   Ready
	Stop    Stop
	Restart Restart
	Limits  Limits
	Bus     Bus
	Data    bool // has a folder of its own below /data
	Oneshot bool // runs once and is over; ready when it has ended with status 0

	Heartbeat time.Duration // how often it says on the bus that it lives; two periods without are a hang; 0: it says nothing
	Probe     Probe
	OnFailure Failing
	Confine   Confine
	Snapshot  Snapshot
	Probation time.Duration // after an update: a failure within it takes the update back
	Cycle     time.Duration // a oneshot is started again so long after its last start; 0: once
}

// ProbeBy says how gilgul finds out that a service does what it is there for.
type ProbeBy string

// The ways to probe.
const (
	ProbeNone ProbeBy = "none"
	ProbePing ProbeBy = "ping" // it answers a ping on the bus under its own name
	ProbeBus  ProbeBy = "bus"  // it is the bus: what is set there can be read again
	ProbeExec ProbeBy = "exec" // a program, confined as the service is, ends with status 0
)

// Probe asks a service in its own protocol: once when it says that it is
// ready, before others rely on it, then again and again.
type Probe struct {
	By      ProbeBy
	Exec    string // ProbeExec: absolute path of the program
	Args    []string
	Every   time.Duration
	Timeout time.Duration
}

// Rung is a step of the ladder that gilgul climbs when a service keeps failing.
type Rung string

// The rungs, in their order.
const (
	RungRestart    Rung = "restart"    // at once
	RungBackoff    Rung = "backoff"    // after a growing pause
	RungSetAside   Rung = "set-aside"  // with its state set aside and the last good snapshot restored
	RungDependents Rung = "dependents" // together with what needs it
	RungRollBack   Rung = "roll-back"  // with the version before
	RungGiveUp     Rung = "give-up"    // marked failed; everything else goes on
)

// Rungs lists all rungs in their order.
func Rungs() []Rung {
	return []Rung{RungRestart, RungBackoff, RungSetAside, RungDependents, RungRollBack, RungGiveUp}
}

// Failing is what happens when the service fails again and again.
type Failing struct {
	Ladder  []Rung        // which rungs are climbed, in the order of Rungs
	Tries   int           // failures in a row that the back-off is given before the next rung
	Policy  string        // absolute path of a program that is asked first; "": none
	Timeout time.Duration // of the policy program; then the ladder decides
}

// Confine is what the service may touch beyond what every service may: its
// program, the C libraries, its data folder, the bus, /dev/null and its like.
type Confine struct {
	Read    []string // absolute paths, files or folders, it may read
	Write   []string // absolute paths it may read and write
	Seccomp string   // name of the profile of system calls: ProfileService, ProfileInference
}

// The profiles of system calls.
const (
	ProfileService   = "service"   // what a Go program needs
	ProfileInference = "inference" // and what llama.cpp's threads need
)

// Snapshot says how often the data folder is copied while the service is well,
// and how many copies are kept; Every 0: never.
type Snapshot struct {
	Every time.Duration
	Keep  int
}

// Bus is what the service's user may do on the bus: patterns of
// splinter.Rights, such as key:service/NAME/*, topic:news or name:NAME. What is
// not in it is forbidden to it.
type Bus struct {
	Read  []string // keys it may get, topics it may subscribe to, names it may listen under
	Write []string // keys it may set, topics it may publish on, names it may dial
}

// By says how gilgul learns that a service is ready.
type By string

// The ways to get ready.
const (
	ByNone   By = "none"   // once started
	ByNotify By = "notify" // a line READY=1 on the descriptor numbered in RUNA_NOTIFY_FD
	ByBus    By = "bus"    // the key service/NAME/ready appears on the bus
)

// Ready is how a service gets ready and how long that may take (0: for ever,
// the default of a oneshot only).
type Ready struct {
	By      By
	Timeout time.Duration
}

// Stop is how a service is asked to end and when gilgul kills it instead.
type Stop struct {
	Signal  syscall.Signal
	Timeout time.Duration
}

// Policy says which ends of a service are followed by a new start.
type Policy string

// The restart policies.
const (
	Always    Policy = "always"
	OnFailure Policy = "on-failure"
	Never     Policy = "never"
)

// Restart is the policy and its back-off: the first restart is at once, the
// n-th after it waits Initial*2^n up to Max; a run longer than Stable counts as
// a fresh start.
type Restart struct {
	Policy               Policy
	Initial, Max, Stable time.Duration
}

// Limits bound what a service may take; 0 means no limit but the slice's own.
type Limits struct {
	MemoryHigh uint64 // bytes; above it the service is slowed and reclaimed
	MemoryMax  uint64 // bytes; above it the kernel kills the whole service
	CPU        int    // percent of one processor: 150 is one and a half
	PIDs       int    // processes and threads
	Files      int    // open descriptors of each process
	IOWeight   int    // 1 to 10000, 100 is usual

	// CPUBudget is what it may use on average, in percent of one processor, 0: no
	// budget; more than that all through CPUBudgetFor is a spin.
	CPUBudget    int
	CPUBudgetFor time.Duration
}

// Defaults returns the service that an empty manifest called name would
// declare if exec were not required.
func Defaults(name string) Service {
	return Service{
		Name:    name,
		User:    name,
		Ready:   Ready{By: ByNone, Timeout: 30 * time.Second},
		Stop:    Stop{Signal: syscall.SIGTERM, Timeout: 10 * time.Second},
		Restart: Restart{Policy: Always, Initial: time.Second, Max: 30 * time.Second, Stable: time.Minute},
		Limits:  Limits{PIDs: 256, Files: 1024, CPUBudgetFor: 10 * time.Second},

		Probe:     Probe{By: ProbeNone, Every: 30 * time.Second, Timeout: 5 * time.Second},
		OnFailure: Failing{Ladder: Rungs(), Tries: 3, Timeout: 5 * time.Second},
		Confine:   Confine{Seccomp: ProfileService},
		Snapshot:  Snapshot{Keep: 3},
		Probation: time.Minute,
	}
}
