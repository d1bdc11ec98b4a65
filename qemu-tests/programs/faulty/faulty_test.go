package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"runa/services/splinter"
	"runa/services/supervised"
)

// The tests run this test program as the service, in a process of its own.
func TestMain(m *testing.M) {
	if os.Getenv("FAULTY_IS_THE_SERVICE") == "" {
		os.Exit(m.Run())
	}
	born = os.Getenv("FAULTY_BORN")
	main()
}

func TestLeftAloneItWorksBeatsAndAnswers(t *testing.T) {
	bus, folder := world(t)
	l := start(t, bus, folder).ready()
	work, beat := l.number("work"), l.number("heartbeat")
	l.until("its count and its heart go on", func() bool {
		acknowledged, err := os.ReadFile(filepath.Join(folder, acknowledgedFile))
		if err != nil {
			t.Fatal(err)
		}
		if promise, _ := strconv.ParseUint(strings.TrimSpace(string(acknowledged)), 10, 64); promise > l.number("work") {
			t.Fatalf("%d is acknowledged and not on the bus", promise)
		}
		return l.number("work") > work+3 && l.number("heartbeat") != beat
	})
	if err := supervised.Ping(t.Context(), bus, testName); err != nil {
		t.Error(err)
	}
	probe := exec.Command(l.cmd.Path, "probe")
	probe.Env = l.cmd.Env[:3]
	if said, err := probe.CombinedOutput(); err != nil {
		t.Errorf("the probe: %v: %s", err, said)
	}

	l.kill()
	work = l.number("work")
	start(t, bus, folder).ready()
	if now := l.number("work"); now <= work {
		t.Errorf("the count was %d and is %d in the next life", work, now)
	}
}

func TestALostWriteIsNoticedAtTheNextStart(t *testing.T) {
	bus, folder := world(t)
	start(t, bus, folder).ready().kill()
	if err := bus.Set("service/"+testName+"/work", []byte("0")); err != nil {
		t.Fatal(err)
	}
	l := start(t, bus, folder)
	if status := l.end(); status.ExitStatus() != 1 || !strings.Contains(l.stderr.String(), "a write is lost") {
		t.Errorf("status %d: %s", status.ExitStatus(), l.stderr.String())
	}
}

func TestWhatEndsItEndsItAsItIsCalled(t *testing.T) {
	tests := []struct {
		order  string
		status int
		signal syscall.Signal
		says   string
	}{
		{"exit", 1, 0, "told to end"},
		{"panic", 2, 0, "index out of range"},
		{"segv", 0, syscall.SIGSEGV, ""},
		{"nonsense", 1, 0, "not understood"},
	}
	for _, test := range tests {
		t.Run(test.order, func(t *testing.T) {
			l := start(t, first(world(t)), t.TempDir()).ready()
			l.order(test.order)
			status := l.end()
			if test.signal != 0 && status.Signal() != test.signal || test.signal == 0 && status.ExitStatus() != test.status {
				t.Errorf("it ended with %#x: %s", status, l.stderr.String())
			}
			if !strings.Contains(l.stderr.String(), test.says) {
				t.Errorf("it said %s", l.stderr.String())
			}
		})
	}
}

func first(bus *splinter.Bus, _ string) *splinter.Bus { return bus }

func TestACorruptStateEndsItWithTheAgreedStatus(t *testing.T) {
	bus, folder := world(t)
	l := start(t, bus, folder).ready()
	file := filepath.Join(folder, stateFile)
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	content[3] ^= 0xff
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	l.order("read-state")
	if status := l.end(); status.ExitStatus() != supervised.ExitCorruptState {
		t.Errorf("status %d: %s", status.ExitStatus(), l.stderr.String())
	}
	if status := start(t, bus, folder).end(); status.ExitStatus() != supervised.ExitCorruptState {
		t.Errorf("at its next start status %d", status.ExitStatus())
	}
}

func TestAHangStopsItsHeartAndNothingElse(t *testing.T) {
	bus, folder := world(t)
	l := start(t, bus, folder).ready()
	l.order("hang")
	beat, since := l.number("heartbeat"), time.Now()
	l.until("its heart stands still for ten periods", func() bool {
		if now := l.number("heartbeat"); now != beat {
			beat, since = now, time.Now()
		}
		return time.Since(since) > time.Second
	})
	if err := supervised.Ping(t.Context(), bus, testName); err != nil {
		t.Error(err)
	}
}

func TestASlowHeartBeatsOnTooSeldom(t *testing.T) {
	bus, folder := world(t)
	l := start(t, bus, folder).ready()
	l.order("slow-heart-beat")
	beat, since := l.number("heartbeat"), time.Now()
	l.until("a beat comes after more than two periods", func() bool {
		now := l.number("heartbeat")
		if now == beat {
			return false
		}
		paused := time.Since(since)
		beat, since = now, time.Now()
		return paused > 400*time.Millisecond
	})
}

func TestWhatItTakesIsTaken(t *testing.T) {
	tests := map[string]func(l *life) bool{
		"spin":             func(l *life) bool { return l.ticks() > 100 },
		"leak":             func(l *life) bool { return l.resident() > 128<<20 },
		"fork-bomb":        func(l *life) bool { return l.processes() >= 3 },
		"open-descriptors": func(l *life) bool { return l.descriptors() >= descriptorLimit-1 },
	}
	for order, taken := range tests {
		t.Run(order, func(t *testing.T) {
			l := start(t, first(world(t)), t.TempDir()).ready()
			limit := unix.Rlimit{Cur: descriptorLimit, Max: descriptorLimit}
			if err := unix.Prlimit(l.cmd.Process.Pid, unix.RLIMIT_NOFILE, &limit, nil); err != nil {
				t.Fatal(err)
			}
			l.order(order)
			l.until("it has taken what it was told to", func() bool { return taken(l) })
		})
	}
}

const descriptorLimit = 64

func TestAFullDiskDegradesItUntilThereIsSpace(t *testing.T) {
	bus, folder := world(t)
	l := start(t, bus, folder).ready()
	if err := os.Symlink("/dev/full", filepath.Join(folder, savedFile+".next")); err != nil {
		t.Fatal(err)
	}
	l.order("save")
	l.expect("DEGRADED=it cannot save: no space is left on /data")
	l.expect("WELL=1")
}

func TestADeafOneBeatsButAnswersNobody(t *testing.T) {
	bus, folder := world(t)
	l := start(t, bus, folder).ready()
	l.order("deaf")
	l.until("a ping finds nobody", func() bool { return supervised.Ping(t.Context(), bus, testName) != nil })
	l.until("its count stands still while its heart beats", func() bool {
		work, beat := l.number("work"), l.number("heartbeat")
		l.until("its heart beats", func() bool { return l.number("heartbeat") != beat })
		return l.number("work") == work
	})
	l.order("complain faulty-x")
	l.expect("COMPLAIN=faulty-x it does not answer its peers")
}

func TestWhatStandsUnderNextIsDoneOnce(t *testing.T) {
	bus, folder := world(t)
	next := func(what string) *life {
		if err := bus.Set("service/"+testName+"/next", []byte(what)); err != nil {
			t.Fatal(err)
		}
		return start(t, bus, folder)
	}
	l := next("never-ready")
	l.until("it has read what to do", func() bool {
		value, _, err := bus.Get("service/" + testName + "/next")
		return err == nil && len(value) == 0
	})
	l.kill()
	if len(l.told) > 0 {
		t.Errorf("it told %q", <-l.told)
	}

	l = next("false-ready").ready()
	l.until("its heart has beaten", func() bool {
		_, _, err := bus.Get("service/" + testName + "/heartbeat")
		return err == nil
	})
	beat := l.number("heartbeat")
	l.until("its heart beats", func() bool { return l.number("heartbeat") != beat })
	if err := supervised.Ping(t.Context(), bus, testName); err == nil {
		t.Error("it answers")
	}
	l.kill()

	l = start(t, bus, folder).ready()
	if err := supervised.Ping(t.Context(), bus, testName); err != nil {
		t.Errorf("the life after: %v", err)
	}
	l.kill()

	l = start(t, bus, folder, "FAULTY_BORN=dies-when-ready").ready()
	if status := l.end(); status.ExitStatus() != 1 {
		t.Errorf("the bad version ended with %d", status.ExitStatus())
	}
}
