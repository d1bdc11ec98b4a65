// Package usermode runs gilgul as an ordinary user's service manager on a plain
// Linux: the same supervision, health and confinement as on the appliance, as
// far as the kernel lets an ordinary user have them. What can't be had is said
// once, plainly. It owns where a user's files lie; it must never ask for root,
// touch a network interface or leave a process behind.
package usermode

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"

	"runa/init/assembly"
	"runa/init/contain"
	"runa/init/control"
	"runa/init/logring"
	"runa/init/supervise"
	"runa/services/hint"
	"runa/services/splinter"
)

// Options are what a person may say.
type Options struct {
	Version   string
	Libraries string // folder of llama.cpp's libraries, for the manifests that are written
	Models    string // folder of models, likewise
	Env       func(string) string
	Out       io.Writer // what a person is told
}

// shutdownBound is how long the services may take to end.
const shutdownBound = 60 * time.Second

// Run keeps the user's services running until the context ends, a signal asks
// for it, or `runa poweroff` does.
func Run(ctx context.Context, o Options) error {
	if os.Geteuid() == 0 {
		return hint.New(errors.New("run as a user's service manager: this is root"), "start it as an ordinary user; as PID 1 it needs no --user")
	}
	places, err := placesOf(o.Env)
	if err != nil {
		return err
	}
	if err := places.make(); err != nil {
		return err
	}
	lock, err := places.lock()
	if err != nil {
		return err
	}
	defer lock.Close()
	if _, err := WriteManifests(places, o); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, unix.SIGINT, unix.SIGTERM)
	defer stop()
	m := &manager{options: o, places: places, ends: make(chan struct{}, 1), began: time.Now(), logs: logring.NewSet(logring.Options{})}
	m.log = hclog.New(&hclog.LoggerOptions{Name: logName, Level: hclog.Info, Output: m.logs.Ring(logName).Writer(), DisableTime: true})
	return m.run(ctx)
}

// logName is the name under which gilgul's own log is kept.
const logName = "gilgul"

// manager is a running user's gilgul.
type manager struct {
	options  Options
	places   Places
	began    time.Time
	log      hclog.Logger
	logs     *logring.Set
	ends     chan struct{}
	problems problems
	*assembly.Services
}

func (m *manager) run(ctx context.Context) error {
	inner, cancel := context.WithCancel(context.Background())
	defer cancel()
	contain.Report(func(p *contain.Panic) {
		m.log.Error("a defect in gilgul was contained", "duty", p.Name, "reason", fmt.Sprint(p.Value))
	})
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become the parent of orphaned services: %w", err)
	}
	reaper := supervise.NewReaper(true)
	contain.Go("wait for children", func() { reaper.Run(inner) })
	m.Services = assembly.New(assembly.Config{
		Manifests: m.places.Manifests, Root: os.DirFS("/"), Data: m.places.Data, Bus: m.places.Bus,
		Cgroup: ownCgroup(), Enclose: m.places.program("enclose"),
		User:   func(string) (uint32, error) { return uint32(os.Getuid()), nil },
		Grants: map[uint32]splinter.Rights{uint32(os.Getuid()): everything},
		Reaper: reaper, Logs: m.logs, Log: m.log,
		Uptime: func() time.Duration { return time.Since(m.began) }, Problem: m.problem,
	})
	m.Open(inner)
	listener, err := control.Listen(m.places.Control)
	if err != nil {
		return err
	}
	defer os.Remove(m.places.Control) // by which commands see that gilgul has ended
	contain.Go("answer commands", func() {
		if err := control.Serve(inner, listener, m, peerOf); err != nil && inner.Err() == nil {
			m.problem("answer commands", err)
		}
	})
	m.tell()
	finished := make(chan error, 1)
	contain.Go("run the services", func() { finished <- m.Services.Run(inner) })
	m.DataIsThere(nil)
	contain.Go("tell when all is ready", func() { m.tellReady(inner) })
	select {
	case <-ctx.Done():
	case <-m.ends:
	case err := <-finished:
		return fmt.Errorf("run the services: %w", err)
	}
	fmt.Fprintln(m.options.Out, "gilgul: ending the services")
	bounded, release := context.WithTimeout(context.Background(), shutdownBound)
	defer release()
	return m.Shutdown(bounded)
}

// everything is what the user may do on the bus of their own.
var everything = splinter.Rights{
	Read:  []string{"key:*", "topic:*", "name:*"},
	Write: []string{"key:*", "topic:*", "name:*"},
}

// tell says where things are and, once, what could not be confined.
func (m *manager) tell() {
	out := m.options.Out
	fmt.Fprintf(out, "gilgul %s looks after your services in %s\n", m.options.Version, m.places.Manifests)
	for _, what := range m.NotConfined() {
		fmt.Fprintf(out, "not confined: %s\n", what)
	}
	fmt.Fprintf(out, "ask it from another terminal:\n  export RUNA_CONTROL=%s RUNA_BUS=%s RUNA_IMPORT=%s\n  runa status\n",
		m.places.Control, m.places.Bus, m.places.imports())
}

func (m *manager) tellReady(ctx context.Context) {
	select {
	case <-m.Settled():
		if after := m.ReadyAfter(); after > 0 {
			fmt.Fprintf(m.options.Out, "everything was ready after %v\n", after.Round(time.Millisecond))
		}
	case <-ctx.Done():
	}
}

func (m *manager) problem(what string, err error) {
	m.log.Error(what, "reason", err, "hint", hint.Of(err))
	m.problems.add(control.Problem{What: what, Why: err.Error(), Hint: hint.Of(err)})
	fmt.Fprintf(m.options.Out, "problem: %s: %v\n", what, err)
}

// Init writes the manifests that are missing and tells which.
func Init(o Options) error {
	places, err := placesOf(o.Env)
	if err == nil {
		err = places.make()
	}
	if err != nil {
		return err
	}
	wrote, err := WriteManifests(places, o)
	for _, path := range wrote {
		fmt.Fprintln(o.Out, path)
	}
	if err == nil && len(wrote) == 0 {
		fmt.Fprintf(o.Out, "all manifests are there already, in %s\n", places.Manifests)
	}
	return err
}

// WriteManifests writes the manifests of Runa's own services where there is none
// of that name, and returns the paths of those it wrote. A person may change them.
func WriteManifests(p Places, o Options) ([]string, error) {
	values := map[string]string{"@BIN@": p.Programs, "@LIBRARIES@": o.Libraries, "@MODELS@": o.Models}
	if values["@LIBRARIES@"] == "" {
		values["@LIBRARIES@"] = "/usr/lib/llama"
	}
	if values["@MODELS@"] == "" {
		values["@MODELS@"] = filepath.Join(p.Data, "models")
		if err := os.MkdirAll(values["@MODELS@"], 0o700); err != nil {
			return nil, fmt.Errorf("make the folder of models: %w", err)
		}
	}
	values["@IMPORT@"] = p.imports()
	if err := os.MkdirAll(values["@IMPORT@"], 0o700); err != nil {
		return nil, fmt.Errorf("make the folder that models are added from: %w", err)
	}
	return writeManifests(p.Manifests, values)
}

var _ control.Backend = (*manager)(nil)
