package snapshot

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

var errPowerCut = errors.New("the power was cut")

// cut returns a step that lets n operations through and no other one ever.
func cut(n int, happened *bool) func(string, string) error {
	return func(string, string) error {
		if n--; n < 0 {
			*happened = true
			return errPowerCut
		}
		return nil
	}
}

// cutEverywhere makes an appliance, and does something with it, again and again
// with the power cut one step later each time, until it comes to its end. check
// then sees what a new start finds.
func cutEverywhere(t *testing.T, prepare func(*testing.T, appliance), do func(context.Context, *Store, appliance) error, check func(*testing.T, appliance, *Store)) {
	t.Helper()
	for n := 0; ; n++ {
		a := newAppliance(t)
		prepare(t, a)
		s, happened := Open(a.snapshots), false
		s.disk.step = cut(n, &happened)
		err := do(t.Context(), s, a)
		check(t, a, Open(a.snapshots))
		if t.Failed() {
			t.Fatalf("after %d steps", n)
		}
		if !happened {
			if err != nil || n < 5 {
				t.Fatalf("after %d steps: %v", n, err)
			}
			t.Logf("the power was cut after each of %d steps", n)
			return
		}
	}
}

// noLeftovers looks for what is unfinished.
func noLeftovers(t *testing.T, shelf string) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(shelf, "echo", ".*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left over: %q, %v", left, err)
	}
}

func TestAPowerCutDuringASnapshotLeavesOldOnesAndPerhapsTheNewOneAllWhole(t *testing.T) {
	var states []string // that the folder ever had
	prepare := func(t *testing.T, a appliance) {
		states = nil
		s := Open(a.snapshots)
		for _, content := range []string{"1", "22"} {
			write(t, a.data, map[string]string{"journal": content, "index/" + content: content})
			states = append(states, tree(t, a.data))
			if err := s.Take(t.Context(), "echo", a.data, 2); err != nil {
				t.Fatal(err)
			}
		}
		write(t, a.data, map[string]string{"journal": "333", "index/new": "3"})
		states = append(states, tree(t, a.data))
	}
	take := func(ctx context.Context, s *Store, a appliance) error { return s.Take(ctx, "echo", a.data, 2) }
	cutEverywhere(t, prepare, take, func(t *testing.T, a appliance, s *Store) {
		list := names(t, a.snapshots)
		if len(list) < 2 || len(list) > 3 {
			t.Errorf("snapshots: %q", list)
		}
		for _, name := range list {
			if got := tree(t, filepath.Join(a.snapshots, "echo", name)); !slices.Contains(states, got) {
				t.Errorf("%s is not whole:\n%s", name, got)
			}
		}
		same(t, "the service's folder", tree(t, a.data), states[2])
		if err := s.Take(t.Context(), "echo", a.data, 2); err != nil {
			t.Error(err)
		}
		same(t, "the next snapshot", tree(t, a.newest(t)), states[2])
		noLeftovers(t, a.snapshots)
	})
}

func TestAPowerCutWhileSettingAsideLeavesTheOldStateOrTheSnapshot(t *testing.T) {
	var good, broken string
	prepare := func(t *testing.T, a appliance) {
		write(t, a.data, map[string]string{"journal": "good", "index/1": "x"})
		good = tree(t, a.data)
		a.take(t, Open(a.snapshots))
		write(t, a.data, map[string]string{"journal": "garbage"})
		broken = tree(t, a.data)
	}
	do := func(ctx context.Context, s *Store, a appliance) error {
		s.KeepAside = 1
		_, err := s.SetAside(ctx, "echo", a.data)
		return err
	}
	cutEverywhere(t, prepare, do, func(t *testing.T, a appliance, s *Store) {
		switch tree(t, a.data) {
		case broken:
		case good:
			list := names(t, a.aside)
			if len(list) != 1 {
				t.Fatalf("set aside: %q", list)
			}
			same(t, "what was set aside", tree(t, filepath.Join(a.aside, "echo", list[0])), broken)
		default:
			t.Errorf("neither old nor new:\n%s", tree(t, a.data))
		}
		same(t, "the snapshot", tree(t, a.newest(t)), good)
		if _, err := s.SetAside(t.Context(), "echo", a.data); err != nil {
			t.Error(err)
		}
		same(t, "what the next try restores", tree(t, a.data), good)
		noLeftovers(t, a.aside)
	})
}

func TestAPowerCutWhileGivingBackLeavesOneOfTheTwoStates(t *testing.T) {
	var good, mine string
	var aside Aside
	prepare := func(t *testing.T, a appliance) {
		s := Open(a.snapshots)
		write(t, a.data, map[string]string{"journal": "good"})
		good = tree(t, a.data)
		a.take(t, s)
		write(t, a.data, map[string]string{"journal": "newer"})
		mine = tree(t, a.data)
		var err error
		if aside, err = s.SetAside(t.Context(), "echo", a.data); err != nil {
			t.Fatal(err)
		}
	}
	do := func(ctx context.Context, s *Store, a appliance) error {
		return s.GiveBack(ctx, "echo", a.data, aside)
	}
	cutEverywhere(t, prepare, do, func(t *testing.T, a appliance, _ *Store) {
		list := names(t, a.aside)
		if len(list) != 1 {
			t.Fatalf("set aside: %q", list)
		}
		there, beside := tree(t, a.data), tree(t, filepath.Join(a.aside, "echo", list[0]))
		if (there != mine || beside != good) && (there != good || beside != mine) {
			t.Errorf("there:\n%s\nbeside:\n%s", there, beside)
		}
	})
}

// TestNothingGetsItsNameBeforeAllOfItIsOnTheDisk watches the order of system
// calls, for a test can't lose what was not synced.
func TestNothingGetsItsNameBeforeAllOfItIsOnTheDisk(t *testing.T) {
	for _, files := range []int{3, 2 * fewEntries} {
		a := newAppliance(t)
		for i := range files {
			write(t, a.data, map[string]string{"folder/" + strings.Repeat("f", i+1): "x"})
		}
		if err := os.Symlink("x", filepath.Join(a.data, "link")); err != nil {
			t.Fatal(err)
		}
		s := Open(a.snapshots)
		dirty := map[string]bool{}
		s.disk.step = func(operation, path string) error {
			switch operation {
			case "sync":
				delete(dirty, path)
			case "sync all with":
				clear(dirty)
			case "delete":
				for d := range dirty {
					if d == filepath.Dir(path) && !strings.Contains(path, unfinished) && strings.HasPrefix(d, a.snapshots) {
						t.Errorf("%s is deleted before the disk knows that it has lost its name", path)
					}
				}
			case "rename", "exchange":
				for d := range dirty {
					if strings.Contains(d, unfinished) {
						t.Errorf("%s %s while %s is not on the disk", operation, path, d)
					}
				}
				dirty[filepath.Dir(path)] = true
			case "make link", "set the owner of":
				dirty[filepath.Dir(path)] = true
			default:
				dirty[path], dirty[filepath.Dir(path)] = true, true
			}
			return nil
		}
		if err := s.Take(t.Context(), "echo", a.data, 1); err != nil {
			t.Fatal(err)
		}
		write(t, a.data, map[string]string{"folder/new": "y"})
		if err := s.Take(t.Context(), "echo", a.data, 1); err != nil {
			t.Fatal(err)
		}
		if _, err := s.SetAside(t.Context(), "echo", a.data); err != nil {
			t.Fatal(err)
		}
		for d := range dirty {
			if strings.HasPrefix(d, a.data) || d == filepath.Dir(a.data) {
				t.Errorf("%s is not on the disk at the end", d)
			}
		}
	}
}

func TestAFullDiskAtAnyStepLeavesWhatThereWas(t *testing.T) {
	for n := 0; ; n++ {
		a := newAppliance(t)
		s := Open(a.snapshots)
		write(t, a.data, map[string]string{"journal": "good", "index/1": "x"})
		good := tree(t, a.data)
		a.take(t, s)
		write(t, a.data, map[string]string{"journal": "broken"})
		broken := tree(t, a.data)
		left, refused := n, false
		s.disk.step = func(operation, _ string) error {
			if left--; left == -1 && operation != "delete" {
				refused = true
				return unix.ENOSPC
			}
			return nil
		}
		taken := s.Take(t.Context(), "echo", a.data, 3)
		over := left >= 0
		s.disk.step = nil
		if refused && taken != nil && !errors.Is(taken, ErrNoRoom) { // nil: it gave up an old one
			t.Fatalf("after %d steps: %v", n, taken)
		}
		for _, name := range names(t, a.snapshots) {
			if got := tree(t, filepath.Join(a.snapshots, "echo", name)); got != good && got != broken {
				t.Fatalf("after %d steps %s is not whole:\n%s", n, name, got)
			}
		}
		same(t, "the service's folder", tree(t, a.data), broken)
		if taken != nil {
			noLeftovers(t, a.snapshots)
		}
		a.take(t, s)
		if t.Failed() {
			t.Fatalf("after %d steps", n)
		}
		if over {
			return
		}
	}
}

// smallDisk mounts a file system of that many bytes, which takes root.
func smallDisk(t *testing.T, size string) (string, bool) {
	t.Helper()
	disk := t.TempDir()
	if os.Geteuid() != 0 {
		return disk, false
	}
	err := unix.Mount("none", disk, "tmpfs", unix.MS_NODEV|unix.MS_NOSUID, "size="+size)
	if errors.Is(err, unix.EPERM) { // root of a container
		return disk, false
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(disk, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return disk, true
}

func TestARealFullDiskGivesUpOldSnapshotsButNeverTheLast(t *testing.T) {
	disk, small := smallDisk(t, "2m")
	a := applianceIn(t, disk)
	s := Open(a.snapshots)
	if !small { // nobody but root can have a small disk: its size is pretended
		s.room = func(int) (int64, error) { return 1<<20 - int64(len(names(t, a.snapshots)))<<19, nil }
	}
	var last string
	for _, c := range "abcde" {
		write(t, a.data, map[string]string{"journal": strings.Repeat(string(c), 500<<10)})
		last = tree(t, a.data)
		a.take(t, s)
	}
	if list := names(t, a.snapshots); len(list) == 0 || len(list) > 2 {
		t.Errorf("kept %q", list)
	}
	same(t, "the newest", tree(t, a.newest(t)), last)
	if !small {
		return
	}
	write(t, a.data, map[string]string{"more": strings.Repeat("m", 300<<10)})
	full := tree(t, a.data)
	if err := s.Take(t.Context(), "echo", a.data, 3); !errors.Is(err, ErrNoRoom) {
		t.Errorf("got %v", err)
	}
	same(t, "the newest", tree(t, a.newest(t)), last)
	noLeftovers(t, a.snapshots)
	write(t, disk, map[string]string{"filler": strings.Repeat("f", 400<<10)})
	if _, err := s.SetAside(t.Context(), "echo", a.data); !errors.Is(err, ErrNoRoom) {
		t.Errorf("got %v", err)
	}
	same(t, "the service's folder", tree(t, a.data), full)
	noLeftovers(t, a.aside)
}
