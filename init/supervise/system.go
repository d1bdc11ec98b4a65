package supervise

import (
	"syscall"
	"time"

	"runa/init/lifecycle"
	"runa/init/manifest"
)

// System is what the supervisor needs of the world. Host is the real one; tests
// have another. No method waits. The functions called done are called exactly
// once, from any goroutine, but never from within the call they were given to.
type System interface {
	// Spawn makes a process for a service. It reports Spawned or SpawnFailed;
	// after Spawned at most once BecameReady (if the service is ready by notify),
	// any number of Defect, BecameDegraded, Recovered and Complaint and, last and
	// always, Exited or Unkillable. report may be called from any goroutine, but
	// not from within Spawn.
	Spawn(s manifest.Service, report func(Report))
	// Signal sends a signal to the service's process if it lives.
	Signal(service string, signal syscall.Signal)
	// Kill ends all of the service's processes if there are any.
	Kill(service string)
	// Usage is what the service uses now; what is not known is 0.
	Usage(service string) Usage

	// Probe asks the service once in its own protocol, within s.Probe.Timeout. An
	// ErrProbeVoid says that what the probe goes over is away, so that it says
	// nothing about the service.
	Probe(s manifest.Service, done func(error))
	// AskPolicy runs the service's policy program, confined as the service is,
	// within s.OnFailure.Timeout.
	AskPolicy(s manifest.Service, f Failure, done func(Advice, error))

	// SetAside moves the service's data folder away and restores the last good
	// snapshot, if there is one. It is called only while no process of the
	// service lives, as are GiveBack and RollBack.
	SetAside(s manifest.Service, done func(Aside, error))
	// GiveBack puts a folder that was set aside where it was.
	GiveBack(s manifest.Service, a Aside, done func(error))
	// Snapshot copies the service's data folder as a good state.
	Snapshot(s manifest.Service, done func(error))

	// Install makes a program the service's next version, on probation.
	Install(s manifest.Service, program string, done func(version string, err error))
	// RollBack makes the version before the service's version again.
	RollBack(s manifest.Service, done func(version string, err error))
	// Commit ends the probation of the service's version.
	Commit(s manifest.Service)
	// Version names the version the next process will run, "" for the image's
	// own program, and says whether it is on probation. It answers from memory.
	Version(service string) (name string, probation bool)

	// Now is the time; After calls f in a goroutine of its own when d is over,
	// unless cancel is called first.
	Now() time.Time
	After(d time.Duration, f func()) (cancel func())
}

// Report is news of a service's process.
type Report struct {
	lifecycle.Event
	PID   int    // with Spawned
	About string // with Complaint: the service that is complained about; Reason is the evidence
}

// Usage is what a service takes of the machine.
type Usage struct {
	MemoryBytes uint64
	OpenFiles   int
	Processes   int // and threads
	CPU         time.Duration
}

// Failure is what a policy program is told.
type Failure struct {
	Class    lifecycle.Class
	Reason   string
	Failures int           // in a row, with this one
	Restarts int           // since a person asked for the service
	Rung     manifest.Rung // what the ladder would do
}

// Advice is what a policy program says: one of lifecycle's advices.
type Advice struct {
	Action lifecycle.Advice // "" is AdviceLadder
	Wait   time.Duration    // with AdviceWait
}

// Aside is a state that was set aside.
type Aside struct {
	Folder   string    // where it is now
	Restored time.Time // when the snapshot was taken that stands in its place; zero: there was none
}
