package splinter

import (
	"context"
	"math"
	"sync/atomic"
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

// sleep blocks the goroutine and its thread until ready says true or ctx ends.
// ready is called with nothing held and must become true before the word is kicked or notified.
func sleep(ctx context.Context, w *atomic.Uint32, ready func() bool) error {
	if ctx.Done() != nil {
		stop := context.AfterFunc(ctx, func() { kick(w) })
		defer stop()
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
		unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(w)), futexWait, uintptr(v), 0, 0, 0)
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
