package main

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"runa/services/splinter"
)

// bound is how long anything may take before a test fails.
const bound = time.Minute

// life is a service that runs, and what it tells gilgul.
type life struct {
	t      *testing.T
	bus    *splinter.Bus
	folder string
	told   chan string
	ended  chan struct{}
	cmd    *exec.Cmd
	stderr bytes.Buffer
}

const testName = "faulty-t"

// world is a bus and a data folder, in which lives follow each other.
func world(t *testing.T) (*splinter.Bus, string) {
	path := filepath.Join(t.TempDir(), "bus")
	bus, err := splinter.Create(path, splinter.Options{Mode: 0o600})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { bus.Close() })
	return bus, t.TempDir()
}

func start(t *testing.T, bus *splinter.Bus, folder string, env ...string) *life {
	t.Helper()
	l := &life{t: t, bus: bus, folder: folder, told: make(chan string, 100), ended: make(chan struct{})}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	l.cmd = exec.Command(program, "serve", "--forks", "2")
	l.cmd.Dir, l.cmd.Stderr, l.cmd.ExtraFiles = folder, &l.stderr, []*os.File{theirs}
	l.cmd.Env = append([]string{
		"FAULTY_IS_THE_SERVICE=1", "RUNA_SERVICE=" + testName, "RUNA_BUS=" + bus.Path(),
		"RUNA_NOTIFY_FD=3", "RUNA_HEARTBEAT=100ms",
	}, env...)
	l.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := l.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	go func() {
		defer ours.Close()
		for lines := bufio.NewScanner(ours); lines.Scan(); {
			l.told <- lines.Text()
		}
	}()
	go func() {
		defer close(l.ended)
		_ = l.cmd.Wait()
	}()
	t.Cleanup(l.kill)
	return l
}

// kill ends the service and all that it started.
func (l *life) kill() {
	_ = syscall.Kill(-l.cmd.Process.Pid, syscall.SIGKILL)
	<-l.ended
}

func (l *life) expect(line string) {
	l.t.Helper()
	select {
	case got := <-l.told:
		if got != line {
			l.t.Fatalf("it told gilgul %q, want %q", got, line)
		}
	case <-time.After(bound):
		l.t.Fatalf("it never told gilgul %q", line)
	}
}

func (l *life) order(order string) {
	l.t.Helper()
	if err := l.bus.Set("service/"+testName+"/order", []byte(order)); err != nil {
		l.t.Fatal(err)
	}
}

// end waits until the service has ended.
func (l *life) end() syscall.WaitStatus {
	l.t.Helper()
	select {
	case <-l.ended:
	case <-time.After(bound):
		l.t.Fatal("it did not end")
	}
	return l.cmd.ProcessState.Sys().(syscall.WaitStatus)
}

// until waits for a condition.
func (l *life) until(what string, is func() bool) {
	l.t.Helper()
	for end := time.Now().Add(bound); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			l.t.Fatalf("never: %s; it said %s", what, l.stderr.String())
		}
	}
}

func (l *life) ready() *life { l.t.Helper(); l.expect("READY=1"); return l }

func (l *life) number(what string) uint64 {
	l.t.Helper()
	value, _, err := l.bus.Get("service/" + testName + "/" + what)
	if err != nil {
		l.t.Fatal(err)
	}
	number, err := strconv.ParseUint(string(value), 10, 64)
	if err != nil {
		l.t.Fatal(err)
	}
	return number
}
