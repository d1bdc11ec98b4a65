package splinter

import (
	"context"
	"math"
	"runtime/debug"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A futex word counts events in its upper 31 bits; its low bit says that
// somebody sleeps on it. A sleeper that died costs its waker one system call
// more, once.

const (
	futexWait = 0 // not PRIVATE: the word is shared between processes
	futexWake = 1
)

// sleepOn blocks the goroutine and its thread until ready says true or ctx ends.
// ready is called with nothing held and must become true before the word is kicked
// or notified. With a limit it also looks again when nobody woke it for so long.
func sleepOn(ctx context.Context, w *atomic.Uint32, limit time.Duration, ready func() bool) error {
	timeout := unix.NsecToTimespec(int64(limit))
	var until uintptr
	if limit > 0 {
		until = uintptr(unsafe.Pointer(&timeout))
	}
	if ctx.Done() != nil {
		kicked := make(chan struct{})
		stop := context.AfterFunc(ctx, func() {
			defer close(kicked)
			defer survive(limit > 0)()
			kick(w)
		})
		defer func() {
			if !stop() {
				<-kicked // the word may be gone as soon as this has returned
			}
		}()
	}
	for {
		v := w.Load()
		if v&1 == 0 {
			if !w.CompareAndSwap(v, v|1) {
				continue
			}
			v |= 1
		}
		if ready() {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(w)), futexWait, uintptr(v), until, 0, 0)
	}
}

// survive makes a fault on a file that was cut off end the function that defers
// what it returns, and no more; the sleeper it was to wake finds out itself.
func survive(faults bool) func() {
	if !faults {
		return func() {}
	}
	before := debug.SetPanicOnFault(true)
	return func() {
		debug.SetPanicOnFault(before)
		_ = recover()
	}
}

// notify wakes everybody who sleeps on the word; with nobody there it costs one load.
func notify(w *atomic.Uint32) {
	for {
		v := w.Load()
		if v&1 == 0 {
			return
		}
		if w.CompareAndSwap(v, (v+2)&^1) {
			wakeAll(w)
			return
		}
	}
}

// ring is notify that leaves the time for who wakes to tell how long that took.
func (b *bell) ring() {
	if b.word.Load()&1 != 0 {
		b.stamp.Store(uint64(time.Now().UnixNano()))
		notify(&b.word)
	}
}

// sleepAt is sleep that counts how long being woken took, for this component and,
// if it is not nil, in also.
func (b *Bus) sleepAt(ctx context.Context, at *bell, also *histogram, ready func() bool) error {
	before := uint64(time.Now().UnixNano())
	if err := b.sleep(ctx, &at.word, ready); err != nil {
		return err
	}
	rung := at.stamp.Load()
	// One that was rung again after this woke would tell of a time below nothing.
	if took := time.Now().UnixNano() - int64(rung); rung > before && took >= 0 {
		b.channels.component.latency.add(took)
		if also != nil {
			also.add(took)
		}
	}
	return nil
}

// kick wakes also who is about to sleep, whatever the low bit says.
func kick(w *atomic.Uint32) {
	for {
		v := w.Load()
		if w.CompareAndSwap(v, (v+2)&^1) {
			wakeAll(w)
			return
		}
	}
}

func wakeAll(w *atomic.Uint32) {
	unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(w)), futexWake, math.MaxInt32, 0, 0, 0)
}
