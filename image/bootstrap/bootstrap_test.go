// Package bootstrap holds bootstrap.sh, which prepares a Debian machine before there
// is a Go compiler. It has no Go code but the tests of that script, which
// replace the programs it calls and install nothing.
package bootstrap

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// machine is a folder of stand-ins for the programs that bootstrap.sh calls.
type machine struct {
	bin, cache string
	path       string // PATH
}

func newMachine(t *testing.T, programs map[string]string) machine {
	m := machine{bin: t.TempDir(), cache: t.TempDir()}
	m.path = m.bin + ":/usr/bin:/bin"
	for name, script := range programs {
		if err := os.WriteFile(filepath.Join(m.bin, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func (m machine) run(args ...string) (stdout, stderr string, err error) {
	var out, errors bytes.Buffer
	cmd := exec.Command("/bin/sh", append([]string{"bootstrap.sh"}, args...)...)
	cmd.Env = []string{"PATH=" + m.path, "XDG_CACHE_HOME=" + m.cache, "HOME=" + m.cache}
	cmd.Stdout, cmd.Stderr = &out, &errors
	err = cmd.Run()
	return out.String(), errors.String(), err
}

const (
	oldGo     = `[ "$1" = env ] && { echo go1.19.8; exit; }`
	installed = "printf installed"
	absent    = "exit 1"
)

func TestNewGoOnPathIsUsed(t *testing.T) {
	for _, version := range []string{"go1.26.0", "go1.27rc1", "go2.0"} {
		m := newMachine(t, map[string]string{"go": "echo " + version})
		out, errors, err := m.run("go")
		if err != nil || out != filepath.Join(m.bin, "go")+"\n" {
			t.Errorf("%s: %q, %v\n%s", version, out, err, errors)
		}
	}
}

func TestFetchedGoWithOtherBytesIsRefusedAndNotKept(t *testing.T) {
	m := newMachine(t, map[string]string{
		"dpkg-query": installed,
		"go":         oldGo + "\n" + `mkdir -p "$GOMODCACHE/$3/bin" && echo evil > "$GOMODCACHE/$3/bin/go"`,
	})
	out, errors, err := m.run("go")
	if err == nil || out != "" || !strings.Contains(errors, "hash differs: expected 64e9867b") || !strings.Contains(errors, "hint: ") {
		t.Errorf("stdout %q, %v\n%s", out, err, errors)
	}
	left, err := filepath.Glob(filepath.Join(m.cache, "runa", "go", "*"))
	if err != nil || len(left) != 0 {
		t.Errorf("kept %v, %v", left, err)
	}
}

func TestMissingPackagesAreNamedBeforeTheyAreInstalled(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	m := newMachine(t, map[string]string{
		"dpkg-query": "[ -e " + log + " ] && " + installed + " || " + absent,
		"id":         "echo 0",
		"apt-get":    `echo "$@" >> ` + log,
	})
	out, errors, err := m.run("packages", "build")
	calls, _ := os.ReadFile(log)
	if err != nil || out != "" || string(calls) != "-q update\ninstall -y --no-install-recommends ca-certificates\n" {
		t.Errorf("apt-get was called with %q; stdout %q, %v\n%s", calls, out, err, errors)
	}
	if !strings.Contains(errors, "ca-certificates") || !strings.Contains(errors, "registries are asked over TLS") {
		t.Errorf("neither name nor reason in %q", errors)
	}
}

func TestWithoutRootTheLineToRunIsPrinted(t *testing.T) {
	m := newMachine(t, map[string]string{"dpkg-query": absent, "id": "echo 1000", "apt-get": "exit 99"})
	m.hideSudo(t)
	_, errors, err := m.run("packages", "build")
	if err == nil || !strings.Contains(errors, "hint: run as root: apt-get update && apt-get install") {
		t.Errorf("%v\n%s", err, errors)
	}
}

// hideSudo leaves on PATH only what the script needs, since the machine may have sudo.
func (m *machine) hideSudo(t *testing.T) {
	for _, name := range []string{"cut", "tr", "cat", "git"} {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatalf("%v (apt-get install coreutils git)", err)
		}
		if err := os.Symlink(path, filepath.Join(m.bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	m.path = m.bin
}

func TestUnknownWishesAreExplained(t *testing.T) {
	m := newMachine(t, nil)
	for _, args := range [][]string{nil, {"packages"}, {"packages", "everything"}, {"goo"}} {
		out, errors, err := m.run(args...)
		if err == nil || out != "" || !strings.Contains(errors, "error: ") || !strings.Contains(errors, "hint: ") {
			t.Errorf("%v: stdout %q, %v\n%s", args, out, err, errors)
		}
	}
}
