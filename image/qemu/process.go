package qemu

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"runa/services/hint"
)

// Process is a QEMU that runs. It ends when the guest powers off, when Kill is
// called or when the context of Start ends, whichever comes first.
type Process struct {
	Consoles []net.Conn // the guest's serial consoles, with Attached
	Monitor  net.Conn   // QMP, if the machine asked for it

	command *exec.Cmd
	stderr  tail
	done    chan struct{}
	err     error // valid once done is closed
}

// Start checks the description and starts QEMU. With Stdio QEMU stays in this
// process's group, because only the foreground group may read the terminal;
// otherwise it leads a group of its own, which is killed as a whole.
func (m Machine) Start(ctx context.Context) (*Process, error) {
	if err := m.Check(); err != nil {
		return nil, fmt.Errorf("start QEMU: %w", err)
	}
	program, err := exec.LookPath(Binary)
	if err != nil {
		return nil, hint.New(fmt.Errorf("start QEMU: %w", err), "apt-get install qemu-system-x86")
	}
	p := &Process{command: exec.Command(program, m.Args()...), done: make(chan struct{})}
	p.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: m.Serial == Attached}
	p.command.Stderr = &p.stderr
	if m.Serial != Attached {
		p.command.Stdin, p.command.Stdout = os.Stdin, os.Stdout
		p.command.Stderr = io.MultiWriter(&p.stderr, os.Stderr)
	}
	theirs, err := p.connect(m)
	if err != nil {
		return nil, fmt.Errorf("start QEMU: %w", err)
	}
	started := make(chan error, 1)
	go p.run(started)
	err = <-started
	closeAll(theirs)
	if err != nil {
		p.closeConnections()
		return nil, fmt.Errorf("start QEMU: %w", err)
	}
	go func() {
		select {
		case <-ctx.Done():
			p.Kill()
		case <-p.done:
		}
	}()
	return p, nil
}

// connect makes the socket pairs that QEMU inherits; it returns QEMU's ends, in
// the order of the descriptors that Args names.
func (p *Process) connect(m Machine) ([]*os.File, error) {
	var theirs []*os.File
	wanted := []bool{m.Monitor, m.Serial == Attached, m.SecondConsole}
	for i, want := range wanted {
		if !want {
			p.command.ExtraFiles = append(p.command.ExtraFiles, nil)
			continue
		}
		ours, other, err := socketPair()
		if err != nil {
			closeAll(theirs)
			p.closeConnections()
			return nil, err
		}
		theirs = append(theirs, other)
		p.command.ExtraFiles = append(p.command.ExtraFiles, other)
		if i == 0 {
			p.Monitor = ours
		} else {
			p.Consoles = append(p.Consoles, ours)
		}
	}
	return theirs, nil
}

func socketPair() (net.Conn, *os.File, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make a socket pair: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "console"), os.NewFile(uintptr(pair[1]), "console")
	defer ours.Close()
	connection, err := net.FileConn(ours)
	if err != nil {
		theirs.Close()
		return nil, nil, err
	}
	return connection, theirs, nil
}

// run starts QEMU and waits for it on one thread: the kernel sends the parent
// death signal when the thread that made the child ends.
func (p *Process) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := p.command.Start(); err != nil {
		started <- err
		return
	}
	started <- nil
	err := p.command.Wait()
	if err != nil {
		if words := strings.TrimSpace(p.stderr.String()); words != "" {
			err = fmt.Errorf("%w: %s", err, words)
		}
		p.err = fmt.Errorf("run QEMU: %w", err)
	}
	close(p.done)
}

// PID returns QEMU's process id.
func (p *Process) PID() int { return p.command.Process.Pid }

// Done is closed when QEMU has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait waits for QEMU's end and returns nil if it was the guest that ended it.
func (p *Process) Wait() error {
	<-p.done
	return p.err
}

// Kill ends QEMU, with its whole group if it has one, and waits until it is
// gone. A QEMU on the terminal is asked first, because it must give the
// terminal back as it was.
func (p *Process) Kill() {
	defer p.closeConnections()
	if p.command.SysProcAttr.Setpgid {
		p.signal(-p.PID(), syscall.SIGKILL)
		<-p.done
		return
	}
	p.signal(p.PID(), syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(2 * time.Second):
		p.signal(p.PID(), syscall.SIGKILL)
		<-p.done
	}
}

// signal sends nothing once QEMU was waited for, as its id may be another's.
func (p *Process) signal(pid int, signal syscall.Signal) {
	select {
	case <-p.done:
	default:
		_ = syscall.Kill(pid, signal)
	}
}

// Run starts the machine on this process's terminal and waits for its end. It
// leaves the terminal as it found it.
func (m Machine) Run(ctx context.Context) error {
	m.Serial = Stdio
	if state, err := term.GetState(int(os.Stdin.Fd())); err == nil {
		defer term.Restore(int(os.Stdin.Fd()), state)
	}
	process, err := m.Start(ctx)
	if err != nil {
		return err
	}
	return errors.Join(process.Wait(), ctx.Err())
}

func (p *Process) closeConnections() {
	for _, connection := range p.Consoles {
		connection.Close()
	}
	if p.Monitor != nil {
		p.Monitor.Close()
	}
}

func closeAll(files []*os.File) {
	for _, file := range files {
		file.Close()
	}
}

// tail keeps the last 4 KiB written to it.
type tail struct {
	mutex sync.Mutex
	bytes []byte
}

func (t *tail) Write(b []byte) (int, error) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	t.bytes = append(t.bytes, b...)
	if extra := len(t.bytes) - 4096; extra > 0 {
		t.bytes = t.bytes[extra:]
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	return string(t.bytes)
}
