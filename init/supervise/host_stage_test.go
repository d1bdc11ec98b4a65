package supervise

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"runa/init/confine"
	"runa/init/logring"
	"runa/init/manifest"
)

// programs are built once for all tests of the package.
type programs struct{ enclose, player string }

var (
	build   = sync.OnceValues(buildPrograms)
	builtIn string // the folder, to be removed in the end
)

func buildPrograms() (programs, error) {
	dir, err := os.MkdirTemp("", "runa-supervise-")
	if err != nil {
		return programs{}, err
	}
	builtIn = dir
	p := programs{filepath.Join(dir, "enclose"), filepath.Join(dir, "player")}
	for path, source := range map[string]string{p.enclose: "runa/cmd/enclose", p.player: "./testdata/player"} {
		cmd := exec.Command("go", "build", "-o", path, source)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return programs{}, fmt.Errorf("build %s: %w\n%s", source, err, out)
		}
	}
	return p, os.Chmod(dir, 0o755) // services have users of their own
}

func TestMain(m *testing.M) {
	status := m.Run()
	if builtIn != "" {
		os.RemoveAll(builtIn)
	}
	os.Exit(status)
}

func built(t testing.TB) programs {
	t.Helper()
	p, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// cgroupSlice makes a slice for the test where that is possible: as root with a
// cgroup v2 hierarchy. Elsewhere the services run without.
func cgroupSlice(t testing.TB) *confine.Slice {
	t.Helper()
	if os.Geteuid() != 0 {
		return nil
	}
	for _, mount := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		dir := filepath.Join(mount, fmt.Sprintf("runa-supervise-test-%d", os.Getpid()))
		slice, err := confine.OpenSlice(t.Context(), dir, manifest.Limits{})
		if err != nil {
			continue
		}
		t.Cleanup(func() {
			if err := os.Remove(dir); err != nil {
				t.Errorf("a cgroup was left: %v", err)
			}
		})
		return slice
	}
	t.Log("no cgroup v2 hierarchy here: processes are killed by group")
	return nil
}

// A stage is a supervisor of real processes.
type stage struct {
	*Supervisor
	host   *Host
	events <-chan Change
	t      testing.TB
}

// newHost returns a host with everything but a bus and stores, whose parts end
// with the test.
func newHost(t testing.TB) *Host {
	t.Helper()
	p := built(t)
	slice := cgroupSlice(t)
	reaper := newReaper(t)
	launcher, err := confine.NewLauncher(confine.Options{Enclose: p.enclose, Owns: reaper.Leave})
	if err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(data, 0o711); err != nil {
		t.Fatal(err)
	}
	for parent := filepath.Dir(data); parent != os.TempDir() && parent != "/"; parent = filepath.Dir(parent) {
		os.Chmod(parent, 0o711) // so that another user gets to its folder
	}
	h := &Host{
		Launcher: launcher, Reaper: reaper, Logs: logring.NewSet(logring.Options{}), Slice: slice, DataRoot: data,
		Env:  map[string]string{"RUNA_BUS": "/run/test/bus"},
		User: func(string) (uint32, error) { return 64124, nil },
		Log:  hclog.NewNullLogger(),
	}
	launcher.Prepare(slice)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), soon)
		defer cancel()
		launcher.Close()
		if err := h.Settle(ctx); err != nil {
			t.Error(err)
		}
	})
	return h
}

// perform loads manifests (name to text, PLAYER standing for the program) as
// gilgul does and runs them.
func perform(t testing.TB, h *Host, manifests map[string]string) *stage {
	t.Helper()
	dir := t.TempDir()
	for name, text := range manifests {
		text = strings.ReplaceAll(text, "PLAYER", built(t).player)
		if err := os.WriteFile(filepath.Join(dir, name+".yaml"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	services, errs := manifest.Load(dir)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	services, errs = manifest.Order(services)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	s := &stage{Supervisor: New(services, Options{System: h}), host: h, t: t}
	s.events, _ = s.Events()
	ended := make(chan error, 1)
	go func() { ended <- s.Run(context.Background()) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), soon)
		defer cancel()
		if err := errors.Join(s.Shutdown(ctx), <-ended); err != nil {
			t.Error(err)
		}
	})
	return s
}

// until waits for a service to get into a state and returns that change.
func (s *stage) until(service, state string) Change {
	s.t.Helper()
	return s.untilThat(service+" is "+state, func(c Change) bool { return c.Service == service && c.State == state })
}

func (s *stage) untilThat(what string, is func(Change) bool) Change {
	s.t.Helper()
	timeout := time.After(soon)
	for {
		select {
		case c := <-s.events:
			if is(c) {
				return c
			}
		case <-timeout:
			s.t.Fatalf("it did not happen that %s: %+v\n%v", what, s.Status(), s.logs())
		}
	}
}

func (s *stage) log(service string) []string {
	lines, err := s.host.Logs.Last(service, -1)
	if err != nil {
		return []string{err.Error()}
	}
	var texts []string
	for _, line := range lines {
		texts = append(texts, line.Text)
	}
	return texts
}

// logs is the log of all services together.
func (s *stage) logs() []string { return s.log("") }

// eventually waits for a condition that no event tells of.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(soon); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it did not happen that %s", what)
		}
	}
}
