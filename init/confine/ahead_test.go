package confine

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"runa/init/manifest"
)

// waitingAhead returns the process that waits ahead once there is one.
func waitingAhead(t *testing.T, l *Launcher) *nascent {
	t.Helper()
	for deadline := time.Now().Add(soon); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		l.mu.Lock()
		n := l.ahead
		l.mu.Unlock()
		if n != nil {
			return n
		}
	}
	t.Fatal("no process waits ahead")
	return nil
}

func TestTheProcessThatWaitsAheadServesTheNextStart(t *testing.T) {
	slice := testSlice(t)
	l := newLauncher(t, Options{})
	l.Prepare(slice)
	for range 3 {
		waits := waitingAhead(t, l).process.PID()
		spec := shell("cat /proc/self/cgroup; exit 4")
		if slice != nil {
			spec.Cgroup = slice.New("a", manifest.Limits{PIDs: 64})
		}
		out, exit := output(t, l, spec)
		if exit.Status.ExitStatus() != 4 {
			t.Errorf("status %v", exit.Status)
		}
		if again := waitingAhead(t, l).process.PID(); again == waits {
			t.Error("the start did not take the one that waited")
		}
		if slice == nil {
			continue
		}
		if name := spec.Cgroup.Path()[len(slice.Path()):]; !strings.Contains(out, name+"\n") {
			t.Errorf("its cgroup is not %s: %s", name, out)
		}
		spec.Cgroup.EndLater(func(err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	last := waitingAhead(t, l).process
	l.Close()
	if err := last.Signal(0); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("it waits on after the launcher was closed: %v", err)
	}
	if _, err := l.Start(shell("true")); !errors.Is(err, ErrClosed) {
		t.Errorf("start after close: %v", err)
	}
}

func TestOneThatDiedWhileItWaitedCostsNothing(t *testing.T) {
	l := newLauncher(t, Options{})
	l.Prepare(nil)
	n := waitingAhead(t, l)
	if err := n.process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if _, err := n.process.Wait(); err != nil {
		t.Fatal(err)
	}
	if _, exit := output(t, l, shell("exit 5")); exit.Status.ExitStatus() != 5 {
		t.Errorf("status %v", exit.Status)
	}
}

func TestProbesRunInTheServicesOwnCgroup(t *testing.T) {
	slice := needSlice(t)
	l := newLauncher(t, Options{})
	l.Prepare(slice)
	waitingAhead(t, l)
	spec := shell("cat /proc/self/cgroup")
	spec.Cgroup = slice.New("a", manifest.Limits{})
	first, _ := output(t, l, spec)
	second, _ := output(t, l, spec)
	if own := filepath.Base(spec.Cgroup.Path()); first != second || !strings.Contains(first, own+"\n") {
		t.Errorf("its cgroup is %s: first in %s, second in %s", own, first, second)
	}
	for range 2 { // the second time there is nothing to do
		if err := spec.Cgroup.End(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
