package snapshot

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestASnapshotIsTheWholeFolderWithOwnersModesAndTimes(t *testing.T) {
	a := newAppliance(t)
	write(t, a.data, map[string]string{"journal": "one\ntwo\n", "index/a/b": "x", "empty/": "", "none": ""})
	if err := os.Symlink("index/a", filepath.Join(a.data, "current")); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		for _, name := range []string{"", "journal", "index", "index/a", "index/a/b", "empty", "none", "current"} {
			if err := os.Lchown(filepath.Join(a.data, name), 4711, 100); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, mode := range map[string]os.FileMode{"journal": 0o600, "index": 0o750, "index/a/b": 0o444} {
		if err := os.Chmod(filepath.Join(a.data, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	want := tree(t, a.data)
	s := Open(a.snapshots)
	a.take(t, s)
	same(t, "the snapshot", tree(t, a.newest(t)), want)

	write(t, a.data, map[string]string{"journal": "garbage"})
	broken := tree(t, a.data)
	aside, err := s.SetAside(t.Context(), "echo", a.data)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "what was restored", tree(t, a.data), want)
	same(t, "what was set aside", tree(t, aside.Folder), broken)
	if d := time.Since(aside.Restored); aside.Restored.IsZero() || d < 0 || d > time.Hour {
		t.Errorf("restored from %v", aside.Restored)
	}
	if info, err := os.Stat(a.data); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("its folder is %v, %v", info.Mode(), err)
	}
	for _, private := range []string{a.snapshots, a.aside} {
		if info, err := os.Stat(private); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", private, info.Mode(), err)
		}
	}
}

func TestTheNewestSnapshotsAreKept(t *testing.T) {
	a := newAppliance(t)
	s := Open(a.snapshots)
	var states []string
	for _, content := range []string{"1", "22", "333", "4444"} {
		write(t, a.data, map[string]string{"journal": content})
		states = append(states, tree(t, a.data))
		if err := s.Take(t.Context(), "echo", a.data, 2); err != nil {
			t.Fatal(err)
		}
	}
	list := names(t, a.snapshots)
	if len(list) != 2 || !strings.HasPrefix(list[0], "00000003-") || !strings.HasPrefix(list[1], "00000004-") {
		t.Fatalf("kept %q", list)
	}
	for i, name := range list {
		same(t, name, tree(t, filepath.Join(a.snapshots, "echo", name)), states[i+2])
	}
}

func TestAnUnchangedFolderIsNotWrittenAgain(t *testing.T) {
	a := newAppliance(t)
	write(t, a.data, map[string]string{"journal": "x"})
	s := Open(a.snapshots)
	a.take(t, s)
	s.disk.step = func(operation, path string) error {
		if operation != "make folder" || strings.HasPrefix(filepath.Base(path), ".") { // those that are there
			t.Errorf("%s %s", operation, path)
		}
		return nil
	}
	a.take(t, s)
	s.disk.step = nil
	if list := names(t, a.snapshots); len(list) != 1 {
		t.Errorf("snapshots: %q", list)
	}
	write(t, a.data, map[string]string{"journal": "y"})
	a.take(t, s)
	if list := names(t, a.snapshots); len(list) != 2 {
		t.Errorf("snapshots: %q", list)
	}
}

func TestWithoutASnapshotAnEmptyFolderTakesThePlace(t *testing.T) {
	a := newAppliance(t)
	write(t, a.data, map[string]string{"journal": "garbage"})
	aside, err := Open(a.snapshots).SetAside(t.Context(), "echo", a.data)
	if err != nil {
		t.Fatal(err)
	}
	if !aside.Restored.IsZero() {
		t.Errorf("restored from %v", aside.Restored)
	}
	if entries, err := os.ReadDir(a.data); err != nil || len(entries) != 0 {
		t.Errorf("in its place: %v, %v", entries, err)
	}
	if info, err := os.Stat(a.data); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("its folder is %v, %v", info, err)
	}
}

func TestAStateIsGivenBackOnceAndWhatStoodInIsKept(t *testing.T) {
	a := newAppliance(t)
	s := Open(a.snapshots)
	write(t, a.data, map[string]string{"journal": "good"})
	a.take(t, s)
	write(t, a.data, map[string]string{"journal": "newer"})
	mine := tree(t, a.data)
	aside, err := s.SetAside(t.Context(), "echo", a.data)
	if err != nil {
		t.Fatal(err)
	}
	write(t, a.data, map[string]string{"meanwhile": "written"})
	meanwhile := tree(t, a.data)
	if err := s.GiveBack(t.Context(), "echo", a.data, aside); err != nil {
		t.Fatal(err)
	}
	same(t, "its folder", tree(t, a.data), mine)
	same(t, "what stood in", tree(t, aside.Folder+replaced), meanwhile)
	if err := s.GiveBack(t.Context(), "echo", a.data, aside); err == nil {
		t.Error("given back twice")
	}
	same(t, "its folder", tree(t, a.data), mine)
}

func TestOnlyAStateOfThatServiceIsGivenBack(t *testing.T) {
	a := newAppliance(t)
	other := newAppliance(t)
	write(t, other.data, map[string]string{"secret": "x"})
	s := Open(a.snapshots)
	for _, folder := range []string{
		"", "/etc", other.data, filepath.Join(a.aside, "echo"), filepath.Join(a.aside, "echo", "..", "other", "00000001-20260101T000000Z"),
		filepath.Join(a.aside, "other", "00000001-20260101T000000Z"), filepath.Join(a.aside, "echo", "00000001-20260101T000000Z"),
	} {
		if err := s.GiveBack(t.Context(), "echo", a.data, Aside{Folder: folder}); err == nil {
			t.Errorf("%q was given back", folder)
		}
	}
}

func TestOnlyTheNewestStatesSetAsideAreKept(t *testing.T) {
	a := newAppliance(t)
	s := Open(a.snapshots)
	for range s.KeepAside + 2 {
		write(t, a.data, map[string]string{"journal": "garbage"})
		if _, err := s.SetAside(t.Context(), "echo", a.data); err != nil {
			t.Fatal(err)
		}
	}
	if list := names(t, a.aside); len(list) != s.KeepAside || !strings.HasPrefix(list[0], "00000003-") {
		t.Errorf("kept %q", list)
	}
}

func TestBadNamesOfServicesAreRefused(t *testing.T) {
	a := newAppliance(t)
	s := Open(a.snapshots)
	for _, name := range []string{"", ".", "..", "a/b", "../echo", "Echo", "a\n", strings.Repeat("a", 65)} {
		if err := s.Take(t.Context(), name, a.data, 1); err == nil {
			t.Errorf("%q was taken", name)
		}
	}
}

func TestAFolderThatIsALinkOrMissingIsRefused(t *testing.T) {
	a := newAppliance(t)
	link := filepath.Join(filepath.Dir(a.data), "link")
	if err := os.Symlink(a.data, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{link, filepath.Join(a.data, "none")} {
		s := Open(a.snapshots)
		if err := s.Take(t.Context(), "echo", path, 1); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("snapshot of %s: %v", path, err)
		}
		if _, err := s.SetAside(t.Context(), "echo", path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("set %s aside: %v", path, err)
		}
	}
}

func TestGarbageAmongTheSnapshotsIsLeftAloneAndNotRestored(t *testing.T) {
	a := newAppliance(t)
	s := Open(a.snapshots)
	write(t, a.data, map[string]string{"journal": "good"})
	good := tree(t, a.data)
	a.take(t, s)
	shelf := filepath.Join(a.snapshots, "echo")
	write(t, shelf, map[string]string{
		"99999999": "", "99999999-nonsense/x": "", "notes.txt": "mine", "99999998-20260101T000000Z": "a file", "99999997-20269901T000000Z/x": "",
	})
	if err := os.Symlink("/etc", filepath.Join(shelf, "99999996-20260101T000000Z")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.SetAside(t.Context(), "echo", a.data); err != nil {
		t.Fatal(err)
	}
	same(t, "what was restored", tree(t, a.data), good)
	if content, err := os.ReadFile(filepath.Join(shelf, "notes.txt")); err != nil || string(content) != "mine" {
		t.Errorf("notes.txt: %q, %v", content, err)
	}
}

func TestAClockThatWasSetBackDoesNotMakeAnOldStateTheNewest(t *testing.T) {
	day := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	first := nextName(nil, day)
	second := nextName([]string{first}, day.Add(-time.Hour))
	if first != "00000001-20260501T000000Z" || second != "00000002-20260430T230000Z" || second < first {
		t.Errorf("got %s, %s", first, second)
	}
}

func TestSettingAsideDoesNotWaitForASnapshot(t *testing.T) {
	a := newAppliance(t)
	write(t, a.data, map[string]string{"journal": "x"})
	s := Open(a.snapshots)
	taking, proceed := make(chan struct{}), make(chan struct{})
	s.disk.step = func(operation, _ string) error {
		if operation == "write" {
			close(taking)
			<-proceed
		}
		return nil
	}
	taken := make(chan error, 1)
	go func() { taken <- s.Take(t.Context(), "echo", a.data, 1) }()
	<-taking
	set := make(chan error, 1)
	ctx, end, err := s.begin(t.Context(), "other", true) // another service has turns of its own
	if err != nil || ctx.Err() != nil {
		t.Fatal(err)
	}
	end()
	go func() { _, err := s.SetAside(t.Context(), "echo", a.data); set <- err }()
	for s.mu.Lock(); s.turns["echo"].ctx.Err() == nil; s.mu.Lock() {
		s.mu.Unlock()
		time.Sleep(time.Millisecond)
	}
	s.mu.Unlock()
	close(proceed)
	if err := <-taken; !errors.Is(err, context.Canceled) {
		t.Errorf("the snapshot: %v", err)
	}
	if err := <-set; err != nil {
		t.Error(err)
	}
	if list := names(t, a.snapshots); len(list) != 0 {
		t.Errorf("snapshots: %q", list)
	}
}

func FuzzANameIsReadOnlyIfItIsOneOfOurs(f *testing.F) {
	f.Add("00000001-20260501T000000Z")
	f.Add("00000001-20260501T000000Z-replaced")
	f.Add("99999999-20260231T000000Z")
	f.Fuzz(func(t *testing.T, name string) {
		made, ok := parseName(name)
		if ok && name != name[:9]+made.Format(stamp) && name != name[:9]+made.Format(stamp)+replaced {
			t.Errorf("%q was read as %v", name, made)
		}
	})
}
