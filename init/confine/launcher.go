package confine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"sync"
	"syscall"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"

	"runa/init/contain"
)

// ErrClosed is what Start returns when the launcher is closed.
var ErrClosed = errors.New("no more processes are started")

// Launcher makes processes.
type Launcher struct {
	enclose string
	refused func(Refusal)
	log     hclog.Logger
	maker   *maker
	can     abilities

	mu     sync.Mutex
	closed bool
	ahead  *nascent      // waits for the next start; nil: nobody
	making chan struct{} // closed when the next one waits; nil: none is being made
	slice  *Slice        // in whose cgroups they wait; nil: in none
	keep   bool          // one is to wait

	births sync.Mutex   // held while a child is made
	owned  map[int]bool // children that nobody else may reap
}

// NewLauncher finds out what can be confined here. Descriptors that gilgul
// itself was born with beyond the standard three are marked so that no service
// gets them.
func NewLauncher(o Options) (*Launcher, error) {
	if err := unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return nil, fmt.Errorf("keep inherited descriptors from services: %w", err)
	}
	l := &Launcher{enclose: o.Enclose, refused: o.Refused, log: o.Log, owned: map[int]bool{}}
	if l.enclose == "" {
		l.enclose = "/bin/enclose"
	}
	if l.log == nil {
		l.log = hclog.NewNullLogger()
	}
	if o.Owns != nil {
		o.Owns(l.Owns)
	}
	l.maker = newMaker()
	if err := l.probe(); err != nil {
		l.maker.close()
		return nil, fmt.Errorf("find out what can be confined: %w", err)
	}
	return l, nil
}

// Missing lists what this launcher cannot confine, in plain words.
func (l *Launcher) Missing() []string { return l.can.missing() }

// Owns says whether a process is a child of this launcher, so that nobody else
// may reap it.
func (l *Launcher) Owns(pid int) bool {
	l.births.Lock()
	defer l.births.Unlock()
	return l.owned[pid]
}

// Start makes a process and returns once the program runs in it (exec has
// succeeded). If anything of its confinement fails, nothing is started.
func (l *Launcher) Start(spec Spec) (*Process, error) {
	plan, err := l.plan(spec)
	if err != nil {
		return nil, err
	}
	defer plan.close()
	n, waited, err := l.take(spec)
	if err != nil {
		return nil, err
	}
	err = l.finish(n, plan, spec)
	if err != nil && waited {
		// It may have ended while it waited, or know mounts of long ago.
		if n, err = l.bearFor(spec); err == nil {
			err = l.finish(n, plan, spec)
		}
	}
	if err != nil {
		return nil, err
	}
	l.aheadLater()
	return n.process, nil
}

// finish makes the service of a process that runs enclose, or ends it.
func (l *Launcher) finish(n *nascent, p *plan, spec Spec) error {
	err := n.become(p, func(listener *os.File) {
		contain.Go("refusals of "+spec.Service, func() { l.listen(listener, spec.Service, n.process.PID()) })
	})
	if err != nil {
		n.end()
	}
	return err
}

// Run starts a process and waits for its end, as probes and policy programs
// need it. If the context ends first the process is killed.
func (l *Launcher) Run(ctx context.Context, spec Spec) (Exit, error) {
	p, err := l.Start(spec)
	if err != nil {
		return Exit{}, err
	}
	stop := context.AfterFunc(ctx, func() { _ = p.Signal(syscall.SIGKILL) })
	defer stop()
	exit, err := p.Wait()
	if ctx.Err() != nil && !stop() {
		return exit, context.Cause(ctx)
	}
	return exit, err
}

// Prepare keeps from now on a process waiting ahead for the next start, in a
// cgroup of the slice (nil: in gilgul's own). It returns at once.
func (l *Launcher) Prepare(slice *Slice) {
	l.mu.Lock()
	l.slice, l.keep = slice, true
	l.mu.Unlock()
	l.aheadLater()
}

// Close starts no more processes and returns when the one that waited ahead is
// gone: it holds all file systems that were mounted when it was made. Outside
// of PID 1, all processes of this launcher end with it.
func (l *Launcher) Close() {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return
	}
	l.closed = true
	making := l.making
	l.mu.Unlock()
	if making != nil {
		<-making
	}
	l.mu.Lock()
	n := l.ahead
	l.ahead = nil
	l.mu.Unlock()
	if n != nil {
		n.end()
	}
	l.maker.close()
}
