package supervise

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"runa/init/confine"
	"runa/init/logring"
	"runa/init/manifest"
)

// soon bounds what ought to happen at once, on a machine that is busy.
const soon = 20 * time.Second

func newReaper(t *testing.T) *Reaper {
	t.Helper()
	r := NewReaper(false)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { r.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	return r
}

func TestTheReaperGivesEachChildItsStatus(t *testing.T) {
	r := newReaper(t)
	for i := range 50 {
		// Many end before Command returns: no status may be lost.
		wait, err := r.Command(exec.Command("/bin/sh", "-c", fmt.Sprint("exit ", i)))
		if err != nil {
			t.Fatal(err)
		}
		if status := wait(); status.ExitStatus() != i {
			t.Fatalf("child %d: status %d", i, status.ExitStatus())
		}
	}
	var out strings.Builder
	cmd := exec.Command("/bin/sh", "-c", "echo hello; kill -9 $$")
	cmd.Stdout = &out
	wait, err := r.Command(cmd)
	if err != nil {
		t.Fatal(err)
	}
	if status := wait(); status.Signal() != syscall.SIGKILL || out.String() != "hello\n" {
		t.Fatalf("%v, %q", status, out.String())
	}
	if _, err := r.Command(exec.Command("/nowhere/program")); !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
}

// TestAsPID1EveryOrphanIsReaped runs this test binary again as a subreaper,
// which the kernel gives orphans as it gives them to PID 1.
func TestAsPID1EveryOrphanIsReaped(t *testing.T) {
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestHelperSubreaper$", "-test.v")
	cmd.Env = append(os.Environ(), "RUNA_TEST_SUBREAPER=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "reaped 20 orphans") {
		t.Fatalf("%v\n%s", err, out)
	}
}

func TestHelperSubreaper(t *testing.T) {
	if os.Getenv("RUNA_TEST_SUBREAPER") == "" {
		return // only runs as a child of the test above
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	r := NewReaper(true)
	go r.Run(ctx)
	script := "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do sh -c 'kill -STOP $$; exit 3' & done; exit 7"
	wait, err := r.Command(exec.Command("/bin/sh", "-c", script))
	if err != nil {
		t.Fatal(err)
	}
	if status := wait(); status.ExitStatus() != 7 {
		t.Fatalf("status %d", status.ExitStatus())
	}
	for r.Orphans() < 20 && ctx.Err() == nil {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/children", os.Getpid()))
		for _, pid := range strings.Fields(string(text)) {
			var n int
			fmt.Sscan(pid, &n)
			unix.Kill(n, unix.SIGCONT)
		}
		time.Sleep(time.Millisecond)
	}
	fmt.Printf("reaped %d orphans\n", r.Orphans())
}

// A stage is a supervisor of real processes.
type stage struct {
	*Supervisor
	host   *Host
	events <-chan Change
	t      *testing.T
}

// cgroupSlice makes a slice for the test where that is possible: as root with a
// cgroup v2 hierarchy. Elsewhere the services run without.
func cgroupSlice(t *testing.T) *confine.Slice {
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

// perform loads manifests ("name.yaml" to text) as gilgul does and runs them.
func perform(t *testing.T, manifests map[string]string) *stage {
	t.Helper()
	dir := t.TempDir()
	for name, text := range manifests {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
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
	slice := cgroupSlice(t)
	launcher, err := confine.NewLauncher()
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
	host := &Host{
		Launcher: launcher, Reaper: newReaper(t), Logs: logring.NewSet(logring.Options{}), Slice: slice, DataRoot: data,
		Env:  map[string]string{"PATH": "/bin:/usr/bin", "RUNA_BUS": "/run/test/bus"},
		User: func(string) (uint32, error) { return 64124, nil },
		BeforeReady: func(service string) {
			time.Sleep(50 * time.Millisecond) // long enough for who would not wait
			if err := os.WriteFile(filepath.Join(data, "before-"+service), nil, 0o644); err != nil {
				t.Error(err)
			}
		},
	}
	s := &stage{Supervisor: New(services, Options{System: host}), host: host, t: t}
	s.events, _ = s.Events()
	ended := make(chan error, 1)
	go func() { ended <- s.Run(context.Background()) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), soon)
		defer cancel()
		if err := errors.Join(s.Shutdown(ctx), <-ended); err != nil {
			t.Error(err)
		}
		launcher.Close()
	})
	return s
}

// until waits for a service to get into a state and returns that change.
func (s *stage) until(service, state string) Change {
	s.t.Helper()
	timeout := time.After(soon)
	for {
		select {
		case c := <-s.events:
			if c.Service == service && c.State == state {
				return c
			}
		case <-timeout:
			s.t.Fatalf("%s did not get %s: %+v\n%v", service, state, s.Status(), s.log(service))
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

func TestThreeServicesComeUpLiveAndGoDownAsRealProcesses(t *testing.T) {
	s := perform(t, map[string]string{
		"bus.yaml": `
exec: /bin/sh
args: [-c, 'echo bus up; echo READY=1 >&3; while :; do sleep 1000; done']
ready: {by: notify, timeout: 20s}
`,
		"infer.yaml": `
exec: /bin/sh
args: [-c, 'trap "echo bye; exit 0" TERM; echo "I am $USER in $(pwd), bus $RUNA_BUS, model $MODEL"; echo oops >&2; [ -e ../before-bus ] && echo all was prepared; echo state > mine; echo READY=1 >&$RUNA_NOTIFY_FD; while :; do sleep 1000 & wait; done']
env: {MODEL: stories15m}
needs: [bus]
ready: {by: notify, timeout: 20s}
limits: {memory-max: 64MiB, pids: 16, cpu: 50%}
data: true
`,
		"once.yaml": `
exec: /bin/sh
args: [-c, 'echo done']
needs: [infer]
oneshot: true
`,
	})
	s.until("infer", "waiting")
	s.DataReady(nil)
	s.until("once", "done")
	select {
	case <-s.AllReady():
	case <-time.After(soon):
		t.Fatalf("not all ready: %+v", s.Status())
	}
	dir := filepath.Join(s.host.DataRoot, "infer")
	if text, err := os.ReadFile(filepath.Join(dir, "mine")); err != nil || string(text) != "state\n" {
		t.Errorf("its data: %q, %v", text, err)
	}

	if err := s.Stop("infer"); err != nil {
		t.Fatal(err)
	}
	s.until("infer", "defined")
	got := strings.Join(s.log("infer"), "\n")
	for _, want := range []string{"I am infer in " + dir + ", bus /run/test/bus, model stories15m", "oops", "all was prepared", "bye"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}

	// kill -9 of the one that is needed: back by itself.
	unix.Kill(s.Status()[0].PID, unix.SIGKILL)
	if c := s.until("bus", "waiting"); !strings.HasPrefix(c.Reason, "killed by signal 9 (SIGKILL) after ") {
		t.Errorf("%+v", c)
	}
	if c := s.until("bus", "ready"); c.Restarts != 1 || c.PID == 0 {
		t.Errorf("%+v", c)
	}
}

func TestAnExitsReasonAndLastLineAreThereWhenItIsTold(t *testing.T) {
	s := perform(t, map[string]string{"a.yaml": "exec: /bin/sh\nargs: [-c, 'echo last words; exit 3']\nrestart: {policy: never}\n"})
	if c := s.until("a", "failed"); !strings.HasPrefix(c.Reason, "exited with status 3 after ") {
		t.Errorf("%+v", c)
	}
	if got := s.log("a"); len(got) != 1 || got[0] != "last words" {
		t.Errorf("log %q", got)
	}
}

func TestAProgramThatCannotStartIsToldAndTriedAgain(t *testing.T) {
	s := perform(t, map[string]string{"a.yaml": "exec: /nowhere/program\n"})
	if c := s.until("a", "backoff"); !strings.Contains(c.Reason, "not started: ") || !strings.Contains(c.Reason, "/nowhere/program: no such file or directory") {
		t.Errorf("%+v", c)
	}
}

func TestADeafServiceIsKilledWithItsChildren(t *testing.T) {
	s := perform(t, map[string]string{"a.yaml": `
exec: /bin/sh
args: [-c, 'trap "" TERM; (trap "" TERM; while :; do sleep 1000; done) & echo READY=1 >&3; while :; do sleep 1000; done']
ready: {by: notify, timeout: 20s}
stop: {timeout: 50ms}
`})
	s.until("a", "ready")
	if err := s.Stop("a"); err != nil {
		t.Fatal(err)
	}
	if c := s.until("a", "defined"); c.Reason != "stopped on request; killed: it did not end within 50ms" {
		t.Errorf("%+v", c)
	}
}

func TestManyKillsLeaveNoZombieAndNoCgroup(t *testing.T) {
	s := perform(t, map[string]string{"a.yaml": `
exec: /bin/sh
args: [-c, 'echo READY=1 >&3; exec sleep 1000']
ready: {by: notify, timeout: 20s}
restart: {initial: 1ms, max: 1ms}
`})
	pid := s.until("a", "ready").PID
	for i := range 20 {
		unix.Kill(pid, unix.SIGKILL)
		c := s.until("a", "ready")
		if c.PID == pid || c.Restarts != i+1 {
			t.Fatalf("after kill %d: %+v", i, c)
		}
		pid = c.PID
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/children", os.Getpid()))
	if err != nil || len(strings.Fields(string(children))) > 1 {
		t.Errorf("children %q, %v", children, err)
	}
}
