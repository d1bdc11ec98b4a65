package supervise

import (
	"context"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"runa/init/contain"
)

// Reaper waits for the children of this process. As PID 1 it also waits for
// the orphans of the whole system, which the kernel gives it.
//
// A child has one owner who waits for it. Those made through Start or Command
// belong to the reaper. Services belong to package confine, which waits for
// them by their pidfd and so hears of an end without SIGCHLD; Leave tells the
// reaper how to know them. So that the reaper, which must take whatever orphan
// there is, takes none of these, it looks at who has ended before it waits
// (WNOWAIT), and leaves what belongs to another. A child that is made in any
// other way and waited for elsewhere may lose its status here.
type Reaper struct {
	orphans bool
	signals chan os.Signal

	// mu is held while a child is made and while one is reaped, so that no
	// child can be reaped before it is known, and no pid is signalled after.
	mu      sync.Mutex
	waiting map[int]chan<- syscall.WaitStatus
	owners  []func(pid int) bool
	reaped  uint64 // orphans
}

// A child that belongs to another stands before the orphans that ended after
// it until its owner, who is told at the same time, has waited for it. The
// reaper looks again after blockedFirst, then ever later; when it was blocked
// for blockedLast it goes round.
const (
	blockedFirst = time.Millisecond
	blockedLast  = time.Second
)

// NewReaper returns a reaper; orphans says that this process is PID 1 (or a
// subreaper) and so has to wait for children it did not make.
func NewReaper(orphans bool) *Reaper {
	r := &Reaper{
		orphans: orphans, signals: make(chan os.Signal, 1), waiting: map[int]chan<- syscall.WaitStatus{},
	}
	signal.Notify(r.signals, unix.SIGCHLD)
	return r
}

// Leave has the reaper leave to others the children that owns knows as theirs.
// owns may be called from any goroutine, and must know a child from its birth
// until it was waited for.
func (r *Reaper) Leave(owns func(pid int) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.owners = append(r.owners, owns)
}

// Run reaps until the context ends. SIGCHLDs may merge into one, so each one
// means: reap all there are.
func (r *Reaper) Run(ctx context.Context) {
	defer signal.Stop(r.signals)
	pause := blockedFirst
	for {
		blocked := false
		_ = contain.Call("reap children", func() error {
			blocked = r.reapAll()
			if blocked && pause > blockedLast {
				r.reapBehind()
			}
			return nil
		})
		var again <-chan time.Time
		if blocked {
			again = time.After(min(pause, blockedLast))
		} else {
			pause = blockedFirst
		}
		select {
		case <-ctx.Done():
			return
		case <-r.signals:
		case <-again:
			pause = min(2*pause, 2*blockedLast)
		}
	}
}

// Start calls fork, which makes a child and returns its pid, and returns where
// the child's status will be sent, once.
func (r *Reaper) Start(fork func() (int, error)) (int, <-chan syscall.WaitStatus, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	pid, err := fork()
	if err != nil {
		return 0, nil, err
	}
	exit := make(chan syscall.WaitStatus, 1)
	r.waiting[pid] = exit
	return pid, exit, nil
}

// Command starts a command that is not a service. wait returns its status when
// it has ended and its output is copied; call it once, and not cmd.Wait.
func (r *Reaper) Command(cmd *exec.Cmd) (wait func() syscall.WaitStatus, err error) {
	_, exit, err := r.Start(func() (int, error) {
		if err := cmd.Start(); err != nil {
			return 0, err
		}
		return cmd.Process.Pid, nil
	})
	if err != nil {
		return nil, err
	}
	return func() syscall.WaitStatus {
		status := <-exit
		cmd.Wait() // only ends the copying: the child is already reaped
		return status
	}, nil
}

// Signal sends a signal to a child that was made by Start or Command and lives,
// and does nothing otherwise, so it never hits a stranger that got the same pid.
func (r *Reaper) Signal(pid int, signal syscall.Signal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, lives := r.waiting[pid]; lives {
		unix.Kill(pid, signal)
	}
}

// Orphans counts the children reaped that were not made here.
func (r *Reaper) Orphans() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reaped
}
