package version

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMain lets the tests work in memory if nobody says where else: they wait for
// the disk a thousand times, and only the order of that matters to them.
func TestMain(m *testing.M) {
	const memory = "/dev/shm"
	if _, set := os.LookupEnv("TMPDIR"); !set && unix.Access(memory, unix.W_OK) == nil {
		os.Setenv("TMPDIR", memory)
	}
	os.Exit(m.Run())
}

// script is a program that differs with its text.
func script(text string) string { return "#!/bin/sh\necho " + text + "\n" }

// put writes a program that a person might install.
func put(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func install(t *testing.T, s *Store, text string) Version {
	t.Helper()
	v, err := s.Install(t.Context(), "echo", put(t, script(text)))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func commit(t *testing.T, s *Store) {
	t.Helper()
	if err := s.Commit("echo"); err != nil {
		t.Fatal(err)
	}
}

// runs tells what a service would run: a script's text, or "image".
func runs(t *testing.T, s *Store) string {
	t.Helper()
	v, ok := s.Current("echo")
	if !ok {
		if v != (Version{}) {
			t.Errorf("the image's own is %+v", v)
		}
		return "image"
	}
	content, err := os.ReadFile(v.Path)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.TrimSuffix(strings.TrimPrefix(string(content), "#!/bin/sh\necho "), "\n")
	if string(content) != script(text) {
		t.Fatalf("the program is not whole: %q", content)
	}
	if info, err := os.Stat(v.Path); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if v.Probation {
		text += " on probation"
	}
	return text
}

func want(t *testing.T, s *Store, what string) {
	t.Helper()
	if got := runs(t, s); got != what {
		t.Errorf("runs %s, want %s", got, what)
	}
}

// reopened is the store after a reboot.
func reopened(s *Store) *Store { return Open(s.root) }

func newStore(t *testing.T) *Store {
	t.Helper()
	return Open(filepath.Join(t.TempDir(), "gilgul", "versions"))
}

func TestAVersionIsOnProbationAlsoAfterAReboot(t *testing.T) {
	s := newStore(t)
	want(t, s, "image")
	v := install(t, s, "one")
	if !v.Probation || len(v.Name) != 12 || !strings.HasPrefix(filepath.Base(v.Path), v.Name) {
		t.Errorf("installed %+v", v)
	}
	want(t, s, "one on probation")
	want(t, reopened(s), "one on probation")
	commit(t, s)
	want(t, s, "one")
	want(t, reopened(s), "one")
}

func TestRollingBackGoesToTheLastVersionThatPassed(t *testing.T) {
	s := newStore(t)
	install(t, s, "one")
	if v, err := s.RollBack("echo"); err != nil || v != (Version{}) {
		t.Errorf("%+v, %v", v, err)
	}
	want(t, reopened(s), "image")

	install(t, s, "one")
	commit(t, s)
	install(t, s, "two")
	want(t, s, "two on probation")
	install(t, s, "three") // two never passed
	if v, err := s.RollBack("echo"); err != nil || v.Probation {
		t.Errorf("%+v, %v", v, err)
	}
	want(t, reopened(s), "one")
	if _, err := s.RollBack("echo"); !errors.Is(err, ErrNoEarlier) {
		t.Errorf("got %v", err)
	}
	want(t, s, "one")
}

func TestOneCanGoBackAlsoAfterTheProbation(t *testing.T) {
	s := newStore(t)
	install(t, s, "one")
	commit(t, s)
	install(t, s, "two")
	commit(t, s)
	if _, err := reopened(s).RollBack("echo"); err != nil {
		t.Fatal(err)
	}
	want(t, s, "one")
}

func TestOnlyTheCurrentProgramAndTheOneBeforeAreKept(t *testing.T) {
	s := newStore(t)
	for _, text := range []string{"one", "two", "three", "four"} {
		install(t, s, text)
		commit(t, s)
	}
	entries, err := os.ReadDir(filepath.Join(s.root, "echo"))
	if err != nil || len(entries) != 3 { // and the state
		t.Errorf("%v, %v", entries, err)
	}
	want(t, s, "four")
}

func TestInstallingTheSameAgainChangesNothing(t *testing.T) {
	s := newStore(t)
	install(t, s, "one")
	commit(t, s)
	install(t, s, "two")
	commit(t, s)
	if v := install(t, s, "two"); v.Probation {
		t.Errorf("installed %+v", v)
	}
	if _, err := s.RollBack("echo"); err != nil {
		t.Fatal(err)
	}
	want(t, s, "one")
}

func TestInstallingTheGoodOneOverABadOneNeedsNoProbation(t *testing.T) {
	s := newStore(t)
	install(t, s, "one")
	commit(t, s)
	install(t, s, "two")
	install(t, s, "one")
	want(t, reopened(s), "one")
}

func TestServicesHaveVersionsOfTheirOwn(t *testing.T) {
	s := newStore(t)
	install(t, s, "one")
	if v, ok := s.Current("other"); ok {
		t.Errorf("other runs %+v", v)
	}
	for _, name := range []string{"", "..", "a/b", "../echo", "Echo"} {
		if _, err := s.Install(t.Context(), name, put(t, script("x"))); err == nil {
			t.Errorf("%q was installed", name)
		}
		if v, ok := s.Current(name); ok {
			t.Errorf("%q runs %+v", name, v)
		}
	}
}

func TestTheProgramIsSeenWhereItMayBeExecuted(t *testing.T) {
	s := newStore(t)
	s.View = "/run/gilgul/versions"
	v := install(t, s, "one")
	if dir := filepath.Dir(v.Path); dir != "/run/gilgul/versions/echo" {
		t.Errorf("it is in %s", dir)
	}
}

var errPowerCut = errors.New("the power was cut")

func TestAPowerCutBetweenAnyTwoStepsLeavesTheOldVersionOrTheNew(t *testing.T) {
	prepare := func(t *testing.T) *Store {
		s := newStore(t)
		install(t, s, "zero")
		commit(t, s)
		install(t, s, "one")
		commit(t, s)
		return s
	}
	for _, test := range []struct {
		what, before, after, back string // back: what one can go back to if it went well
		prepare                   func(*testing.T, *Store)
		do                        func(*testing.T, *Store) error
	}{
		{"install", "one", "two on probation", "one", func(*testing.T, *Store) {}, func(t *testing.T, s *Store) error {
			_, err := s.Install(t.Context(), "echo", put(t, script("two")))
			return err
		}},
		{"roll back", "two on probation", "one", "", func(t *testing.T, s *Store) { install(t, s, "two") }, func(_ *testing.T, s *Store) error {
			_, err := s.RollBack("echo")
			return err
		}},
		{"commit", "two on probation", "two", "one", func(t *testing.T, s *Store) { install(t, s, "two") }, func(_ *testing.T, s *Store) error {
			return s.Commit("echo")
		}},
	} {
		for n := 0; ; n++ {
			s := prepare(t)
			test.prepare(t, s)
			left, happened, changed := n, false, false
			s.step = func(operation, path string) error {
				if left--; left < 0 {
					happened = true
					return errPowerCut
				}
				changed = changed || operation == "rename" && strings.HasSuffix(path, stateFile)
				return nil
			}
			err := test.do(t, s)
			s = reopened(s)
			if got := runs(t, s); got != test.after && got != test.before || (got == test.after) != changed {
				t.Fatalf("%s after %d steps: runs %s", test.what, n, got)
			}
			if !happened {
				if err != nil || n < 4 {
					t.Fatalf("%s after %d steps: %v", test.what, n, err)
				}
				t.Logf("%s: the power was cut after each of %d steps", test.what, n)
			}
			install(t, s, "three")
			want(t, reopened(s), "three on probation")
			if left, _ := filepath.Glob(filepath.Join(s.root, "echo", ".*")); len(left) > 0 {
				t.Fatalf("left over: %q", left)
			}
			if _, err := s.RollBack("echo"); err != nil {
				t.Fatal(err)
			}
			if got := runs(t, s); got != "one" && got != "two" {
				t.Fatalf("%s after %d steps: rolled back to %s", test.what, n, got)
			}
			if !happened {
				break
			}
		}
	}
}

// TestNothingIsNamedBeforeItIsOnTheDisk watches the order of system calls.
func TestNothingIsNamedBeforeItIsOnTheDisk(t *testing.T) {
	s := newStore(t)
	dirty := map[string]bool{}
	s.step = func(operation, path string) error {
		folder := filepath.Dir(path)
		switch operation {
		case "sync":
			delete(dirty, path)
		case "rename":
			if unsynced := filepath.Join(folder, unfinished); dirty[unsynced] {
				t.Errorf("%s is named before it is on the disk", path)
			}
			if filepath.Base(path) == stateFile && dirty[folder] {
				t.Errorf("the state is written before the disk knows the program's name")
			}
			dirty[folder] = true
		case "delete":
			if programName(filepath.Base(path)) && dirty[folder] {
				t.Errorf("%s is deleted before the disk knows the state without it", path)
			}
		case "make folder": // may be there
		default:
			dirty[path] = true
		}
		return nil
	}
	for _, text := range []string{"one", "two", "three"} {
		install(t, s, text)
		commit(t, s)
	}
}

func TestAFullDiskAtAnyStepLeavesWhatThereWas(t *testing.T) {
	for n := 0; ; n++ {
		s := newStore(t)
		install(t, s, "one")
		commit(t, s)
		left, refused := n, false
		s.step = func(operation, _ string) error {
			if left--; left == -1 && operation != "delete" {
				refused = true
				return unix.ENOSPC
			}
			return nil
		}
		_, err := s.Install(t.Context(), "echo", put(t, script("two")))
		over := left >= 0
		s.step = nil
		if refused != errors.Is(err, unix.ENOSPC) {
			t.Fatalf("after %d steps: %v", n, err)
		}
		if got := runs(t, reopened(s)); got != "one" && got != "two on probation" || err == nil && got == "one" {
			t.Fatalf("after %d steps: runs %s", n, got)
		}
		install(t, s, "two")
		want(t, s, "two on probation")
		if over {
			return
		}
	}
}

func TestACancelledInstallationLeavesNothing(t *testing.T) {
	s := newStore(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Install(ctx, "echo", put(t, script("one"))); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	want(t, s, "image")
	if left, err := os.ReadDir(filepath.Join(s.root, "echo")); err != nil || len(left) != 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
}
