package supervise

import (
	"syscall"
	"time"

	"runa/init/lifecycle"
	"runa/init/manifest"
)

// System is what the supervisor needs of the world. Host is the real one; tests
// have another. No method waits.
type System interface {
	// Spawn makes a process for a service. It reports Spawned or SpawnFailed;
	// after Spawned at most once BecameReady (if the service is ready by notify)
	// and, last and always, Exited or Unkillable. report may be called from any
	// goroutine, but not from within Spawn.
	Spawn(s manifest.Service, report func(Report))
	// Signal sends a signal to the service's process if it lives.
	Signal(service string, signal syscall.Signal)
	// Kill ends all of the service's processes if there are any.
	Kill(service string)
	// Memory is what the service uses now in bytes, 0 if that is not known.
	Memory(service string) uint64
	// Now is the time; After calls f in a goroutine of its own when d is over,
	// unless cancel is called first.
	Now() time.Time
	After(d time.Duration, f func()) (cancel func())
}

// Report is news of a service's process.
type Report struct {
	lifecycle.Event
	PID int // with Spawned
}

// rulesOf translates what a manifest says into the machine's rules.
func rulesOf(s manifest.Service) lifecycle.Rules {
	policies := map[manifest.Policy]lifecycle.Policy{
		manifest.Always: lifecycle.Always, manifest.OnFailure: lifecycle.OnFailure, manifest.Never: lifecycle.Never,
	}
	return lifecycle.Rules{
		Policy:       policies[s.Restart.Policy],
		Initial:      s.Restart.Initial,
		Max:          s.Restart.Max,
		Stable:       s.Restart.Stable,
		ReadyTimeout: s.Ready.Timeout,
		StopTimeout:  s.Stop.Timeout,
		ReadyAtOnce:  s.Ready.By == manifest.ByNone,
		Oneshot:      s.Oneshot,
	}
}
