// Package assembly puts together what keeps services alive: manifests, launcher,
// cgroups, supervisor, the place on the bus, the stores of versions and states,
// and the answers to what is asked of them. There is one assembly for PID 1
// (package gilgul) and for user mode (package usermode); they differ in where
// things are (Config), never in what is done. It must decide nothing that one
// of its parts could decide.
package assembly

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"runa/init/confine"
	"runa/init/contain"
	"runa/init/control"
	"runa/init/guardedbus"
	"runa/init/logring"
	"runa/init/manifest"
	"runa/init/snapshot"
	"runa/init/supervise"
	"runa/init/version"
	"runa/services/splinter"
)

// BusService is the service that makes the bus.
const BusService = "splinter"

// Config says where things are and who is told what.
type Config struct {
	Manifests string // folder of NAME.yaml
	Root      fs.FS  // the system, in which programs are looked for
	Data      string // folder of the services' data folders, such as /data
	Bus       string // path of the bus's file; its folder is shown to every service
	Cgroup    string // of all services; "": none is to be had
	Share     manifest.Limits
	Enclose   string            // path of the program enclose
	Env       map[string]string // given to every service beside RUNA_BUS
	User      func(name string) (uint32, error)
	Grants    map[uint32]splinter.Rights // on the bus, beside what manifests say
	Reaper    *supervise.Reaper
	Logs      *logring.Set
	Log       hclog.Logger
	Uptime    func() time.Duration
	Problem   func(what string, err error) // a person is told
}

// Services are the supervised services and what is known of them. Before Open only
// DataIsThere, Settled and ReadyAfter may be used.
type Services struct {
	Supervisor *supervise.Supervisor

	config  Config
	host    *supervise.Host
	bus     *guardedbus.Bus
	events  *events
	missing []string // what could not be confined
	settled chan struct{}
	data    chan error // one answer to whether /data is there

	mu    sync.Mutex
	after time.Duration // from the start to everything ready, 0 until then
}

// New does nothing yet: it takes no time that a person at the console would wait for.
func New(c Config) *Services {
	return &Services{config: c, settled: make(chan struct{}), data: make(chan error, 1), events: newEvents()}
}

// Open reads the manifests and makes ready what services need. Nothing in it is
// a reason to stop: each thing that fails is a problem a person is told, and
// what can run does.
func (s *Services) Open(ctx context.Context) {
	c := s.config
	declared := s.readManifests()
	s.host = &supervise.Host{
		Reaper: c.Reaper, Logs: c.Logs, Log: c.Log, DataRoot: c.Data, User: c.User,
		Env: withBus(c.Env, c.Bus), BusFolder: filepath.Dir(c.Bus),
	}
	s.openSlice(ctx)
	if !s.openLauncher() {
		declared = nil // without confinement none is started
	}
	grants, err := grantsOf(declared, c.User, c.Grants)
	if err != nil {
		c.Problem("grant rights on the bus", err)
	}
	s.bus = guardedbus.New(c.Bus, BusService, c.Log, grants)
	s.host.Bus = s.bus
	s.host.BeforeReady = s.bus.Prepare
	s.Supervisor = supervise.New(declared, supervise.Options{
		System: s.host, Log: c.Log, OnChange: s.changed,
		ForgetBusKey: s.bus.ForgetKey, WaitBusKey: s.bus.WaitKey,
	})
}

func withBus(env map[string]string, path string) map[string]string {
	all := map[string]string{"RUNA_BUS": path}
	for name, value := range env {
		all[name] = value
	}
	return all
}

func (s *Services) openSlice(ctx context.Context) {
	if s.config.Cgroup == "" {
		s.missing = append(s.missing, "limits of memory, processor and processes (no cgroup of our own)")
		return
	}
	slice, err := confine.OpenSlice(ctx, s.config.Cgroup, s.config.Share)
	if err != nil {
		s.config.Problem("limit the services", err)
		return
	}
	s.host.Slice = slice
	for _, controller := range slice.Missing() {
		s.missing = append(s.missing, "limits of "+controller+" (the kernel does not lend us that controller)")
	}
}

func (s *Services) openLauncher() bool {
	launcher, err := confine.NewLauncher(confine.Options{Enclose: s.config.Enclose, Refused: s.refused, Log: s.config.Log, Owns: s.config.Reaper.Leave})
	if err != nil {
		s.config.Problem("start services", err)
		return false
	}
	s.host.Launcher = launcher
	launcher.Prepare(s.host.Slice)
	s.missing = append(s.missing, launcher.Missing()...)
	return true
}

// refused logs what a service tried and may not: the rule's name and what
// kind of thing it was, never what it would have said there.
func (s *Services) refused(r confine.Refusal) {
	s.config.Log.Warn("a service was refused", "service", r.Service, "rule", r.Rule, "detail", r.Detail, "times", r.Count)
}

// Run looks after the services until they were shut down or the context ends.
func (s *Services) Run(ctx context.Context) error {
	for _, what := range s.missing {
		s.config.Log.Warn("not confined: " + what)
	}
	contain.Go("notice when everything is ready", func() { s.settle(ctx) })
	contain.Go("watch the machine's health", func() { s.host.WatchHealth(ctx) })
	return s.Supervisor.Run(ctx)
}

// Shutdown ends all services in reverse order of their needs, then what gilgul
// holds on their behalf: nothing of it is left when it returns.
func (s *Services) Shutdown(ctx context.Context) error {
	err := s.Supervisor.Shutdown(ctx)
	if s.host.Launcher != nil {
		s.host.Launcher.Close()
	}
	s.bus.Close()
	return errors.Join(err, s.host.Settle(ctx))
}

// soon is how long services without data may still take after it is known that
// there is no data.
const soon = 2 * time.Second

// settle passes on whether there is data and notices when the start is over.
func (s *Services) settle(ctx context.Context) {
	defer close(s.settled)
	var limit <-chan time.Time
	select {
	case err := <-s.data:
		if err == nil {
			s.openStores()
		}
		s.Supervisor.DataReady(err)
		if err != nil {
			limit = time.After(soon)
		}
	case <-ctx.Done():
		return
	}
	select {
	case <-s.Supervisor.AllReady():
		s.noteReady()
	case <-limit:
		contain.Go("notice when everything is ready", func() { // it may still get ready later
			select {
			case <-s.Supervisor.AllReady():
				s.noteReady()
			case <-ctx.Done():
			}
		})
	case <-ctx.Done():
	}
}

// openStores gives the host its stores on /data. Without them nothing is set
// aside and nothing updated; everything else goes on.
func (s *Services) openStores() {
	root := filepath.Join(s.config.Data, "gilgul")
	snapshots, versions := snapshot.Open(filepath.Join(root, "snapshots")), version.Open(filepath.Join(root, "versions"))
	snapshots.Log, versions.Log = s.config.Log, s.config.Log
	s.host.SetState(snapshots, versions)
}

func (s *Services) noteReady() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.after = s.config.Uptime()
}

// DataIsThere is told once whether the data folder is there.
func (s *Services) DataIsThere(err error) { s.data <- err }

// Settled is closed when everything is ready, or when it is clear that it will
// not be soon.
func (s *Services) Settled() <-chan struct{} { return s.settled }

// ReadyAfter is how long it took until everything was ready; 0 if it isn't yet.
func (s *Services) ReadyAfter() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.after
}

// Pressure is how much programs have to wait on this machine now, in per cent.
func (s *Services) Pressure() control.Pressure {
	p := s.host.Pressure()
	return control.Pressure{CPU: p.CPU, Memory: p.Memory, IO: p.IO}
}

// NotConfined lists what could not be confined here, in plain words.
func (s *Services) NotConfined() []string { return s.missing }
