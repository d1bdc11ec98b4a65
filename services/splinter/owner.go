package splinter

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"time"
)

// An owner is a handle in one word: its number, by which its life can be asked
// for (life.go), above 22 bits of the pid that its process has in its own pid
// namespace, which is for people alone. Numbers are drawn at random, so that of a
// dead handle never comes again.

const (
	pidBits    = 22 // the kernel's pids end at 2^22
	numberBits = 41
)

// ErrStuck is what a call on a handle with Options.Patience panics with.
var ErrStuck = errors.New("a lock of the bus does not come free")

func ownerPID(owner uint64) int { return int(owner & (1<<pidBits - 1)) }

func newOwner(number uint64) uint64 { return number<<pidBits | uint64(os.Getpid())&(1<<pidBits-1) }

// alive says whether the owner's handle is held by a process that runs; in doubt it says yes.
func (b *Bus) alive(owner uint64) bool {
	if owner == b.self {
		return true
	}
	number := owner >> pidBits
	return number != 0 && b.life.sees(number)
}

// who names an owner for a person: its pid as it sees itself and its component.
func (b *Bus) who(owner uint64) string {
	for i := range uint32(componentLimit) {
		if c := b.component(i); owner != 0 && c.owner.Load() == owner {
			return fmt.Sprintf("process %d (%s)", ownerPID(owner), c.text())
		}
	}
	return fmt.Sprintf("process %d", ownerPID(owner))
}

// lock takes a lock word for this handle. A lock that a dead one left is taken
// over, and lock says so. Locks are held for a copy of one value at most; a
// holder that the scheduler has stopped is waited for with growing pauses.
func (b *Bus) lock(w *atomic.Uint64) (tookOver bool) {
	if w.CompareAndSwap(0, b.self) {
		return false
	}
	var waits patience
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
		waits.check(b, owner)
		time.Sleep(min(time.Millisecond, 10*time.Microsecond*time.Duration(round-63)))
	}
}

func (b *Bus) unlock(w *atomic.Uint64) { w.Store(0) }
