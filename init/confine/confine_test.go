package confine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"runa/init/confine/enclosure"
	"runa/init/confine/hostile"
	"runa/init/confine/seccomp"
	"runa/init/manifest"
)

// TestMain lets this binary be the program enclose of its own launchers, and
// the hostile service.
func TestMain(m *testing.M) {
	if enclosure.Called() {
		os.Exit(enclosure.Main())
	}
	if len(os.Args) == 2 {
		switch os.Args[1] {
		case "hostile":
			os.Exit(min(hostile.Run(os.Stdout), 100))
		case hostile.Nothing:
			hostile.Wait()
		}
	}
	os.Exit(m.Run())
}

// soon bounds what ought to happen at once, on a machine that is busy.
const soon = 60 * time.Second

// someUser is nobody's uid.
const someUser = 64123

// needRoot skips a test whose promise is about privilege.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("this promise is about what root takes away; run the test as root")
	}
}

func newLauncher(t testing.TB, o Options) *Launcher {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	o.Enclose = self
	l, err := NewLauncher(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

var sliceCount atomic.Int32

// testSlice makes a slice where that is possible: as root with a cgroup v2
// hierarchy. Elsewhere it is nil.
func testSlice(t testing.TB) *Slice {
	t.Helper()
	if os.Geteuid() != 0 {
		return nil
	}
	for _, mount := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		dir := filepath.Join(mount, fmt.Sprintf("runa-confine-test-%d-%d", os.Getpid(), sliceCount.Add(1)))
		slice, err := OpenSlice(t.Context(), dir, manifest.Limits{})
		if err != nil {
			continue
		}
		t.Cleanup(func() {
			if err := errors.Join(slice.Wait(context.Background()), os.Remove(dir)); err != nil {
				t.Errorf("a cgroup was left: %v", err)
			}
		})
		return slice
	}
	t.Log("no cgroup v2 hierarchy here")
	return nil
}

// needSlice makes a slice for a test whose promise is about cgroups. Only root may
// make them, and a kernel may have none of version 2.
func needSlice(t *testing.T) *Slice {
	t.Helper()
	needRoot(t)
	slice := testSlice(t)
	if slice == nil {
		t.Skip("this machine lets nobody make cgroups: it has no cgroup v2 hierarchy that can be written")
	}
	return slice
}

// openDir is a folder that every user can get to.
func openDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for parent := dir; parent != os.TempDir() && parent != "/"; parent = filepath.Dir(parent) {
		if err := os.Chmod(parent, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// shell is a spec that runs a script with this machine's tools.
func shell(script string) Spec {
	return Spec{
		Service: "test", Exec: "/bin/sh", Args: []string{"-c", script}, UID: someUser, Env: []string{"PATH=/usr/bin:/bin"},
		Confine: manifest.Confine{Read: []string{"/bin", "/usr/bin"}},
	}
}

// output starts a spec, waits for its end and returns what it wrote.
func output(t *testing.T, l *Launcher, spec Spec) (string, Exit) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	spec.Stdout, spec.Stderr, spec.Notify = w, w, w
	p, err := l.Start(spec)
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	exit, err := p.Wait()
	if err != nil {
		t.Fatal(err)
	}
	return string(out), exit
}

// field is the value of a line "Name:\tvalue" as in /proc/self/status.
func field(t *testing.T, text, name string) string {
	t.Helper()
	for line := range strings.Lines(text) {
		if value, found := strings.CutPrefix(line, name+":"); found {
			return strings.Join(strings.Fields(value), " ")
		}
	}
	t.Fatalf("no %s in\n%s", name, text)
	return ""
}

func TestAServiceHasNoPrivilegesAndCannotGainAny(t *testing.T) {
	status, _ := output(t, newLauncher(t, Options{}), shell("exec cat /proc/self/status"))
	want := map[string]string{
		"Pid": "1", "CapInh": "0000000000000000", "CapPrm": "0000000000000000", "CapEff": "0000000000000000",
		"CapBnd": "0000000000000000", "CapAmb": "0000000000000000", "NoNewPrivs": "1", "Seccomp": "2", "Umask": "0077",
	}
	if os.Geteuid() == 0 {
		want["Uid"], want["Gid"], want["Groups"] = "64123 64123 64123 64123", "100 100 100 100", ""
	}
	for name, value := range want {
		if got := field(t, status, name); got != value {
			t.Errorf("%s: got %q, want %q", name, got, value)
		}
	}
}

func TestAServiceSeesNoNetworkDeviceButLoWhichIsDown(t *testing.T) {
	out, _ := output(t, newLauncher(t, Options{}), shell("tail -n +3 /proc/net/dev | cut -d: -f1; tail -n +2 /proc/net/route | wc -l; readlink /proc/self/ns/net"))
	words := strings.Fields(out)
	own, _ := os.Readlink("/proc/self/ns/net")
	if len(words) != 3 || words[0] != "lo" || words[1] != "0" || words[2] == own {
		t.Fatalf("got %q (the test's own namespace is %s)", words, own)
	}
}

func TestAServiceStartsCleanWhateverGilgulHas(t *testing.T) {
	t.Setenv("SECRET", "leaked")
	stray, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer stray.Close()
	service := manifest.Defaults("a")
	service.Env = map[string]string{"B": "2", "LANG": "fi"}
	spec := shell(`pwd; umask; ulimit -n; ulimit -c; ls /proc/self/fd | wc -l; ps -o pid=,sid= $$ | { read a b; test $a = $b && echo leads; }; echo $SECRET-$RUNA_NOTIFY_FD`)
	spec.Env = Environment(service, "/tmp", map[string]string{"RUNA_BUS": "/bus", "B": "1"})
	wantEnv := []string{"B=2", "HOME=/tmp", "LANG=fi", "PATH=/bin", "RUNA_BUS=/bus", "RUNA_NOTIFY_FD=3", "RUNA_SERVICE=a", "USER=a"}
	if !slices.Equal(spec.Env, wantEnv) {
		t.Errorf("got  %q\nwant %q", spec.Env, wantEnv)
	}
	spec.Dir, spec.Limits.Files = "/tmp", 37
	out, _ := output(t, newLauncher(t, Options{}), spec)
	// Five descriptors: the four it is given and the one with which ls reads.
	if got, want := strings.Fields(out), []string{"/tmp", "0077", "37", "0", "5", "leads", "-3"}; !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// view is what a script that looks around finds: a line for each thing that
// it can do.
const look = `
for f in read/file data/file bus/file other/file; do cat "$D/$f" 2>/dev/null; done
for d in read data bus other; do echo x 2>/dev/null >"$D/$d/new" && echo "wrote $d"; done
echo x 2>/dev/null >/tmp/new && echo wrote tmp
echo x 2>/dev/null >/new && echo wrote root
for d in "$D/data" /tmp; do cp /bin/true $d/true 2>/dev/null; $d/true 2>/dev/null && echo "ran $d/true"; done
test -c /dev/null && echo x >/dev/null && head -c1 /dev/urandom >/dev/null && echo devices
grep -q MemTotal /proc/meminfo && echo meminfo
true
`

func lookAround(t *testing.T) (Spec, string) {
	t.Helper()
	dir := openDir(t)
	for _, name := range []string{"read", "data", "bus", "other"} {
		folder := filepath.Join(dir, name)
		if err := os.Mkdir(folder, 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(folder, 0o777); err != nil { // only confinement keeps it from the others
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, "file"), []byte("read "+name+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	spec := shell("D=" + dir + look)
	spec.DataFolder, spec.BusFolder = filepath.Join(dir, "data"), filepath.Join(dir, "bus")
	spec.Confine.Read = append(spec.Confine.Read, filepath.Join(dir, "read"), "/nowhere/at-all")
	return spec, dir
}

func TestAServiceSeesOnlyWhatItNeeds(t *testing.T) {
	spec, _ := lookAround(t)
	out, _ := output(t, newLauncher(t, Options{}), spec)
	want := "read read\nread data\nread bus\nwrote data\nwrote bus\nwrote tmp\ndevices\nmeminfo\n"
	if out != want {
		t.Errorf("got\n%s\nwant\n%s", out, want)
	}
}

// Where a system gives its users no namespaces.
func TestWithoutNamespacesLandlockAndTheFilterRemain(t *testing.T) {
	l := newLauncher(t, Options{})
	l.can.root, l.can.namespaces = false, false
	l.can.why = fmt.Errorf("clone: %w", syscall.EPERM)
	if got := strings.Join(l.Missing(), "\n"); !strings.Contains(got, "gives its users no namespaces: operation not permitted") {
		t.Errorf("missing: %q", got)
	}
	spec, _ := lookAround(t)
	out, _ := output(t, l, spec)
	// Its own folders can hold programs: no mount of its own forbids it, and
	// Landlock lets it run nothing of them either.
	if want := "read read\nread data\nread bus\nwrote data\nwrote bus\ndevices\nmeminfo\n"; out != want {
		t.Errorf("got\n%s\nwant\n%s", out, want)
	}
	out, _ = output(t, l, shell("grep -e Seccomp: -e NoNewPrivs: -e CapEff: /proc/self/status; unshare -U true 2>&1"))
	if !strings.Contains(out, "CapEff:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n") || !strings.Contains(out, "not permitted") {
		t.Errorf("got %s", out)
	}
}

func TestNothingIsStartedIfAnyStepOfConfiningFails(t *testing.T) {
	dir := openDir(t)
	notExecutable, garbage := filepath.Join(dir, "plain"), filepath.Join(dir, "garbage")
	if err := errors.Join(os.WriteFile(notExecutable, []byte("x"), 0o644), os.WriteFile(garbage, []byte("x"), 0o755)); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	l := newLauncher(t, Options{})
	for _, c := range []struct {
		name   string
		change func(*Spec)
		want   string
		cause  error
	}{
		{"no program", func(s *Spec) { s.Exec = "/nowhere/program" }, "/nowhere/program: no such file or directory", os.ErrNotExist},
		{"not executable", func(s *Spec) { s.Program = notExecutable }, "run /bin/sh: permission denied", os.ErrPermission},
		{"no format", func(s *Spec) { s.Program = garbage }, "run /bin/sh: exec format error", syscall.ENOEXEC},
		{"no folder", func(s *Spec) { s.Dir = "/nowhere" }, "go to its folder /nowhere: no such file or directory", os.ErrNotExist},
		{"relative folder", func(s *Spec) { s.Dir = "a" }, `dir: "a" is not a clean absolute path`, nil},
		{"unknown profile", func(s *Spec) { s.Confine.Seccomp = "all" }, `no profile "all"`, nil},
		{"long environment", func(s *Spec) { s.Env = []string{"A=" + strings.Repeat("x", enclosure.MaxOrders)} }, "too long", nil},
		{"zero byte", func(s *Spec) { s.Args = []string{"a\x00b"} }, "a zero byte", nil},
		{"a link the service could have laid", func(s *Spec) { s.DataFolder = filepath.Join(dir, "link") }, "too many levels of symbolic links", syscall.ELOOP},
	} {
		spec := shell("true")
		c.change(&spec)
		p, err := l.Start(spec)
		if err == nil {
			p.Wait()
			t.Errorf("%s: it was started", c.name)
			continue
		}
		if !strings.Contains(err.Error(), c.want) || c.cause != nil && !errors.Is(err, c.cause) {
			t.Errorf("%s: got %q, want %q", c.name, err, c.want)
		}
	}
	if len(l.owned) != 0 {
		t.Errorf("children were left: %v", l.owned)
	}
}

func TestAnotherFileMayStandForTheProgram(t *testing.T) {
	dir := t.TempDir() // closed to the service's user, as the folder of versions is
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(dir, "version-2")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho \"$0 $1\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	spec := shell("")
	spec.Exec, spec.Program, spec.Args = "/bin/service", script, []string{"argument"}
	spec.Confine.Read = nil
	if out, _ := output(t, newLauncher(t, Options{}), spec); out != "/bin/service argument\n" {
		t.Errorf("got %q", out)
	}
}

func TestWaitTellsHowItEndedToEverybody(t *testing.T) {
	l := newLauncher(t, Options{})
	for _, c := range []struct {
		script string
		signal syscall.Signal
		want   string
	}{{"exit 3", 0, "exit status 3"}, {"exec sleep 1000", syscall.SIGKILL, "signal: killed"}} {
		p, err := l.Start(shell(c.script))
		if err != nil {
			t.Fatal(err)
		}
		if !l.Owns(p.PID()) {
			t.Errorf("process %d is nobody's", p.PID())
		}
		if c.signal != 0 {
			if err := p.Signal(c.signal); err != nil {
				t.Error(err)
			}
		}
		var waiting sync.WaitGroup
		for range 3 {
			waiting.Go(func() {
				exit, err := p.Wait()
				if got := statusText(exit.Status); err != nil || got != c.want {
					t.Errorf("%s: %s, %v", c.script, got, err)
				}
			})
		}
		waiting.Wait()
		if err := p.Signal(syscall.SIGTERM); !errors.Is(err, os.ErrProcessDone) {
			t.Errorf("signal after the end: %v", err)
		}
		if l.Owns(p.PID()) {
			t.Error("it is still owned")
		}
	}
}

func statusText(s syscall.WaitStatus) string {
	if s.Signaled() {
		return "signal: " + s.Signal().String()
	}
	return fmt.Sprintf("exit status %d", s.ExitStatus())
}

func TestRunEndsWithItsContext(t *testing.T) {
	l := newLauncher(t, Options{})
	if exit, err := l.Run(t.Context(), shell("exit 7")); err != nil || exit.Status.ExitStatus() != 7 {
		t.Errorf("%+v, %v", exit, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Run(ctx, shell("exec sleep 1000")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestTheProfilesHaveTheNamesOfManifests(t *testing.T) {
	if seccomp.Service != manifest.ProfileService || seccomp.Inference != manifest.ProfileInference {
		t.Error("they differ")
	}
}
