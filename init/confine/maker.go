package confine

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"runa/init/contain"
)

// maker is a thread that makes children. It lives as long as the launcher,
// which makes the children's parent-death signal mean gilgul's death.
type maker struct {
	work   chan func()
	closed chan struct{}
}

func newMaker() *maker {
	m := &maker{work: make(chan func()), closed: make(chan struct{})}
	contain.Go("make processes", m.serve)
	return m
}

// serve does not take the process's first thread: that one never ends.
func (m *maker) serve() {
	runtime.LockOSThread()
	if unix.Gettid() == os.Getpid() {
		contain.Go("make processes", m.serve) // can't get this thread, which is still locked
		m.do(runtime.Gosched)                 // returns on the other one
		runtime.UnlockOSThread()
		return
	}
	// From here on never unlocked: the thread ends with the goroutine.
	for {
		select {
		case f := <-m.work:
			_ = contain.Call("make a process", func() error { f(); return nil })
		case <-m.closed:
			return
		}
	}
}

// do runs f on the thread and waits for its end, whatever that is; false: the
// thread is gone.
func (m *maker) do(f func()) bool {
	done := make(chan struct{})
	select {
	case m.work <- func() { defer close(done); f() }:
		<-done
		return true
	case <-m.closed:
		return false
	}
}

func (m *maker) close() { close(m.closed) }
