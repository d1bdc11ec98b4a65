package supervise

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"runa/init/confine"
	"runa/init/lifecycle"
	"runa/init/logring"
	"runa/init/manifest"
)

// Host is the real System: Linux processes, made by package confine.
type Host struct {
	Launcher *confine.Launcher
	Reaper   *Reaper
	Logs     *logring.Set
	// Slice is the cgroup of all services; nil (no cgroups) makes Kill end
	// only the service's process group.
	Slice *confine.Slice
	// DataRoot holds the services' own folders, such as /data.
	DataRoot string
	// Env is given to every service, such as RUNA_BUS.
	Env map[string]string
	// User looks a user's uid up (manifest.SystemUser).
	User func(name string) (uint32, error)
	// BeforeReady, if it is not nil, is called when a service has said that it is
	// ready and returns before that counts, so before those that need it start.
	BeforeReady func(service string)

	mu    sync.Mutex
	lives map[string]*life
}

// How long the kernel may take to end what is killed, and how long a pipe may
// stay open after that.
const (
	killPatience = 10 * time.Second
	pipePatience = time.Second
)

// life is one process of a service, from fork until all of it is gone.
type life struct {
	pid     int
	exit    <-chan syscall.WaitStatus
	cgroup  *confine.Cgroup // nil without cgroups
	started time.Time
	pipes   pipes
	copying sync.WaitGroup
}

// pipes are gilgul's ends of what a service writes.
type pipes struct{ stdout, stderr, notify *os.File }

// Now is the time.
func (h *Host) Now() time.Time { return time.Now() }

// After calls f when d is over.
func (h *Host) After(d time.Duration, f func()) func() {
	timer := time.AfterFunc(d, f)
	return func() { timer.Stop() }
}

// Spawn makes a process and reports on it until all of it is gone.
func (h *Host) Spawn(s manifest.Service, report func(Report)) {
	go func() {
		l, err := h.start(s)
		if err != nil {
			report(Report{Event: lifecycle.Event{Kind: lifecycle.SpawnFailed, Reason: "not started: " + err.Error()}})
			return
		}
		report(Report{Event: lifecycle.Event{Kind: lifecycle.Spawned}, PID: l.pid})
		l.copying.Go(func() {
			readNotify(l.pipes.notify, func() {
				if s.Ready.By == manifest.ByNotify {
					if h.BeforeReady != nil {
						h.BeforeReady(s.Name)
					}
					report(Report{Event: lifecycle.Event{Kind: lifecycle.BecameReady}})
				}
			})
		})
		report(Report{Event: h.finish(s, l)})
	}()
}

func (h *Host) start(s manifest.Service) (*life, error) {
	uid, err := h.User(s.User)
	if err != nil {
		return nil, err
	}
	home := "/"
	if s.Data {
		if home, err = confine.DataFolder(h.DataRoot, s.Name, uid); err != nil {
			return nil, err
		}
	}
	l := &life{}
	if h.Slice != nil {
		ctx, cancel := context.WithTimeout(context.Background(), killPatience)
		defer cancel()
		if l.cgroup, err = h.Slice.New(ctx, s.Name, s.Limits); err != nil {
			return nil, err
		}
	}
	if err := h.launch(s, l, uid, home); err != nil {
		if l.cgroup != nil {
			err = errors.Join(err, l.cgroup.End(context.Background()))
		}
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.lives == nil {
		h.lives = map[string]*life{}
	}
	h.lives[s.Name] = l
	return l, nil
}

// launch makes the process with its pipes and begins to keep what it writes.
func (h *Host) launch(s manifest.Service, l *life, uid uint32, home string) error {
	theirs, err := l.pipes.open()
	if err != nil {
		return err
	}
	defer theirs.close()
	l.started = h.Now()
	l.pid, l.exit, err = h.Reaper.Start(func() (int, error) {
		return h.Launcher.Start(confine.Spec{
			Exec: s.Exec, Args: s.Args, Env: confine.Environment(s, home, h.Env), Dir: home, UID: uid,
			Limits: s.Limits, Cgroup: l.cgroup,
			Stdout: theirs.stdout, Stderr: theirs.stderr, Notify: theirs.notify,
		})
	})
	if err != nil {
		l.pipes.close()
		return err
	}
	for _, stream := range []*os.File{l.pipes.stdout, l.pipes.stderr} {
		l.copying.Go(func() {
			w := h.Logs.Ring(s.Name).Writer()
			defer w.Close()
			io.Copy(w, stream) // ends when nobody can write to it any more
		})
	}
	return nil
}

// finish waits for the end of the process, ends all that came of it, and says
// how it went. When it returns the last line is in the log.
func (h *Host) finish(s manifest.Service, l *life) lifecycle.Event {
	status := <-l.exit
	ran := h.Now().Sub(l.started)
	event := lifecycle.Event{Kind: lifecycle.Exited, OK: status.Exited() && status.ExitStatus() == 0, Reason: endReason(status, ran)}
	if l.cgroup != nil {
		if l.cgroup.OutOfMemory() && !event.OK {
			event.Reason = outOfMemoryReason(s.Limits.MemoryMax, ran)
		}
		ctx, cancel := context.WithTimeout(context.Background(), killPatience)
		defer cancel()
		if err := l.cgroup.End(ctx); err != nil {
			event.Kind, event.Reason = lifecycle.Unkillable, fmt.Sprintf("%s, but %v", event.Reason, err)
		}
	} else {
		syscall.Kill(-l.pid, syscall.SIGKILL) // its process group; there may be nobody left in it
	}
	deadline := h.Now().Add(pipePatience)
	for _, pipe := range []*os.File{l.pipes.stdout, l.pipes.stderr, l.pipes.notify} {
		pipe.SetReadDeadline(deadline) // only matters if somebody escaped with the other end
	}
	l.copying.Wait()
	l.pipes.close()
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.lives, s.Name)
	return event
}

func (h *Host) life(service string) *life {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lives[service]
}

// Signal sends a signal to the service's process if it lives.
func (h *Host) Signal(service string, signal syscall.Signal) {
	if l := h.life(service); l != nil {
		h.Reaper.Signal(l.pid, signal)
	}
}

// Kill ends all of the service's processes if there are any.
func (h *Host) Kill(service string) {
	l := h.life(service)
	if l == nil {
		return
	}
	if l.cgroup == nil || l.cgroup.Kill() != nil {
		h.Reaper.Signal(l.pid, syscall.SIGKILL)
	}
}

// Memory is what the service uses now in bytes.
func (h *Host) Memory(service string) uint64 {
	if l := h.life(service); l != nil && l.cgroup != nil {
		return l.cgroup.Memory()
	}
	return 0
}

// readNotify calls ready at the first line READY=1. Everything that is written
// is read, so that no service waits for gilgul.
func readNotify(r io.Reader, ready func()) {
	lines := bufio.NewScanner(r)
	said := false
	for lines.Scan() {
		if lines.Text() == "READY=1" && !said {
			said = true
			ready()
		}
	}
	io.Copy(io.Discard, r) // a line too long for the scanner
}

// open makes three pipes; gilgul's ends go into p, the service's are returned.
func (p *pipes) open() (theirs pipes, err error) {
	for _, pair := range []struct{ ours, theirs **os.File }{
		{&p.stdout, &theirs.stdout}, {&p.stderr, &theirs.stderr}, {&p.notify, &theirs.notify},
	} {
		if *pair.ours, *pair.theirs, err = os.Pipe(); err != nil {
			p.close()
			theirs.close()
			return pipes{}, fmt.Errorf("make its pipes: %w", err)
		}
	}
	return theirs, nil
}

func (p *pipes) close() {
	for _, f := range []*os.File{p.stdout, p.stderr, p.notify} {
		if f != nil {
			f.Close()
		}
	}
}
