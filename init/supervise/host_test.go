package supervise

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestThreeServicesComeUpLiveAndGoDownAsRealProcesses(t *testing.T) {
	h := newHost(t)
	h.BeforeReady = func(service string) {
		time.Sleep(50 * time.Millisecond) // long enough for who would not wait
		if err := os.WriteFile(filepath.Join(h.folder("infer"), "before-"+service), nil, 0o644); err != nil && service == "bus" {
			t.Error(err)
		}
	}
	if err := os.Mkdir(h.folder("infer"), 0o711); err != nil {
		t.Fatal(err)
	}
	s := perform(t, h, map[string]string{
		"bus": `
exec: PLAYER
args: [say=bus up, notify=READY=1]
ready: {by: notify, timeout: 30s}
`,
		"infer": `
exec: PLAYER
args: [obey=bye, 'say=I am $USER in $PWD$HOME, bus $RUNA_BUS, model $MODEL', cry=oops, exists=before-bus, write=mine, notify=READY=1]
env: {MODEL: stories15m}
needs: [bus]
ready: {by: notify, timeout: 30s}
limits: {memory-max: 64MiB, pids: 16, cpu: 50%}
data: true
`,
		"once": `
exec: PLAYER
args: [say=done, exit=0]
needs: [infer]
oneshot: true
`,
	})
	s.until("infer", "waiting")
	s.DataReady(nil)
	s.until("once", "done")
	select {
	case <-s.AllReady():
	case <-time.After(soon):
		t.Fatalf("not all ready: %+v", s.Status())
	}
	dir := h.folder("infer")
	if text, err := os.ReadFile(filepath.Join(dir, "mine")); err != nil || string(text) != "state\n" {
		t.Errorf("its data: %q, %v", text, err)
	}

	if err := s.Stop("infer"); err != nil {
		t.Fatal(err)
	}
	s.until("infer", "defined")
	got := strings.Join(s.log("infer"), "\n")
	for _, want := range []string{"I am infer in " + dir, ", bus /run/test/bus, model stories15m", "oops", "before-bus exists: true", "bye"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}

	// kill -9 of the one that is needed: back by itself.
	unix.Kill(s.Status()[0].PID, unix.SIGKILL)
	if c := s.untilThat("bus fails", func(c Change) bool { return c.Service == "bus" && c.Class != "" }); c.Class != "signal" || !strings.HasPrefix(c.Reason, "killed by signal 9 (SIGKILL) after ") {
		t.Errorf("%+v", c)
	}
	if c := s.until("bus", "ready"); c.Restarts != 1 || c.PID == 0 {
		t.Errorf("%+v", c)
	}
}

func TestAnExitsReasonClassAndLastLineAreThereWhenItIsTold(t *testing.T) {
	for _, c := range []struct {
		name, args, class, reason string
	}{
		{"exit", "cry=last words, exit=3", "exit", "exited with status 3 after "},
		{"corrupt state", "cry=last words, exit=65", "corrupt-state", "it found its state corrupt (status 65) after "},
		{"a fault of its own", "cry=last words, segfail", "exit", "exited with status 2 after "}, // Go's runtime catches the signal
	} {
		t.Run(c.name, func(t *testing.T) {
			s := perform(t, newHost(t), map[string]string{"a": "exec: PLAYER\nargs: [" + c.args + "]\nrestart: {policy: never}\n"})
			end := s.until("a", "failed")
			if end.Class != c.class || !strings.HasPrefix(end.Reason, c.reason) {
				t.Errorf("%+v", end)
			}
			if got := s.log("a"); len(got) == 0 || got[0] != "last words" {
				t.Errorf("log %q", got)
			}
		})
	}
}

func TestAProgramThatCannotStartIsToldAndTriedAgain(t *testing.T) {
	s := perform(t, newHost(t), map[string]string{"a": "exec: /nowhere/program\n"})
	c := s.until("a", "backoff")
	if c.Class != "not-started" || !strings.Contains(c.Reason, "not started: ") || !strings.Contains(c.Reason, "/nowhere/program") {
		t.Errorf("%+v", c)
	}
}

func TestADeafServiceIsKilledWithItsChildren(t *testing.T) {
	s := perform(t, newHost(t), map[string]string{"a": `
exec: PLAYER
args: [deaf, child, notify=READY=1]
ready: {by: notify, timeout: 30s}
stop: {timeout: 50ms}
`})
	s.until("a", "ready")
	if err := s.Stop("a"); err != nil {
		t.Fatal(err)
	}
	if c := s.until("a", "defined"); !strings.Contains(c.Reason, "stopped on request; killed: it did not end within 50ms") {
		t.Errorf("%+v", c)
	}
}

func TestManyKillsLeaveNoZombieAndNoCgroup(t *testing.T) {
	s := perform(t, newHost(t), map[string]string{"a": `
exec: PLAYER
args: [child, notify=READY=1]
ready: {by: notify, timeout: 30s}
restart: {initial: 1ms, max: 1ms, stable: 1ms}
`})
	pid := s.until("a", "ready").PID
	for i := range 20 {
		unix.Kill(pid, unix.SIGKILL)
		c := s.untilThat("another life is ready", func(c Change) bool { return c.State == "ready" && c.PID != pid })
		if c.Restarts != i+1 {
			t.Fatalf("after kill %d: %+v", i, c)
		}
		pid = c.PID
		eventually(t, "its failures are forgotten", func() bool { return s.Status()[0].Failures == 0 }) // else it is given up
	}
	// Itself, and the process that waits for the next start.
	eventually(t, "only two children are left", func() bool { return len(childrenOf(os.Getpid())) <= 2 })
}

func TestWhatAServiceSaysOfItselfAndOthersIsHeard(t *testing.T) {
	s := perform(t, newHost(t), map[string]string{
		"a": `
exec: PLAYER
args: [notify=READY=1, notify=DEGRADED=no model can be used]
ready: {by: notify, timeout: 30s}
`,
		"b": `
exec: PLAYER
args: [notify=READY=1, notify=DEGRADED=for a moment, notify=WELL=1]
ready: {by: notify, timeout: 30s}
`,
	})
	if c := s.until("a", "degraded"); c.Reason != "no model can be used" {
		t.Errorf("%+v", c)
	}
	eventually(t, "b is ready", func() bool { return s.Status()[1].State == "ready" })
}

func TestAServiceThatFloodsItsPipesIsStillEnded(t *testing.T) {
	s := perform(t, newHost(t), map[string]string{"a": `
exec: PLAYER
args: [notify=READY=1, flood=COMPLAIN=b it lies and lies]
ready: {by: notify, timeout: 30s}
`})
	s.until("a", "ready")
	if err := s.Stop("a"); err != nil {
		t.Fatal(err)
	}
	s.until("a", "defined")
}
