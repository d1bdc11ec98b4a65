package version

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestAProgramThatVanishedOrChangedIsNotStarted(t *testing.T) {
	for _, test := range []struct {
		what string
		harm func(path string) error
	}{
		{"vanished", os.Remove},
		{"cut off", func(path string) error { return os.Truncate(path, 3) }},
		{"empty", func(path string) error { return os.Truncate(path, 0) }},
		{"changed", func(path string) error { return os.WriteFile(path, []byte(script("evil")), 0o755) }},
		{"not executable", func(path string) error { return os.Chmod(path, 0o600) }},
		{"a folder", func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o755)) }},
		{"a link", func(path string) error { return errors.Join(os.Remove(path), os.Symlink("/bin/sh", path)) }},
		{"a fifo", func(path string) error { return errors.Join(os.Remove(path), unix.Mkfifo(path, 0o755)) }},
	} {
		s := newStore(t)
		install(t, s, "one")
		commit(t, s)
		two := install(t, s, "two")
		if err := test.harm(two.Path); err != nil {
			t.Fatal(err)
		}
		for _, s := range []*Store{s, reopened(s)} {
			if got := runs(t, s); got != "one" {
				t.Errorf("%s: runs %s", test.what, got)
			}
			if _, err := s.RollBack("echo"); !errors.Is(err, ErrNoEarlier) {
				t.Errorf("%s: rolled back: %v", test.what, err)
			}
		}
		one, _ := s.Current("echo")
		if err := test.harm(one.Path); err != nil {
			t.Fatal(err)
		}
		if got := runs(t, reopened(s)); got != "image" {
			t.Errorf("%s, both: runs %s", test.what, got)
		}
		if test.what == "a folder" {
			continue // it keeps the place; nobody but root can put it there
		}
		install(t, s, "two")
		if got := runs(t, reopened(s)); got != "two on probation" {
			t.Errorf("%s, installed again: runs %s", test.what, got)
		}
	}
}

func TestGarbageInTheFolderCountsAsNothingAndAnUpdateMendsIt(t *testing.T) {
	hash := strings.Repeat("a", 64)
	for _, garbage := range []string{
		"", "{", "null garbage", "[]", `"x"`, `{"current":1}`, `{"current":"../../bin/sh"}`, `{"current":"` + hash + `"}`,
		`{"probation":true}`, `{"earlier":"` + hash + `"}`, `{"has_earlier":true}`, `{"unknown":1}`, `{} {}`, strings.Repeat(" ", maxState) + "{}", "\x00\xff",
	} {
		s := newStore(t)
		install(t, s, "one")
		if err := os.WriteFile(filepath.Join(s.root, "echo", stateFile), []byte(garbage), 0o644); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{hash, ".unfinished", ".other", "notes.txt"} {
			if err := os.WriteFile(filepath.Join(s.root, "echo", name), []byte("garbage"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Mkdir(filepath.Join(s.root, "echo", ".folder"), 0o755); err != nil {
			t.Fatal(err)
		}
		if got := runs(t, s); got != "image" {
			t.Errorf("%q: runs %s", garbage, got)
		}
		install(t, s, "two")
		if got := runs(t, reopened(s)); got != "two on probation" {
			t.Errorf("%q: runs %s", garbage, got)
		}
		if v, err := s.RollBack("echo"); err != nil || v.Name != "" {
			t.Errorf("%q: %+v, %v", garbage, v, err)
		}
		if left, err := os.ReadDir(filepath.Join(s.root, "echo")); err != nil || len(left) != 3 { // .folder, notes.txt and state
			t.Errorf("%q: left over: %v, %v", garbage, left, err)
		}
	}
}

func TestAStateThatIsNoFileCountsAsNothing(t *testing.T) {
	for what, put := range map[string]func(path string) error{
		"link":   func(path string) error { return os.Symlink("/etc/passwd", path) },
		"fifo":   func(path string) error { return unix.Mkfifo(path, 0o644) },
		"folder": func(path string) error { return os.Mkdir(path, 0o755) },
	} {
		s := newStore(t)
		install(t, s, "one")
		path := filepath.Join(s.root, "echo", stateFile)
		if err := errors.Join(os.Remove(path), put(path)); err != nil {
			t.Fatal(err)
		}
		if got := runs(t, s); got != "image" {
			t.Errorf("%s: runs %s", what, got)
		}
	}
}

func TestWhenNoDescriptorIsLeftNothingIsConcluded(t *testing.T) {
	s := newStore(t)
	one := install(t, s, "one")
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	none := limit
	none.Cur = 3
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	_, installed := s.Install(t.Context(), "echo", one.Path)
	_, back := s.RollBack("echo")
	committed := s.Commit("echo")
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{"install": installed, "roll back": back, "commit": committed} {
		if !errors.Is(err, unix.EMFILE) {
			t.Errorf("%s: %v", what, err)
		}
	}
	want(t, s, "one on probation")
	want(t, reopened(s), "one on probation")
}

// header is the beginning of an ELF file.
func header(kind, machine uint16) string {
	h := make([]byte, 64)
	copy(h, "\x7fELF\x02\x01\x01")
	binary.LittleEndian.PutUint16(h[16:], kind)
	binary.LittleEndian.PutUint16(h[18:], machine)
	return string(h)
}

func TestOnlyProgramsForThisMachineAreInstalled(t *testing.T) {
	own := uint16(machines[runtime.GOARCH])
	for _, test := range []struct{ what, content, says string }{
		{"this processor's", header(2, own), ""},
		{"position independent", header(3, own), ""},
		{"a script", "#! /bin/sh -e\n", ""},
		{"another processor's", header(2, own+1), "this machine is"},
		{"an object file", header(1, own), "no executable"},
		{"cut off", header(2, own)[:19], "damaged"},
		{"no byte order", "\x7fELF\x02\x07" + strings.Repeat("x", 60), "damaged"},
		{"empty", "", "neither"},
		{"text", "hello\n", "neither"},
		{"a script without interpreter", "#!\n", "interpreter"},
		{"a script with a relative one", "#!sh\n", "interpreter"},
		{"a script without a line", "#!/bin/sh", "interpreter"},
		{"a script with a long line", "#!/" + strings.Repeat("x", 300) + "\n", "interpreter"},
	} {
		s := newStore(t)
		_, err := s.Install(t.Context(), "echo", put(t, test.content))
		if test.says == "" && err != nil || test.says != "" && (!errors.Is(err, ErrNoProgram) || !strings.Contains(err.Error(), test.says)) {
			t.Errorf("%s: %v", test.what, err)
		}
		if v, ok := s.Current("echo"); ok != (test.says == "") {
			t.Errorf("%s: runs %+v", test.what, v)
		}
	}
}

func TestWhatIsNoFileOrTooLargeIsRefused(t *testing.T) {
	s := newStore(t)
	s.MaxBytes = 1000
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		path string
		want error
	}{
		{fifo, ErrNoProgram},
		{t.TempDir(), ErrNoProgram},
		{"/dev/zero", ErrNoProgram},
		{"/no/such/program", os.ErrNotExist},
		{put(t, script(strings.Repeat("x", 1000))), ErrTooLarge},
	} {
		if _, err := s.Install(t.Context(), "echo", test.path); !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.path) {
			t.Errorf("%s: %v", test.path, err)
		}
	}
	if _, err := s.Install(t.Context(), "echo", "program"); err == nil || !strings.Contains(err.Error(), "absolute") {
		t.Errorf("a relative path: %v", err)
	}
	if left, err := os.ReadDir(filepath.Join(s.root, "echo")); err != nil || len(left) != 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
}

func FuzzAStateIsReadOnlyAsItWasWritten(f *testing.F) {
	hash := strings.Repeat("a", 64)
	f.Add([]byte(`{"current":"` + hash + `","earlier":"","has_earlier":true,"probation":true}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := decode(data)
		if err != nil {
			return
		}
		again, err := decode(s.encode())
		if err != nil || again != s {
			t.Errorf("%+v became %+v, %v", s, again, err)
		}
	})
}

func FuzzAHeadIsAcceptedOrRefused(f *testing.F) {
	f.Add([]byte(header(2, uint16(machines[runtime.GOARCH]))))
	f.Add([]byte(script("x")))
	f.Fuzz(func(t *testing.T, head []byte) {
		if err := check(head); err != nil && !errors.Is(err, ErrNoProgram) {
			t.Error(err)
		}
	})
}
