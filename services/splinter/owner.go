package splinter

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// An owner is a process in one word: its start time in clock ticks since boot
// above 22 bits of pid. A pid that is used again has another start time.

const pidBits = 22 // the kernel's pids end at 2^22

func ownerPID(owner uint64) int { return int(owner & (1<<pidBits - 1)) }

// ownerOf reads the process's start time from /proc/PID/stat (proc(5), field 22).
// A process that has ended or is a zombie is an error wrapping os.ErrNotExist.
func ownerOf(pid int) (uint64, error) {
	// The main thread's is the process's too, and user-mode emulators do not fake it.
	name := strconv.Itoa(pid)
	path := "/proc/" + name + "/task/" + name + "/stat"
	stat, err := os.ReadFile(path)
	if err != nil {
		if errors.Is(err, unix.ESRCH) {
			err = fmt.Errorf("%w: %w", os.ErrNotExist, err)
		}
		return 0, err
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 20 {
		return 0, fmt.Errorf("%s has %d fields after the name, 20 were expected", path, len(fields))
	}
	if state := fields[0][0]; state == 'Z' || state == 'X' {
		return 0, fmt.Errorf("process %d has ended: %w", pid, os.ErrNotExist)
	}
	start, err := strconv.ParseUint(string(fields[19]), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: start time: %w", path, err)
	}
	return start<<pidBits | uint64(pid), nil
}

// alive says whether the owner's process still runs; in doubt it says yes.
func (b *Bus) alive(owner uint64) bool {
	if owner == b.self {
		return true
	}
	now, err := ownerOf(ownerPID(owner))
	if err != nil {
		return !errors.Is(err, os.ErrNotExist)
	}
	return now == owner
}

// lock takes a lock word for this process. A lock that a dead process left is
// taken over, and lock says so. Locks are held for a copy of one value at most; a
// holder that the scheduler has stopped is waited for with growing pauses.
func (b *Bus) lock(w *atomic.Uint64) (tookOver bool) {
	if w.CompareAndSwap(0, b.self) {
		return false
	}
	for round := 0; ; round++ {
		owner := w.Load()
		if owner == 0 {
			if w.CompareAndSwap(0, b.self) {
				return false
			}
			continue
		}
		if round < 64 {
			runtime.Gosched()
			continue
		}
		if !b.alive(owner) {
			if w.CompareAndSwap(owner, b.self) {
				b.count(counterRepairs, 1)
				return true
			}
			continue
		}
		time.Sleep(min(time.Millisecond, 10*time.Microsecond*time.Duration(round-63)))
	}
}

func (b *Bus) unlock(w *atomic.Uint64) { w.Store(0) }
