package splinter

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"testing"
	"time"
)

// guarded runs do as PID 1 would: a panic or a fault is an error.
func guarded(do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
			if cause, ok := p.(error); ok {
				err = cause
			}
		}
	}()
	return do()
}

func openPatient(t *testing.T, b *Bus) *Bus {
	t.Helper()
	p, err := OpenWith(b.Path(), Options{Patience: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Abandon)
	return p
}

func TestAHandleWithPatienceGivesUpWhereALockIsNotGivenBack(t *testing.T) {
	for name, c := range map[string]struct {
		hold func(*Bus) func()
		call func(*Bus) error
	}{
		"a slot": {
			func(b *Bus) func() {
				i, _, _ := b.find(b.hash("key"), "key")
				s := b.lockSlot(i)
				return func() { b.unlock(&s.owner) }
			},
			func(b *Bus) error { return b.Set("key", nil) },
		},
		"channels": {
			func(b *Bus) func() { b.lockChannels(); return b.unlockChannels },
			func(b *Bus) error { _, err := b.Listen("name"); return err },
		},
		"the heap, with a slot of its own": {
			func(b *Bus) func() { b.lockHeap(); return func() { b.unlock(&b.header().heapLock) } },
			func(b *Bus) error { return b.Set("key", make([]byte, 1000)) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBus(t, Options{Slots: 64})
			mustSet(t, b, "key", "value")
			p := openPatient(t, b)
			release := c.hold(b)
			if err := guarded(func() error { return c.call(p) }); !errors.Is(err, ErrStuck) {
				t.Fatalf("got %v, want ErrStuck", err)
			}
			p.Abandon()
			release()
			// What it held when it gave up is taken over, its half of a write undone.
			wantValue(t, b, "key", "value")
			mustSet(t, b, "key", "new")
			if err := b.Set("key", make([]byte, 1000)); err != nil {
				t.Fatal(err)
			}
			if r, err := b.Repair(); err != nil || !r.Clean() {
				t.Fatalf("repair: %+v, %v", r, err)
			}
		})
	}
}

func TestAnAbandonedHandleWakesItsCallsAndItsPeers(t *testing.T) {
	b, ctx := newBus(t, Options{}), limit(t)
	l, err := b.Listen("test")
	if err != nil {
		t.Fatal(err)
	}
	p, err := OpenWith(b.Path(), Options{Patience: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	mine, err := p.Dial(ctx, "test")
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := l.Accept(ctx)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 2)
	go func() { _, _, err := p.Wait(ctx, "key", 0); ended <- err }()
	go func() { _, err := mine.Receive(ctx); ended <- err }()
	word := &b.wake(b.hash("key")).word
	for word.Load()&1 == 0 && ctx.Err() == nil { // until it sleeps
		time.Sleep(time.Millisecond)
	}
	p.Abandon()
	for range 2 {
		if err := <-ended; !errors.Is(err, ErrClosed) {
			t.Errorf("got %v, want ErrClosed", err)
		}
	}
	<-mine.Done()
	<-theirs.Done()
	if _, err := theirs.Receive(ctx); !errors.Is(err, ErrPeerDied) {
		t.Errorf("its peer: %v, want ErrPeerDied", err)
	}
	if err := p.Set("key", nil); !errors.Is(err, ErrClosed) {
		t.Errorf("set: %v, want ErrClosed", err)
	}
}

// Anybody who may write the file may cut it off. That ends who has no patience.
func TestAFileThatIsCutOffDoesNotEndAProcessWithPatience(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bus")
	p, err := Create(path, Options{Patience: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(limit(t))
	l, err := p.Listen("test")
	if err != nil {
		t.Fatal(err)
	}
	other, err := OpenWith(path, Options{Patience: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	c, err := other.Dial(ctx, "test")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Accept(ctx); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 3)
	go func() { ended <- guarded(func() error { _, _, err := p.Wait(ctx, "key", 0); return err }) }()
	go func() { ended <- guarded(func() error { _, err := c.Receive(ctx); return err }) }()
	go func() {
		ended <- guarded(func() error {
			for range p.Watch(ctx, Selector{}) {
				continue
			}
			return ctx.Err()
		})
	}()
	for p.header().watching.Load() == 0 && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	if err := guarded(func() error { return p.Set("key", nil) }); err == nil {
		t.Error("a key was set beyond the end of the file")
	}
	for range 3 { // woken or not, they find out
		if err := <-ended; err == nil {
			t.Error("a call on the file that was cut off ended without an error")
		}
	}
	cancel()
	p.Abandon()
	other.Abandon()
	if err := p.checkOpen(); !errors.Is(err, ErrClosed) {
		t.Errorf("it is open: %v", err)
	}
	if _, err := Open(path); !errors.Is(err, ErrNotABus) {
		t.Errorf("open: %v, want ErrNotABus", err)
	}
}
