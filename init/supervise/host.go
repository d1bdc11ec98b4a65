package supervise

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"

	"runa/init/confine"
	"runa/init/contain"
	"runa/init/logring"
	"runa/init/snapshot"
	"runa/init/version"
)

// Host is the real System: Linux processes, made by package confine.
type Host struct {
	Launcher *confine.Launcher
	Reaper   *Reaper
	Logs     *logring.Set
	Log      hclog.Logger // nil: no log
	// Slice is the cgroup of all services; nil (no cgroups) makes Kill end
	// only what belongs to the service's own pid namespace or process group.
	Slice *confine.Slice
	// DataRoot holds the services' own folders, such as /data.
	DataRoot string
	// BusFolder is made visible to every service, such as /run/runa; "": none.
	BusFolder string
	// Env is given to every service, such as RUNA_BUS.
	Env map[string]string
	// User looks a user's uid up (manifest.SystemUser).
	User func(name string) (uint32, error)
	// BeforeReady, if it is not nil, is called when a service has said that it is
	// ready and returns before that counts, so before those that need it start.
	BeforeReady func(service string)
	// Bus is where heart-beats are read and pings sent; nil: there is none.
	Bus Bus
	// Snapshots and Versions are the stores on /data; nil: not there, or not yet
	// (SetState).
	Snapshots *snapshot.Store
	Versions  *version.Store

	mu         sync.Mutex
	lives      map[string]*life
	reserve    reserve
	background sync.WaitGroup // what may take its time
}

// Bus is what the host needs of the bus. Its methods may be called from any
// goroutine.
type Bus interface {
	// Heartbeat returns how often the service has said that it lives; known is
	// false if there is no bus now, or it has said nothing since it was forgotten.
	Heartbeat(service string) (count uint64, known bool)
	// Forget makes what an earlier life of the service said worthless.
	Forget(service string)
	// Ping asks the service under its own name whether it does its work.
	Ping(ctx context.Context, service string) error
	// SelfTest sets a key and reads it again.
	SelfTest(ctx context.Context) error
	// Here says whether there is a bus now on which a service could be heard.
	Here() bool
}

// How long the kernel may take to end what is killed, and how long a pipe may
// stay open after that.
const (
	killPatience = 30 * time.Second
	pipePatience = time.Second
)

// Now is the time.
func (h *Host) Now() time.Time { return time.Now() }

// After calls f when d is over.
func (h *Host) After(d time.Duration, f func()) func() {
	timer := time.AfterFunc(d, func() {
		_ = contain.Call("a timer of a service", func() error { f(); return nil })
	})
	return func() { timer.Stop() }
}

// SetState gives the host the stores of states and versions, once /data is there.
func (h *Host) SetState(snapshots *snapshot.Store, versions *version.Store) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.Snapshots, h.Versions = snapshots, versions
}

func (h *Host) state() (*snapshot.Store, *version.Store) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.Snapshots, h.Versions
}

func (h *Host) log() hclog.Logger {
	if h.Log == nil {
		return hclog.NewNullLogger()
	}
	return h.Log
}

// folder is where a service keeps its data.
func (h *Host) folder(service string) string { return filepath.Join(h.DataRoot, service) }

// inBackground runs what nobody waits for but Settle.
func (h *Host) inBackground(name string, f func()) {
	h.background.Add(1)
	contain.Go(name, func() {
		defer h.background.Done()
		f()
	})
}

// Settle waits until what was left to the background, such as the removal of
// cgroups, is done. Call it when the services were shut down.
func (h *Host) Settle(ctx context.Context) error {
	done := make(chan struct{})
	contain.Go("wait for the background", func() { h.background.Wait(); close(done) })
	select {
	case <-done:
	case <-ctx.Done():
		return fmt.Errorf("wait until all is cleared away: %w", ctx.Err())
	}
	if h.Slice == nil {
		return nil
	}
	return h.Slice.Wait(ctx)
}

func (h *Host) life(service string) *life {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lives[service]
}

// Signal sends a signal to the service's process if it lives.
func (h *Host) Signal(service string, signal syscall.Signal) {
	l := h.life(service)
	if l == nil {
		return
	}
	if err := l.process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) && !errors.Is(err, syscall.ESRCH) {
		h.log().Warn("a service can't be signalled", "service", service, "signal", signal, "reason", err)
	}
}

// Kill ends all of the service's processes if there are any. When the kernel
// does not end them within killPatience, that is reported as Unkillable.
func (h *Host) Kill(service string) {
	l := h.life(service)
	if l == nil {
		return
	}
	l.kill()
	if l.killed.Swap(true) {
		return
	}
	contain.Go("wait for the end of "+service, func() {
		select {
		case <-l.over:
		case <-time.After(killPatience):
			h.lost(l)
		}
	})
}
