package supervise

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// soon bounds what ought to happen at once, on a machine that is busy.
const soon = 30 * time.Second

func newReaper(t testing.TB) *Reaper {
	t.Helper()
	r := NewReaper(false)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { r.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	return r
}

func TestTheReaperGivesEachChildItsStatus(t *testing.T) {
	r := newReaper(t)
	for i := range 50 {
		// Many end before Command returns: no status may be lost.
		wait, err := r.Command(exec.Command("/bin/sh", "-c", fmt.Sprint("exit ", i)))
		if err != nil {
			t.Fatal(err)
		}
		if status := wait(); status.ExitStatus() != i {
			t.Fatalf("child %d: status %d", i, status.ExitStatus())
		}
	}
	var out strings.Builder
	cmd := exec.Command("/bin/sh", "-c", "echo hello; kill -9 $$")
	cmd.Stdout = &out
	wait, err := r.Command(cmd)
	if err != nil {
		t.Fatal(err)
	}
	if status := wait(); status.Signal() != syscall.SIGKILL || out.String() != "hello\n" {
		t.Fatalf("%v, %q", status, out.String())
	}
	if _, err := r.Command(exec.Command("/nowhere/program")); !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
}

// TestAsPID1EveryOrphanIsReapedAndNobodyElse runs this test binary again as a
// subreaper, which the kernel gives orphans as it gives them to PID 1.
func TestAsPID1EveryOrphanIsReapedAndNobodyElse(t *testing.T) {
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestHelperSubreaper$", "-test.v")
	cmd.Env = append(os.Environ(), "RUNA_TEST_SUBREAPER=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "reaped 20 orphans, left 50 children to their owner") {
		t.Fatalf("%v\n%s", err, out)
	}
}

func TestHelperSubreaper(t *testing.T) {
	if os.Getenv("RUNA_TEST_SUBREAPER") == "" {
		return // only runs as a child of the test above
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	r := NewReaper(true)
	owner := &owner{pids: map[int]bool{}}
	r.Leave(owner.owns)
	go r.Run(ctx)
	late := owner.start(t, "exit 9") // its owner only waits when all is over: nobody may wait behind it
	script := "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do sh -c 'kill -STOP $$; exit 3' & done; exit 7"
	wait, err := r.Command(exec.Command("/bin/sh", "-c", script))
	if err != nil {
		t.Fatal(err)
	}
	if status := wait(); status.ExitStatus() != 7 {
		t.Fatalf("status %d", status.ExitStatus())
	}
	left := 0
	for i := range 50 {
		if status := owner.wait(t, owner.start(t, fmt.Sprint("exit ", i))); status != i {
			t.Fatalf("child %d: status %d", i, status)
		}
		left++
	}
	for r.Orphans() < 20 && ctx.Err() == nil {
		for _, pid := range childrenOf(os.Getpid()) {
			unix.Kill(pid, unix.SIGCONT)
		}
		time.Sleep(time.Millisecond)
	}
	if status := owner.wait(t, late); status != 9 {
		t.Fatalf("the child waited for late: status %d", status)
	}
	fmt.Printf("reaped %d orphans, left %d children to their owner\n", r.Orphans(), left)
}

// owner makes children and waits for them by their pidfd, as confine does.
type owner struct {
	mu   sync.Mutex
	pids map[int]bool
}

func (o *owner) owns(pid int) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.pids[pid]
}

func (o *owner) start(t *testing.T, script string) *os.Process {
	o.mu.Lock()
	defer o.mu.Unlock()
	p, err := os.StartProcess("/bin/sh", []string{"sh", "-c", script}, &os.ProcAttr{})
	if err != nil {
		t.Fatal(err)
	}
	o.pids[p.Pid] = true
	return p
}

func (o *owner) wait(t *testing.T, p *os.Process) int {
	state, err := p.Wait()
	if err != nil {
		t.Fatalf("wait for child %d: %v", p.Pid, err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.pids, p.Pid)
	return state.ExitCode()
}

// childrenOf lists the processes whose parent is pid, the dead ones too.
func childrenOf(parent int) []int {
	entries, _ := os.ReadDir("/proc")
	var pids []int
	for _, entry := range entries {
		var pid, ppid int
		if _, err := fmt.Sscan(entry.Name(), &pid); err != nil {
			continue
		}
		text, _ := os.ReadFile("/proc/" + entry.Name() + "/stat")
		_, after, found := cutLast(string(text), ") ")
		var state string
		if _, err := fmt.Sscan(after, &state, &ppid); found && err == nil && ppid == parent {
			pids = append(pids, pid)
		}
	}
	return pids
}

func TestADeadChildIsToldFromALiveOneWhateverItsName(t *testing.T) {
	for stat, want := range map[string]bool{
		"12 (sh) Z 7 12 12":          true,
		"12 (sh) S 7 12 12":          false,
		"12 (sh) Z 8 12 12":          false,
		"12 () Z 7 (a b) Z 7 ) S 7 ": false,
		"12 (x) S 7) Z 7 1":          true,
		"12 (sh":                     false,
		"":                           false,
	} {
		if got := isDeadChild(stat, 7); got != want {
			t.Errorf("%q: %v", stat, got)
		}
	}
}
