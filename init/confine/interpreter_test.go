package confine

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWhatAProgramNeedsToRunIsFound(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	plain := file("plain", "hello")
	direct := file("direct", "#!"+plain+" -x\n")
	for _, c := range []struct {
		path, want, wrong string
	}{
		{plain, "", ""},
		{direct, plain, ""},
		{file("script", "#! "+direct+"\nmore"), direct + " " + plain, ""},
		{file("empty", ""), "", ""},
		{file("short", "\x7fELF"), "", ""},
		{file("loop", "#!"+filepath.Join(dir, "loop")+"\n"), "", "without end"},
		{file("none", "#!\n"), "", "names no interpreter"},
		{file("relative", "#!sh\n"), "", "names no interpreter"},
		{filepath.Join(dir, "missing"), "", "no such file"},
	} {
		got, err := interpreters(c.path)
		if c.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), c.wrong) {
				t.Errorf("%s: %v, want %s", c.path, err, c.wrong)
			}
			continue
		}
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("%s: %q, %v, want %q", c.path, got, err, c.want)
		}
	}
	if needs, err := interpreters("/bin/sh"); err != nil || len(needs) != 1 || !strings.Contains(needs[0], "ld") {
		t.Errorf("/bin/sh: %q, %v", needs, err)
	}
}

func FuzzInterpreter(f *testing.F) {
	f.Add([]byte("#!/bin/sh -e\n"))
	if shell, err := os.ReadFile("/bin/sh"); err == nil {
		f.Add(shell[:min(len(shell), 4096)])
	}
	path := filepath.Join(f.TempDir(), "program")
	f.Fuzz(func(t *testing.T, program []byte) {
		if err := os.WriteFile(path, program, 0o600); err != nil {
			t.Fatal(err)
		}
		if name, err := interpreter(path); err == nil && len(name) > longestInterpreter {
			t.Errorf("%q", name)
		}
	})
}
