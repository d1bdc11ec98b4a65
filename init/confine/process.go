package confine

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Process is a started process. It is waited for by Wait and by nobody else.
type Process struct {
	pid    int
	pidfd  *os.File // readable when it has ended
	reaped func()   // called once nobody can mistake it for another any more

	once sync.Once
	exit Exit
	err  error
	done chan struct{}
}

func newProcess(pid, pidfd int) (*Process, error) {
	if err := unix.SetNonblock(pidfd, true); err != nil {
		return nil, fmt.Errorf("watch process %d: %w", pid, err)
	}
	return &Process{pid: pid, pidfd: os.NewFile(uintptr(pidfd), "pidfd"), done: make(chan struct{})}, nil
}

// PID is its number as gilgul sees it; it sees itself as 1.
func (p *Process) PID() int { return p.pid }

// Signal sends a signal to exactly this process, or returns os.ErrProcessDone.
// As PID 1 of its namespace it only gets signals that it handles, and SIGKILL
// and SIGSTOP.
func (p *Process) Signal(signal syscall.Signal) error {
	raw, err := p.pidfd.SyscallConn()
	if err != nil {
		return fmt.Errorf("signal process %d: %w", p.pid, err)
	}
	var sent error
	if err := raw.Control(func(fd uintptr) { sent = unix.PidfdSendSignal(int(fd), signal, nil, 0) }); err != nil {
		return os.ErrProcessDone // closed: Wait is over
	}
	if errors.Is(sent, unix.ESRCH) {
		return os.ErrProcessDone
	}
	if sent != nil {
		return fmt.Errorf("signal process %d: %w", p.pid, sent)
	}
	return nil
}

// Wait waits until the process has ended and returns how; any number may wait.
// With the process, which is the first of its pid namespace, all those have
// ended that it made. No thread waits: the kernel tells the runtime's poller.
func (p *Process) Wait() (Exit, error) {
	p.once.Do(func() {
		defer close(p.done)
		p.exit, p.err = waitByPidfd(p.pidfd)
		p.reaped()
		p.pidfd.Close()
	})
	<-p.done
	return p.exit, p.err
}

func waitByPidfd(pidfd *os.File) (Exit, error) {
	raw, err := pidfd.SyscallConn()
	if err != nil {
		return Exit{}, fmt.Errorf("wait for a process: %w", err)
	}
	var exit Exit
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		var ended bool
		exit, ended, failed = reap(int(fd))
		return ended || failed != nil
	})
	if err = errors.Join(err, failed); err != nil {
		return Exit{}, fmt.Errorf("wait for a process: %w", err)
	}
	return exit, nil
}
