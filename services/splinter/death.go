package splinter

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// deathWatch tells of the end of one process. It waits in the runtime's poller
// on a pidfd: no thread, no polling.
type deathWatch struct{ file *os.File }

// watchDeath calls died, from a goroutine of its own, when the owner's process
// ends; at once if it has. The pid is compared with the start time after the
// descriptor is open, so it cannot be another process's.
func (b *Bus) watchDeath(owner uint64, died func()) (*deathWatch, error) {
	fd, err := unix.PidfdOpen(ownerPID(owner), unix.PIDFD_NONBLOCK)
	if errors.Is(err, unix.ESRCH) || err == nil && !b.alive(owner) {
		if err == nil {
			unix.Close(fd)
		}
		go died()
		return &deathWatch{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("watch process %d: %w", ownerPID(owner), err)
	}
	w := &deathWatch{file: os.NewFile(uintptr(fd), "pidfd")}
	raw, err := w.file.SyscallConn()
	if err != nil {
		w.stop()
		return nil, fmt.Errorf("watch process %d: %w", ownerPID(owner), err)
	}
	go func() {
		if raw.Read(hasEnded) == nil {
			died()
		}
	}()
	return w, nil
}

// hasEnded says whether the pidfd is readable, which it is once its process has ended.
func hasEnded(fd uintptr) bool {
	set := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(set, 0)
	return err == nil && n > 0
}

func (w *deathWatch) stop() {
	if w.file != nil {
		w.file.Close()
	}
}
