package confine

import (
	"time"

	"runa/init/contain"
)

// aheadAfter is left to the service that was just started to begin, before the
// next process is made.
const aheadAfter = 4 * time.Millisecond

// aheadLater begins to make the next process to wait ahead, unless one waits
// or is being made.
func (l *Launcher) aheadLater() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || !l.keep || l.ahead != nil || l.making != nil {
		return
	}
	made := make(chan struct{})
	l.making = made
	slice := l.slice
	contain.Go("make the process that waits ahead", func() {
		defer close(made)
		time.Sleep(aheadAfter)
		n, err := l.makeAhead(slice)
		if err != nil {
			// The next start makes its own and tells the same trouble.
			l.log.Warn("no process waits ahead", "error", err)
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.ahead, l.making = n, nil
	})
}

func (l *Launcher) makeAhead(slice *Slice) (*nascent, error) {
	if slice == nil {
		return l.bear("", l.can.namespaces)
	}
	path, err := slice.folder("ahead")
	if err != nil {
		return nil, err
	}
	c := &Cgroup{slice: slice, path: path}
	n, err := l.bear(path, l.can.namespaces)
	if err != nil {
		c.EndLater(nil)
		return nil, err
	}
	n.cgroup = c
	return n, nil
}

// take returns a process for a start: the one that waited ahead if it fits, or
// else a new one.
func (l *Launcher) take(spec Spec) (n *nascent, waited bool, err error) {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil, false, ErrClosed
	}
	if n = l.ahead; n != nil && n.fits(spec.Cgroup) {
		l.ahead = nil
		l.mu.Unlock()
		return n, true, n.join(spec.Cgroup)
	}
	l.mu.Unlock()
	n, err = l.bearFor(spec)
	return n, false, err
}

// bearFor makes a process in the cgroup of a start.
func (l *Launcher) bearFor(spec Spec) (*nascent, error) {
	path := ""
	if spec.Cgroup != nil {
		var err error
		if path, err = spec.Cgroup.make(); err != nil {
			return nil, err
		}
	}
	return l.bear(path, l.can.namespaces)
}

// join makes the cgroup in which the process waits that of the service.
func (n *nascent) join(c *Cgroup) error {
	if c == nil {
		return nil
	}
	if err := c.adopt(n.cgroup.slice, n.cgroup.path); err != nil {
		n.end()
		return err
	}
	n.adopted = true
	return nil
}
