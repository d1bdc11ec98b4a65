package confine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"runa/init/manifest"
)

// needRoot skips a test whose promise is about privilege.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("this promise is about what root takes away; run the test as root")
	}
}

func newLauncher(t *testing.T) *Launcher {
	t.Helper()
	l, err := NewLauncher()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// run starts a shell script, waits for its end and returns what it wrote.
func run(t *testing.T, spec Spec, script string) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	spec.Exec, spec.Args, spec.Stdout, spec.Stderr, spec.Notify = "/bin/sh", []string{"-c", script}, w, w, w
	if spec.Dir == "" {
		spec.Dir = "/"
	}
	pid, err := newLauncher(t).Start(spec)
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	var status unix.WaitStatus
	if _, err := unix.Wait4(pid, &status, 0, nil); err != nil || status.ExitStatus() != 0 {
		t.Fatalf("status %d, %v:\n%s", status, err, out)
	}
	return string(out)
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
	needRoot(t)
	status := run(t, Spec{UID: 64123}, "cat /proc/self/status")
	for name, want := range map[string]string{
		"Uid": "64123 64123 64123 64123", "Gid": "100 100 100 100", "Groups": "",
		"CapInh": "0000000000000000", "CapPrm": "0000000000000000", "CapEff": "0000000000000000",
		"CapBnd": "0000000000000000", "CapAmb": "0000000000000000", "NoNewPrivs": "1",
	} {
		if got := field(t, status, name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func TestAServiceSeesNoNetworkDeviceButLoWhichIsDown(t *testing.T) {
	needRoot(t)
	out := run(t, Spec{UID: 64123}, "tail -n +3 /proc/net/dev | cut -d: -f1; tail -n +2 /proc/net/route | wc -l; readlink /proc/self/ns/net")
	words := strings.Fields(out)
	own, _ := os.Readlink("/proc/self/ns/net")
	if len(words) != 3 || words[0] != "lo" || words[1] != "0" || words[2] == own {
		t.Fatalf("got %q (the test's own namespace is %s)", words, own)
	}
}

func TestAServiceStartsCleanWhateverGilgulHas(t *testing.T) {
	t.Setenv("SECRET", "leaked")
	dir := t.TempDir()
	service := manifest.Defaults("a")
	service.Env = map[string]string{"B": "2", "LANG": "fi"}
	spec := Spec{
		Env: Environment(service, dir, map[string]string{"RUNA_BUS": "/bus", "B": "1"}), Dir: dir,
		Limits: manifest.Limits{Files: 37}, UID: uint32(os.Geteuid()),
	}
	out := run(t, spec, `pwd; umask; ulimit -n; ulimit -c; ls /proc/$$/fd; ps -o pid=,sid= $$ | { read a b; test $a = $b && echo leads; }; echo $SECRET-$RUNA_NOTIFY_FD`)
	files, core := "37", "0"
	if l := newLauncher(t); !l.limits {
		t.Logf("not shown here: %q", l.Missing())
		shell := strings.Fields(run(t, Spec{UID: spec.UID}, "ulimit -n; ulimit -c"))
		files, core = shell[0], shell[1]
	}
	want := []string{dir, "0077", files, core, "0", "1", "2", "3", "leads", "-3"}
	if got := strings.Fields(out); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	wantEnv := []string{"B=2", "HOME=" + dir, "LANG=fi", "PATH=/bin", "RUNA_BUS=/bus", "RUNA_NOTIFY_FD=3", "RUNA_SERVICE=a", "USER=a"}
	if !slices.Equal(spec.Env, wantEnv) {
		t.Errorf("got  %q\nwant %q", spec.Env, wantEnv)
	}
}

func TestGilgulsOtherThreadsKeepWhatTheyHave(t *testing.T) {
	before, _ := os.ReadFile("/proc/self/status")
	newLauncher(t)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	text, err := os.ReadFile("/proc/thread-self/status")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"CapBnd", "NoNewPrivs", "Umask"} {
		if got, want := field(t, string(text), name), field(t, string(before), name); got != want {
			t.Errorf("%s became %s, was %s", name, got, want)
		}
	}
}

func TestAProgramThatIsNotThereStartsNothing(t *testing.T) {
	_, err := newLauncher(t).Start(Spec{Exec: "/nowhere/program", Dir: "/", UID: uint32(os.Geteuid())})
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "/nowhere/program") {
		t.Fatal(err)
	}
}

func TestADataFolderIsClosedToOthersAndIsNoLink(t *testing.T) {
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "a"), 0o777); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b", "b"} {
		dir, err := DataFolder(root, name, 64123)
		if err != nil {
			t.Fatal(err)
		}
		var s unix.Stat_t
		if err := unix.Stat(dir, &s); err != nil || s.Mode&0o7777 != 0o700 {
			t.Errorf("%s: mode %o, %v", dir, s.Mode, err)
		}
		if os.Geteuid() == 0 && (s.Uid != 64123 || s.Gid != Group) {
			t.Errorf("%s belongs to %d:%d", dir, s.Uid, s.Gid)
		}
	}
	if err := os.Symlink(t.TempDir(), filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	if _, err := DataFolder(root, "link", 64123); err == nil {
		t.Error("a symbolic link was taken for a data folder")
	}
	if _, err := DataFolder(filepath.Join(root, "none"), "a", 64123); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no /data: %v", err)
	}
}

func TestLimitsAreWrittenAsTheKernelReadsThem(t *testing.T) {
	got := limitFiles(manifest.Limits{MemoryHigh: 512 << 20, MemoryMax: 768 << 20, CPU: 150, PIDs: 64, Files: 9, IOWeight: 100})
	want := []limitFile{
		{"memory.high", "536870912"},
		{"memory.max", "805306368"},
		{"cpu.max", "150000 100000"},
		{"pids.max", "64"},
		{"io.weight", "default 100"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if got := limitFiles(manifest.Limits{}); len(got) != 0 {
		t.Errorf("no limits: %v", got)
	}
	if got, want := Share(1000, 2), (manifest.Limits{MemoryMax: 800, CPU: 160, PIDs: 4096}); got != want {
		t.Errorf("share: %+v", got)
	}
}

func TestOnlyARealCgroupFileSystemIsTaken(t *testing.T) {
	_, err := OpenSlice(t.Context(), filepath.Join(t.TempDir(), "runa"), manifest.Limits{})
	if err == nil || !strings.Contains(err.Error(), "not a cgroup v2 file system") {
		t.Fatal(err)
	}
}

func TestOutOfMemoryIsReadFromTheCgroup(t *testing.T) {
	c := &Cgroup{path: t.TempDir()}
	if c.OutOfMemory() || c.Memory() != 0 {
		t.Error("no files")
	}
	for _, f := range []struct {
		events string
		want   bool
	}{{"low 0\nhigh 3\nmax 9\noom 1\noom_kill 0\noom_group_kill 0\n", false}, {"oom 1\noom_kill 2\n", true}} {
		if err := os.WriteFile(filepath.Join(c.path, "memory.events"), []byte(f.events), 0o600); err != nil {
			t.Fatal(err)
		}
		if c.OutOfMemory() != f.want {
			t.Errorf("%q", f.events)
		}
	}
	if err := os.WriteFile(filepath.Join(c.path, "memory.current"), []byte("4096\n"), 0o600); err != nil || c.Memory() != 4096 {
		t.Errorf("memory %d, %v", c.Memory(), err)
	}
}

// cgroup2 finds where this machine has a cgroup v2 hierarchy.
func cgroup2(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		mount, fs, _ := strings.Cut(line, " - ")
		if strings.HasPrefix(fs, "cgroup2 ") {
			return strings.Fields(mount)[4]
		}
	}
	t.Fatal("no cgroup v2 hierarchy is mounted: mount -t cgroup2 none /sys/fs/cgroup")
	return ""
}

func openSlice(t *testing.T) *Slice {
	t.Helper()
	needRoot(t)
	dir := filepath.Join(cgroup2(t), fmt.Sprintf("runa-test-%d", os.Getpid()))
	s, err := OpenSlice(t.Context(), dir, manifest.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(s.removeOld(context.Background()), os.Remove(dir)); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestAProcessIsBornInItsCgroupAndDiesWithAllThatCameOfIt(t *testing.T) {
	slice := openSlice(t)
	cgroup, err := slice.New(t.Context(), "a", manifest.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	// A daemon in a session of its own, deaf to polite signals.
	script := `trap '' TERM HUP; grep ^0: /proc/self/cgroup; setsid sh -c 'trap "" TERM HUP; echo born; while :; do sleep 100; done' & wait`
	pid, err := newLauncher(t).Start(Spec{
		Exec: "/bin/sh", Args: []string{"-c", script}, Dir: "/", UID: 64123, Env: []string{"PATH=/bin:/usr/bin"},
		Cgroup: cgroup, Stdout: w, Stderr: w, Notify: w,
	})
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	var text []byte
	for !strings.Contains(string(text), "born") {
		buffer := make([]byte, 256)
		n, err := r.Read(buffer)
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, buffer[:n]...)
	}
	if want := "0::/" + filepath.Base(slice.path) + "/a\n"; !strings.HasPrefix(string(text), want) {
		t.Errorf("born in %q, want %q", text, want)
	}
	if n := len(cgroup.pids()); n < 2 {
		t.Errorf("%d processes in the cgroup", n)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := cgroup.End(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(cgroup.path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the cgroup is still there: %v", err)
	}
	if _, err := io.ReadAll(r); err != nil { // ends only when no process holds the pipe
		t.Error(err)
	}
	if _, err := unix.Wait4(pid, nil, 0, nil); err != nil {
		t.Error(err)
	}
	if err := cgroup.End(ctx); err != nil {
		t.Errorf("ending it twice: %v", err)
	}
}

func TestACgroupLeftFromAnEarlierLifeIsEndedFirst(t *testing.T) {
	slice := openSlice(t)
	for range 2 {
		if _, err := slice.New(t.Context(), "a", manifest.Limits{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := OpenSlice(t.Context(), slice.path, manifest.Limits{}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(slice.path, "a")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a new gilgul left the old cgroup: %v", err)
	}
}

func TestMissingControllersAreToldAndTheirLimitsLeftOut(t *testing.T) {
	slice := openSlice(t)
	if len(slice.missing)+len(slice.controllers) != 4 {
		t.Errorf("missing %v, there %v", slice.missing, slice.controllers)
	}
	limits := manifest.Limits{MemoryHigh: 32 << 20, MemoryMax: 64 << 20, CPU: 50, PIDs: 8, IOWeight: 100}
	cgroup, err := slice.New(t.Context(), "a", limits)
	if err != nil {
		t.Fatal(err)
	}
	if slice.has("pids") {
		if text, err := os.ReadFile(filepath.Join(cgroup.path, "pids.max")); err != nil || string(text) != "8\n" {
			t.Errorf("pids.max %q, %v", text, err)
		}
	}
}
