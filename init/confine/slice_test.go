package confine

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"runa/init/manifest"
)

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

func TestEveryLifeHasACgroupOfItsOwn(t *testing.T) {
	s := needSlice(t)
	a, b := s.New("a", manifest.Limits{}), s.New("a", manifest.Limits{})
	if a.Path() != "" || a.Counters() != (Counters{}) || a.Kill() != nil || a.End(t.Context()) != nil {
		t.Error("one in which nothing was started is there")
	}
	first, err := a.make()
	second, err2 := b.make()
	if err = errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	if first == second || !strings.HasPrefix(filepath.Base(first), "a.") {
		t.Errorf("%s and %s", first, second)
	}
	for _, c := range []*Cgroup{a, b} {
		if err := c.End(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestWhatAnEarlierGilgulLeftIsEnded(t *testing.T) {
	s := needSlice(t)
	l := newLauncher(t, Options{})
	spec := shell("exec sleep 1000")
	spec.Cgroup = s.New("a", manifest.Limits{})
	p, err := l.Start(spec)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenSlice(t.Context(), s.Path(), manifest.Limits{}); err != nil {
		t.Fatal(err)
	}
	if exit, err := p.Wait(); err != nil || exit.Status.Signal() != unix.SIGKILL {
		t.Errorf("%+v, %v", exit, err)
	}
	if _, err := os.Stat(spec.Cgroup.Path()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its cgroup: %v", err)
	}
}

func TestCountersAreReadAsTheKernelWritesThem(t *testing.T) {
	c := &Cgroup{path: t.TempDir()}
	if n := c.Counters(); n != (Counters{}) || c.OutOfMemory() {
		t.Errorf("no files: %+v", n)
	}
	c.closeCounters()
	for name, text := range map[string]string{
		"memory.current":  "4096\n",
		"memory.events":   "low 0\nhigh 3\nmax 9\noom 1\noom_kill 2\noom_group_kill 0\n",
		"memory.pressure": "some avg10=1.00 avg60=0.00 avg300=0.00 total=5\nfull avg10=12.50 avg60=0.00 avg300=0.00 total=0\n",
		"pids.current":    "7\n",
		"pids.events":     "max 5\n",
		"cpu.stat":        "usage_usec 1500\nuser_usec 1000\nsystem_usec 500\n",
	} {
		if err := os.WriteFile(filepath.Join(c.path, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := Counters{Memory: 4096, Processes: 7, CPU: 1500 * time.Microsecond, MemoryHigh: 3, OOMKills: 2, PIDsMax: 5, MemoryStalled: 12.5}
	for range 2 { // the second time from files that are open
		if n := c.Counters(); n != want {
			t.Errorf("got  %+v\nwant %+v", n, want)
		}
	}
	if !c.OutOfMemory() || c.Memory() != 4096 {
		t.Error("out of memory")
	}
}

func TestADataFolderIsClosedToOthersAndIsNoLink(t *testing.T) {
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "a"), 0o777); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b", "b"} {
		dir, err := DataFolder(root, name, someUser)
		if err != nil {
			t.Fatal(err)
		}
		var s unix.Stat_t
		if err := unix.Stat(dir, &s); err != nil || s.Mode&0o7777 != 0o700 {
			t.Errorf("%s: mode %o, %v", dir, s.Mode, err)
		}
		if os.Geteuid() == 0 && (s.Uid != someUser || s.Gid != Group) {
			t.Errorf("%s belongs to %d:%d", dir, s.Uid, s.Gid)
		}
	}
	if err := os.Symlink(t.TempDir(), filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	if _, err := DataFolder(root, "link", someUser); err == nil {
		t.Error("a symbolic link was taken for a data folder")
	}
	if _, err := DataFolder(filepath.Join(root, "none"), "a", someUser); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no /data: %v", err)
	}
}
