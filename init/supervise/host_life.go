package supervise

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"runa/init/confine"
	"runa/init/contain"
	"runa/init/lifecycle"
	"runa/init/manifest"
)

// life is one process of a service, from fork until all of it is gone.
type life struct {
	manifest manifest.Service
	process  *confine.Process
	cgroup   *confine.Cgroup // nil without cgroups
	started  time.Time
	pipes    pipes
	copying  sync.WaitGroup
	ended    chan struct{} // closed when its first process is gone
	over     chan struct{} // closed when all of it is

	alone  atomic.Bool // everything it makes ends with its first process
	ready  atomic.Bool
	frozen atomic.Bool // while its state is copied
	killed atomic.Bool

	// telling is held while a report is handed over, so that nothing is told
	// after the last one.
	telling sync.Mutex
	report  func(Report) // nil when the last one was told
}

// tell hands a report over unless the last one was.
func (l *life) tell(r Report) { l.hand(r, false) }

// last hands the last report over.
func (l *life) last(r Report) { l.hand(r, true) }

func (l *life) hand(r Report, last bool) {
	l.telling.Lock()
	defer l.telling.Unlock()
	if l.report == nil {
		return
	}
	l.report(r)
	if last {
		l.report = nil
	}
}

// born reports that the process lives. attend is called before, so that what
// the process says is read while the report is handed over, and told after it.
func (l *life) born(attend func()) {
	l.telling.Lock()
	defer l.telling.Unlock()
	attend()
	l.report(Report{Event: lifecycle.Event{Kind: lifecycle.Spawned}, PID: l.process.PID()})
}

// kill ends all processes of the life; it does not wait.
func (l *life) kill() {
	_ = l.process.Signal(syscall.SIGKILL) // its pid namespace ends with it
	if l.cgroup != nil {
		_ = l.cgroup.Kill()
	}
}

// Spawn makes a process and reports on it until all of it is gone.
func (h *Host) Spawn(s manifest.Service, report func(Report)) {
	contain.Go("run "+s.Name, func() {
		l := &life{manifest: s, report: report, ended: make(chan struct{}), over: make(chan struct{})}
		err := contain.Call("start "+s.Name, func() error {
			return h.reserve.spend(func() error { return h.start(l) })
		})
		if err != nil {
			l.last(Report{Event: lifecycle.Event{
				Kind: lifecycle.SpawnFailed, Class: lifecycle.ClassNotStarted, Reason: "not started: " + err.Error(),
			}})
			return
		}
		l.born(func() { h.attend(l) })
		h.end(l)
	})
}

// start makes the process with all it needs. What it made is gone when it fails.
func (h *Host) start(l *life) (err error) {
	s := l.manifest
	spec, err := h.spec(s)
	if err != nil {
		return err
	}
	l.cgroup = h.newCgroup(s.Name, s.Limits)
	theirs, err := l.pipes.open()
	if err != nil {
		return err
	}
	defer theirs.close()
	if h.Bus != nil {
		h.Bus.Forget(s.Name)
	}
	spec.Cgroup, spec.Stdout, spec.Stderr, spec.Notify = l.cgroup, theirs.stdout, theirs.stderr, theirs.notify
	l.started = h.Now()
	if l.process, err = h.Launcher.Start(spec); err != nil {
		l.pipes.close()
		h.removeCgroup(s.Name, l.cgroup)
		return err
	}
	l.ready.Store(s.Ready.By == manifest.ByNone)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.lives == nil {
		h.lives = map[string]*life{}
	}
	h.lives[s.Name] = l
	return nil
}

// spec is how the service's program is confined, without what belongs to one
// process: its cgroup and pipes.
func (h *Host) spec(s manifest.Service) (confine.Spec, error) {
	uid, err := h.User(s.User)
	if err != nil {
		return confine.Spec{}, err
	}
	home, data := "/", ""
	if s.Data {
		if data, err = confine.DataFolder(h.DataRoot, s.Name, uid); err != nil {
			return confine.Spec{}, err
		}
		home = data
	}
	spec := confine.Spec{
		Service: s.Name, Exec: s.Exec, Args: s.Args, Env: confine.Environment(s, home, h.Env), Dir: home, UID: uid,
		Limits: s.Limits, Confine: s.Confine, BusFolder: h.BusFolder, DataFolder: data,
	}
	if _, versions := h.state(); versions != nil {
		if v, there := versions.Current(s.Name); there {
			spec.Program = v.Path
		}
	}
	return spec, nil
}

func (h *Host) newCgroup(name string, limits manifest.Limits) *confine.Cgroup {
	if h.Slice == nil {
		return nil
	}
	return h.Slice.New(name, limits)
}

// removeCgroup removes a cgroup in the background: it takes the kernel
// milliseconds, and the next life has another.
func (h *Host) removeCgroup(service string, c *confine.Cgroup) {
	if c == nil {
		return
	}
	c.EndLater(func(err error) {
		if err != nil {
			h.log().Error("a cgroup is left over", "service", service, "reason", err)
		}
	})
}

// endCgroup ends what is in a cgroup and removes it.
func (h *Host) endCgroup(c *confine.Cgroup) error {
	ctx, cancel := context.WithTimeout(context.Background(), killPatience)
	defer cancel()
	return h.reserve.spend(func() error { return c.End(ctx) })
}

// attend hears what the process says and looks after its health.
func (h *Host) attend(l *life) {
	s := l.manifest
	for _, stream := range []*os.File{l.pipes.stdout, l.pipes.stderr} {
		l.copy("keep what "+s.Name+" writes", func() { h.keepLines(s.Name, stream) })
	}
	l.copy("hear "+s.Name, func() { h.hear(l) })
	l.alone.Store(firstOfItsNamespace(l.process.PID()))
	contain.Go("look after "+s.Name, func() { h.watch(l) })
}

// copy runs f in a goroutine that end waits for.
func (l *life) copy(name string, f func()) {
	l.copying.Add(1)
	contain.Go(name, func() {
		defer l.copying.Done()
		f()
	})
}

// hear turns what comes over the notify pipe into reports.
func (h *Host) hear(l *life) {
	s := l.manifest
	n := notices{
		after: time.After, now: h.Now, ended: l.ended,
		hear: func(n notice) { h.heard(l, n) },
		dropped: func(n notice) {
			h.log().Warn("a service says more than it should", "service", s.Name, "dropped", n.String())
		},
	}
	n.read(l.pipes.notify)
}

func (h *Host) heard(l *life, n notice) {
	event := lifecycle.Event{Kind: n.kind, Reason: n.reason}
	switch n.kind {
	case lifecycle.BecameReady:
		if l.manifest.Ready.By != manifest.ByNotify {
			return
		}
		if h.BeforeReady != nil {
			_ = contain.Call("prepare for "+l.manifest.Name, func() error { h.BeforeReady(l.manifest.Name); return nil })
		}
		l.ready.Store(true)
	case lifecycle.Complaint:
		event.Class = lifecycle.ClassComplaint
	}
	l.tell(Report{Event: event, About: n.about})
}

// end waits for the end of the process, ends all that came of it, and reports
// how it went. When it reports the last line is in the log.
func (h *Host) end(l *life) {
	event := lifecycle.Event{Kind: lifecycle.Exited, Class: lifecycle.ClassExit, Reason: "it ended, and gilgul failed to see how"}
	_ = contain.Call("see how "+l.manifest.Name+" ended", func() error {
		exit, err := l.process.Wait()
		if err != nil {
			event.Reason = fmt.Sprintf("it ended, but not how is known: %v", err)
			return err
		}
		event = ending{
			status: exit.Status, ran: h.Now().Sub(l.started),
			outOfMemory: l.cgroup != nil && l.cgroup.OutOfMemory(), memoryMax: l.manifest.Limits.MemoryMax,
		}.event()
		return nil
	})
	close(l.ended)
	if err := h.clear(l); err != nil {
		event.Kind, event.Reason = lifecycle.Unkillable, fmt.Sprintf("%s, but %v", event.Reason, err)
	}
	deadline := h.Now().Add(pipePatience)
	for _, pipe := range []*os.File{l.pipes.stdout, l.pipes.stderr, l.pipes.notify} {
		pipe.SetReadDeadline(deadline) // only matters if somebody escaped with the other end
	}
	l.copying.Wait()
	l.pipes.close()
	h.bury(l)
	l.last(Report{Event: event})
}

// clear ends what the process left behind. A pid namespace has ended with its
// first process, so its cgroup can be removed later; without one the cgroup
// must be seen empty before the next life may touch the same data.
func (h *Host) clear(l *life) error {
	name := l.manifest.Name
	switch {
	case l.cgroup == nil:
		unix.Kill(-l.process.PID(), unix.SIGKILL) // its process group; there may be nobody left in it
		return nil
	case l.alone.Load():
		h.removeCgroup(name, l.cgroup)
		return nil
	}
	return h.endCgroup(l.cgroup)
}

// lost reports that the kernel does not end what was killed.
func (h *Host) lost(l *life) {
	l.last(Report{Event: lifecycle.Event{
		Kind: lifecycle.Unkillable, Class: lifecycle.ClassHang,
		Reason: fmt.Sprintf("killed, but the kernel did not end it within %v", killPatience),
	}})
}

// bury forgets a life, unless the next one has its place already.
func (h *Host) bury(l *life) {
	close(l.over)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.lives[l.manifest.Name] == l {
		delete(h.lives, l.manifest.Name)
	}
}
