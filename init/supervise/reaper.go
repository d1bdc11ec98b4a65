package supervise

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Reaper is the only one in a process that waits for its children. As PID 1 it
// also waits for the orphans of the whole system, which the kernel gives it.
// Whoever starts a child must do it through Start or Command: a child that is
// waited for elsewhere (os.Process.Wait, exec.Cmd.Wait) loses its status here.
type Reaper struct {
	orphans bool
	signals chan os.Signal

	// mu is held while a child is made and while one is reaped, so that no
	// child can be reaped before it is known, and no pid is signalled after.
	mu      sync.Mutex
	waiting map[int]chan<- syscall.WaitStatus
	reaped  uint64 // orphans
}

// NewReaper returns a reaper; orphans says that this process is PID 1 (or a
// subreaper) and so has to wait for children it did not make.
func NewReaper(orphans bool) *Reaper {
	r := &Reaper{orphans: orphans, signals: make(chan os.Signal, 1), waiting: map[int]chan<- syscall.WaitStatus{}}
	signal.Notify(r.signals, unix.SIGCHLD)
	return r
}

// Run reaps until the context ends. SIGCHLDs may merge into one, so each one
// means: reap all there are.
func (r *Reaper) Run(ctx context.Context) {
	defer signal.Stop(r.signals)
	for {
		r.reapAll()
		select {
		case <-ctx.Done():
			return
		case <-r.signals:
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

// Signal sends a signal to a child that was started here and lives, and does
// nothing otherwise, so it never hits a stranger that got the same pid.
func (r *Reaper) Signal(pid int, signal syscall.Signal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, lives := r.waiting[pid]; lives {
		unix.Kill(pid, signal)
	}
}

// Orphans counts the children reaped that were not started here.
func (r *Reaper) Orphans() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reaped
}

func (r *Reaper) reapAll() {
	if r.orphans {
		for r.reapOne(-1) {
		}
		return
	}
	r.mu.Lock()
	pids := make([]int, 0, len(r.waiting))
	for pid := range r.waiting {
		pids = append(pids, pid)
	}
	r.mu.Unlock()
	for _, pid := range pids {
		r.reapOne(pid)
	}
}

// reapOne waits for one child that has ended and says whether there was one.
func (r *Reaper) reapOne(which int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	var status unix.WaitStatus
	pid, err := unix.Wait4(which, &status, unix.WNOHANG, nil)
	if errors.Is(err, unix.EINTR) {
		return true
	}
	if err != nil || pid <= 0 {
		return false
	}
	exit, ours := r.waiting[pid]
	if !ours {
		r.reaped++
		return true
	}
	delete(r.waiting, pid)
	exit <- syscall.WaitStatus(status)
	return true
}
