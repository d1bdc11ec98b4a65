package splinter

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// Whoever may write the file can hold a lock for ever or cut the file off. Most
// processes may wait, or die, then; PID 1 may not. A handle with Options.Patience
// gives up instead: a call panics, with ErrStuck or with the fault, for its
// caller to recover from (debug.SetPanicOnFault), and a goroutine of the handle's
// own ends. Such a panic may leave locks of the bus taken, so the handle is of no
// more use then: Abandon it, and the next who needs them takes them over.

// patience is how long one call has waited.
type patience struct{ began time.Time }

// check panics when the handle's patience is at its end, or the handle was
// abandoned: then others may have the locks that the call holds.
func (p *patience) check(b *Bus, holder uint64) {
	if b.abandoned.Load() {
		panic(fmt.Errorf("bus %s: the handle was abandoned: %w", b.path, ErrClosed))
	}
	if b.patience <= 0 {
		return
	}
	now := time.Now()
	if p.began.IsZero() {
		p.began = now
	}
	if waited := now.Sub(p.began); waited > b.patience {
		panic(fmt.Errorf("bus %s: %w: %s has it for %v", b.path, ErrStuck, b.who(holder), waited.Round(time.Millisecond)))
	}
}

// start runs f in a goroutine of its own; of a handle with patience a panic there
// is the end of the handle, not of the process.
func (b *Bus) start(f func()) {
	if b.patience <= 0 {
		go f()
		return
	}
	go b.contain(f)
}

// run is start for who has a goroutine of its own already.
func (b *Bus) run(f func()) {
	if b.patience <= 0 {
		f()
		return
	}
	b.contain(f)
}

func (b *Bus) contain(f func()) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			cause, ok := p.(error)
			if !ok {
				cause = fmt.Errorf("%v", p)
			}
			b.abandon(cause)
		}
	}()
	f()
}

// sleep is sleepOn that looks again now and then if the handle has patience: what
// it sleeps on may be cut off, and then nobody can wake it.
func (b *Bus) sleep(ctx context.Context, w *atomic.Uint32, ready func() bool) error {
	return sleepOn(ctx, w, b.patience, ready)
}

// Abandon gives the handle up as if its process had died: others take over its
// locks, and free its names, places and connections. Calls that wait return an
// error or panic as said at Options.Patience. It waits for nobody, and is meant
// for a handle on which a call has panicked or does not return. A call that goes
// on all the same, being in the middle of a write, may spoil what it writes.
func (b *Bus) Abandon() { b.abandon(errors.New("the handle was abandoned")) }

func (b *Bus) abandon(cause error) {
	if b.abandoned.Swap(true) {
		return
	}
	b.cause.CompareAndSwap(nil, &cause)
	b.closed.Store(true)
	b.life.giveUp()
	b.life.announce()
	b.deaths.close()
	go b.contain(b.wakeAll)
	go b.contain(b.endConnections)
	runtime.KeepAlive(b)
}

// wakeAll wakes every call of this process that waits on the bus's words.
func (b *Bus) wakeAll() {
	for i := range uint64(wakeWords) {
		kick(&b.wake(i).word)
	}
	for i := range watcherLimit {
		kick(&b.watcherEntry(i).word)
	}
	for i := range uint32(topicLimit) {
		if t := b.topic(i); t.state.Load() != 0 {
			kick(&t.space)
			kick(&t.wake.word)
		}
	}
}

// endConnections ends what of the handle others in this process may wait for.
func (b *Bus) endConnections() {
	b.mu.Lock() // a call that panicked has given it back, one that is stuck may not have: then this waits with it
	conns, listeners := keysOf(b.conns), keysOf(b.listeners)
	member := b.member
	b.mu.Unlock()
	for _, c := range conns {
		c.closed.Store(true)
		c.once.Do(func() { close(c.done) })
	}
	for _, l := range listeners {
		l.once.Do(func() { close(l.closed) })
	}
	for _, c := range conns {
		c.shared.kickRings()
	}
	if member != nil {
		kick(&member.doorbell)
	}
}
