package gilgul

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"runa/init/confine"
	"runa/init/console"
	"runa/init/control"
	"runa/init/manifest"
	"runa/init/supervise"
	"runa/services/hint"
	"runa/services/splinter"
)

// Where services are declared and live.
const (
	manifestFolder = "/etc/runa/services"
	servicesCgroup = "/sys/fs/cgroup/runa"
	busFolder      = "/run/runa"
	dataFolder     = "/data"
)

// services are the supervised services, and when all of them were ready.
type services struct {
	supervisor *supervise.Supervisor
	// settled is closed when everything is ready, or when it is clear that it
	// will not be soon.
	settled chan struct{}
	data    chan error // one answer to whether /data is mounted

	mu    sync.Mutex
	after time.Duration // from power-on to everything ready, 0 until then
}

// openServices reads the manifests and makes ready what services need. Nothing
// in it is a reason to stop: each thing that fails is a problem a person is
// told, and what can run does.
func (m *machine) openServices(ctx context.Context) *services {
	s := &services{settled: make(chan struct{}), data: make(chan error, 1)}
	m.makeBusFolder()
	host := &supervise.Host{
		Reaper: m.reaper, Logs: m.logs, DataRoot: dataFolder,
		Env:  map[string]string{"RUNA_BUS": splinter.DefaultPath},
		User: manifest.SystemUser,
	}
	declared := m.readManifests()
	var err error
	if host.Slice, err = openSlice(ctx); err != nil {
		m.problem("limit the services", err)
	} else if missing := host.Slice.Missing(); len(missing) > 0 {
		m.log.Warn("some limits of services are not in force", "controllers", missing)
	}
	if host.Launcher, err = confine.NewLauncher(); err != nil {
		m.problem("start services", err)
		declared = nil // without confinement none is started
	} else if missing := host.Launcher.Missing(); len(missing) > 0 {
		m.log.Warn("services are confined less than they should be", "missing", missing)
	}
	grants, err := grantsOf(declared, manifest.SystemUser)
	if err != nil {
		m.problem("grant rights on the bus", err)
	}
	b := newBus(splinter.DefaultPath, m.log, grants)
	host.BeforeReady = b.prepare
	s.supervisor = supervise.New(declared, supervise.Options{
		System: host, Log: m.log, OnChange: b.changed,
		ForgetBusKey: b.forget, WaitBusKey: b.wait,
	})
	return s
}

// openSlice makes the group of all services, which leaves the console its share.
func openSlice(ctx context.Context) (*confine.Slice, error) {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return nil, fmt.Errorf("ask for the size of memory: %w", err)
	}
	memory := uint64(info.Totalram) * uint64(info.Unit)
	return confine.OpenSlice(ctx, servicesCgroup, confine.Share(memory, runtime.NumCPU()))
}

// readManifests returns the services that can be started, in their order.
func (m *machine) readManifests() []manifest.Service {
	declared, errs := manifest.Load(manifestFolder)
	var usable []manifest.Service
	for _, s := range declared {
		if err := manifest.Check(s, os.DirFS("/"), manifest.SystemUser); err != nil {
			errs = append(errs, err)
			continue
		}
		usable = append(usable, s)
	}
	ordered, wrong := manifest.Order(usable)
	for _, err := range append(errs, wrong...) {
		m.problem("service manifest", err)
	}
	return ordered
}

// makeBusFolder lets the bus's service, and nobody else, make the bus.
func (m *machine) makeBusFolder() {
	uid, err := manifest.SystemUser(busService)
	if err == nil {
		err = os.MkdirAll(busFolder, 0o750)
	}
	if err == nil {
		err = os.Chown(busFolder, int(uid), groupRuna)
	}
	if err != nil {
		m.problem("make the bus's folder", err)
	}
}

// run looks after the services until they were shut down.
func (s *services) run(ctx context.Context) error {
	go s.settle(ctx)
	return s.supervisor.Run(ctx)
}

// soon is how long services without data may still take after it is known
// that there is no data.
const soon = 2 * time.Second

// settle passes on whether there is data and notices when the start is over.
func (s *services) settle(ctx context.Context) {
	defer close(s.settled)
	var limit <-chan time.Time
	select {
	case err := <-s.data:
		s.supervisor.DataReady(err)
		if err != nil {
			limit = time.After(soon)
		}
	case <-ctx.Done():
		return
	}
	select {
	case <-s.supervisor.AllReady():
		s.noteReady()
	case <-limit:
		go func() { // it may still get ready later
			select {
			case <-s.supervisor.AllReady():
				s.noteReady()
			case <-ctx.Done():
			}
		}()
	case <-ctx.Done():
	}
}

func (s *services) noteReady() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.after = uptime()
}

// dataIsThere is told once whether /data is mounted.
func (s *services) dataIsThere(err error) { s.data <- err }

func (s *services) readyAfter() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.after
}

func (s *services) status() []control.ServiceStatus { return s.supervisor.Status() }

func (s *services) lines() []console.Service {
	var lines []console.Service
	for _, one := range s.status() {
		lines = append(lines, console.Service{Name: one.Name, State: one.State, Reason: one.Reason})
	}
	return lines
}

func (s *services) request(name, action string) error {
	switch action {
	case control.Start:
		return s.supervisor.Start(name)
	case control.Stop:
		return s.supervisor.Stop(name)
	case control.Restart:
		return s.supervisor.Restart(name)
	}
	return hint.New(fmt.Errorf("%w: action %q", errors.ErrUnsupported, action), "use start, stop or restart")
}
