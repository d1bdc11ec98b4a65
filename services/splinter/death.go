package splinter

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// deaths tells of the ends of other handles. When a process ends the kernel closes
// its descriptors of the bus's file, and says so to who has an inotify watch on
// that file: then those whose deaths somebody waits for are looked at (life.go
// has why that look is never too early). It takes one goroutine in the runtime's
// poller, whatever the number of watches: no thread, no polling, and no pids, so it
// works across pid namespaces.
type deaths struct {
	mu      sync.Mutex
	events  *os.File // nil until the first watch, and if the kernel gives none
	looking bool
	closed  bool
	blind   bool          // for tests: as if the kernel gave no inotify instance
	ended   chan struct{} // closed with the handle
	watches map[*deathWatch]struct{}
}

// deathWatch waits for the end of one handle.
type deathWatch struct {
	bus   *Bus
	owner uint64
	died  func()
}

// lookEvery is how often deaths are looked for where the kernel gives no inotify
// instance, of which a user has 128 by default.
const lookEvery = 100 * time.Millisecond

// watchDeath calls died, once and from a goroutine of its own, when the owner's
// process has ended; at once if it has.
func (b *Bus) watchDeath(owner uint64, died func()) *deathWatch {
	w := &deathWatch{bus: b, owner: owner, died: died}
	d := &b.deaths
	d.mu.Lock()
	if d.watches == nil {
		d.watches = map[*deathWatch]struct{}{}
	}
	d.watches[w] = struct{}{}
	if !d.looking && !d.closed {
		d.looking, d.ended = true, make(chan struct{})
		events, ended := b.watchFile(), d.ended
		d.events = events
		b.start(func() { b.awaitDeaths(events, ended) })
	}
	d.mu.Unlock()
	if !b.alive(owner) { // it may have ended before anybody watched
		b.tellDeath(w)
	}
	return w
}

// stop ends the watch; died may be under way.
func (w *deathWatch) stop() {
	d := &w.bus.deaths
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.watches, w)
}

// tellDeath calls died unless it was called or the watch was stopped.
func (b *Bus) tellDeath(w *deathWatch) {
	d := &b.deaths
	d.mu.Lock()
	_, waits := d.watches[w]
	delete(d.watches, w)
	d.mu.Unlock()
	if waits {
		b.start(w.died)
	}
}

// watchFile is told of every description of the bus's file that is closed; nil if
// that can't be had.
func (b *Bus) watchFile() *os.File {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err == nil && b.deaths.blind {
		unix.Close(fd)
		return nil
	}
	if err != nil {
		return nil
	}
	_, err = unix.InotifyAddWatch(fd, b.life.path(), unix.IN_CLOSE_WRITE)
	if err != nil && b.life.isAt(b.path) { // a process that may not be traced has no /proc/self/fd
		_, err = unix.InotifyAddWatch(fd, b.path, unix.IN_CLOSE_WRITE)
	}
	if err != nil {
		unix.Close(fd)
		return nil
	}
	return os.NewFile(uintptr(fd), "inotify")
}

// path names the file of the handle for this process, whatever became of its name.
func (l *life) path() string { return fmt.Sprintf("/proc/self/fd/%d", l.files[0]) }

// isAt says whether the path still names the handle's file.
func (l *life) isAt(path string) bool {
	var here, there unix.Stat_t
	return unix.Fstat(l.files[0], &here) == nil && unix.Stat(path, &there) == nil && here.Dev == there.Dev && here.Ino == there.Ino
}

// announce makes everybody look who waits for deaths.
func (l *life) announce() {
	if fd, err := unix.Open(l.path(), unix.O_RDWR|unix.O_CLOEXEC, 0); err == nil {
		unix.Close(fd)
	}
}

// awaitDeaths looks after each event until the handle is closed.
func (b *Bus) awaitDeaths(events *os.File, ended chan struct{}) {
	buffer := make([]byte, 4096)
	for events != nil {
		if _, err := events.Read(buffer); err != nil {
			if errors.Is(err, os.ErrClosed) {
				return
			}
			events = nil
		}
		b.lookForDeaths()
	}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			return
		case <-tick.C:
			b.lookForDeaths()
		}
	}
}

func (b *Bus) lookForDeaths() {
	d := &b.deaths
	d.mu.Lock()
	watches := keysOf(d.watches)
	d.mu.Unlock()
	lives := map[uint64]bool{}
	for _, w := range watches {
		alive, known := lives[w.owner]
		if !known {
			alive = b.alive(w.owner)
			lives[w.owner] = alive
		}
		if !alive {
			b.tellDeath(w)
		}
	}
	runtime.KeepAlive(b)
}

// close ends all watches; a death that comes later is told to nobody.
func (d *deaths) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return
	}
	d.closed = true
	d.watches = nil
	if d.looking {
		close(d.ended)
	}
	if d.events != nil {
		d.events.Close()
	}
}
