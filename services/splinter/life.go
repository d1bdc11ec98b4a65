package splinter

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// A handle is alive for as long as it holds two locks on bytes of the bus's file
// that lie far behind its end, at places that its number gives. They are locks of
// an open file description (fcntl(2), F_OFD_SETLK): the kernel gives them up when
// the process ends in whatever way, and anybody who has the file open can ask for
// them, from other pid and user namespaces too, where a pid says nothing.
//
// There are two, each of a description of its own, because of how a death is
// heard of (death.go): the kernel says that a description was closed just before
// it gives up that description's lock. Of two, the first one's lock is gone by
// the time the second is said to be closed. So a handle that lacks either is dead.
//
// The descriptors are closed on exec. A process that forks without exec hands
// them on, and then its handles are alive until the child has ended too.

const (
	lifeOffset   = 1 << 62 // of the lock bytes; no file is that long
	lifeTries    = 64      // numbers that are tried; one is taken once in 2^41 times at most
	collectEvery = 16      // handles of this process that are closed, see close
)

// life is what makes one handle alive. Its descriptors are closed when nothing
// refers to the handle's mapping any more: only then does no method run that may
// hold a lock on the bus under the handle's name.
type life struct {
	files  [2]int
	number uint64
}

// closes is how many handles this process has closed.
var closes atomic.Uint32

// begin makes the mapping's handle alive; path must still name its file.
func (m *mapping) begin(path string, file os.FileInfo) error {
	l := &life{files: [2]int{-1, -1}}
	m.life = l
	runtime.AddCleanup(m, (*life).end, l)
	for i := range l.files {
		fd, err := openSame(path, file)
		if err != nil {
			return err
		}
		l.files[i] = fd
	}
	for range lifeTries {
		number := rand.Uint64()>>(64-numberBits) | 1
		taken, err := l.take(number)
		if taken || err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: somebody holds the locks by which handles show that they live", ErrFull)
}

// openSame opens the path if it still names the file.
func openSame(path string, file os.FileInfo) (int, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: path, Err: err}
	}
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("stat: %w", err)
	}
	if was, ok := statOf(file); ok && (was.Dev != stat.Dev || was.Ino != stat.Ino) {
		unix.Close(fd)
		return -1, errors.New("another file was put in its place")
	}
	return fd, nil
}

func (l *life) take(number uint64) (taken bool, err error) {
	for i, fd := range l.files {
		err := unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, lifeLock(unix.F_WRLCK, number, i))
		if err == nil {
			continue
		}
		if i > 0 {
			_ = unix.FcntlFlock(uintptr(l.files[0]), unix.F_OFD_SETLK, lifeLock(unix.F_UNLCK, number, 0))
		}
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
			return false, nil
		}
		return false, fmt.Errorf("lock a byte of it: %w", err)
	}
	l.number = number
	return true, nil
}

func lifeLock(kind int16, number uint64, i int) *unix.Flock_t {
	return &unix.Flock_t{Type: kind, Start: lifeOffset + int64(2*number) + int64(i), Len: 1}
}

// sees says whether the handle with that number lives; in doubt it says yes.
func (l *life) sees(number uint64) bool {
	for i := range l.files {
		lock := lifeLock(unix.F_WRLCK, number, i)
		err := unix.FcntlFlock(uintptr(l.files[0]), unix.F_OFD_GETLK, lock)
		if err == nil && lock.Type == unix.F_UNLCK {
			return false
		}
	}
	return true
}

// giveUp makes the handle dead for everybody else; its descriptors stay open.
func (l *life) giveUp() {
	for i, fd := range l.files {
		_ = unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, lifeLock(unix.F_UNLCK, l.number, i))
	}
}

// close is called once the handle is closed. A program that opens and closes many
// handles would run out of descriptors if nothing else made the garbage collector run.
func (l *life) close() {
	if closes.Add(1)%collectEvery == 0 {
		runtime.GC()
	}
}

func (l *life) end() {
	for _, fd := range l.files {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}
