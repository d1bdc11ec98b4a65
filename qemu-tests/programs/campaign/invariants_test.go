package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"runa/init/control"
)

func TestAZombieIsSeenWhateverItsNameIs(t *testing.T) {
	for stat, want := range map[string]bool{
		"12 (faulty) Z 1 12 12 0":      true,
		"12 (a) Z (b)) S 1 12 12 0":    false,
		"12 (x) S) Z 1 12 12 0":        true,
		"1 (gilgul) S 0 1 1 0 -1 4194": false,
	} {
		if got := isZombie(stat); got != want {
			t.Errorf("%q: %v", stat, got)
		}
	}
	proc := t.TempDir()
	write(t, filepath.Join(proc, "7", "stat"), "7 (sh) S 1")
	if err := noZombie(proc)(t.Context()); err != nil {
		t.Error(err)
	}
	write(t, filepath.Join(proc, "8", "stat"), "8 (sh) Z 1")
	if err := noZombie(proc)(t.Context()); err == nil || !strings.Contains(err.Error(), "8 (sh) Z") {
		t.Errorf("got %v", err)
	}
}

func TestEveryGroupBelowIsCountedWithItsProcesses(t *testing.T) {
	root := t.TempDir()
	write(t, filepath.Join(root, "cgroup.procs"), "")
	write(t, filepath.Join(root, "faulty-a.1", "cgroup.procs"), "12\n13\n")
	write(t, filepath.Join(root, "faulty-a.1", "inner", "cgroup.procs"), "")
	groups, err := cgroups(root)
	if got := strings.Join(groups, ", "); err != nil || got != "faulty-a.1 (2 processes), faulty-a.1/inner (0 processes)" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestOnlyTheHurtServiceMayBeginANewLife(t *testing.T) {
	status := func(pids ...int) control.Status {
		return control.Status{Services: []control.ServiceStatus{
			{Name: "a", PID: pids[0]}, {Name: "b", PID: pids[1], Needs: []string{"a"}}, {Name: "c", PID: pids[2]},
		}}
	}
	tests := []struct {
		name       string
		dependents bool
		after      control.Status
		want       string
	}{
		{"only the hurt one", false, status(9, 2, 3), ""},
		{"one that needs it", false, status(9, 8, 3), "b, which was not hurt"},
		{"one that needs it, on purpose", true, status(9, 8, 3), ""},
		{"a stranger", true, status(9, 8, 7), "c, which was not hurt"},
		{"one is gone", false, control.Status{Services: status(9, 2, 3).Services[:2]}, "c is not there"},
	}
	for _, test := range tests {
		err := othersUntouched("a", test.dependents, status(1, 2, 3), test.after)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", test.name, err, test.want)
		}
	}
}

func TestAPromiseIsReadWholeOrNotThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "faulty-a", "acknowledged")
	if got, err := promiseOf(path); got != 0 || err != nil {
		t.Errorf("without a file %d, %v", got, err)
	}
	for content, want := range map[string]uint64{"": 0, "00000000000000000042\n": 42} {
		write(t, path, content)
		if got, err := promiseOf(path); got != want || err != nil {
			t.Errorf("%q: %d, %v", content, got, err)
		}
	}
	write(t, path, "scribble")
	if _, err := promiseOf(path); err == nil {
		t.Error("a scribble is a promise")
	}
}

func TestASnapshotIsDoneWhenNoneIsUnderWay(t *testing.T) {
	root := t.TempDir()
	if snapshotDone(root, "faulty-a") == nil {
		t.Error("done without any")
	}
	write(t, filepath.Join(root, "faulty-a", "00000001-20260102T030405Z", "state"), "")
	if err := snapshotDone(root, "faulty-a"); err != nil {
		t.Error(err)
	}
	write(t, filepath.Join(root, "faulty-a", ".00000002", "state"), "")
	if snapshotDone(root, "faulty-a") == nil {
		t.Error("done while one is under way")
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
