package splinter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"testing"
)

// deathWork passes every step of set and unset again and again: short values and
// values in blocks of three sizes, new keys, removed ones.
func deathWork(b *Bus) error {
	for range 20 {
		for i := range 8 { // enough of one size to split and to join
			if err := b.Set(fmt.Sprint("many", i), make([]byte, 1000)); err != nil {
				return err
			}
		}
		for i := range 8 {
			if err := b.Unset(fmt.Sprint("many", i)); err != nil {
				return err
			}
		}
		for _, size := range []int{20, 1000, 5000, 100_000, 100_000, 30} {
			if err := b.Set("busy", bytes.Repeat([]byte{byte(size)}, size)); err != nil {
				return err
			}
			if err := b.Set("comes and goes", bytes.Repeat([]byte{byte(size)}, size)); err != nil {
				return err
			}
			if err := b.Set("comes and goes", bytes.Repeat([]byte{byte(size)}, size+1)); err != nil {
				return err
			}
			if err := b.Unset("comes and goes"); err != nil {
				return err
			}
		}
	}
	return errors.New("the step was not reached")
}

func killedAt(_ context.Context, b *Bus) error {
	killOnStep()
	return deathWork(b)
}

// A writer is killed at each step. Then every key is whole, everybody can go on,
// and no space is lost once the next writer has come by.
func TestAWriterKilledAtAnyStepLeavesWholeKeysAndLeaksNothing(t *testing.T) {
	for at := step(1); at < steps; at++ {
		t.Run(fmt.Sprint("step ", at), func(t *testing.T) {
			t.Parallel()
			b := newBus(t, Options{Slots: 64, ValueLimit: 200_000, Heap: 1 << 20})
			events := watchBusy(t, b)
			mustSet(t, b, "kept", "kept")
			busy := bytes.Repeat([]byte{7}, 3000)
			for range 3 {
				if err := b.Set("busy", busy); err != nil {
					t.Fatal(err)
				}
				startAtStep(t, b, "killedAt", at).wantKilled(t)
				for _, key := range []string{"busy", "comes and goes"} {
					value, _, err := b.Get(key)
					if errors.Is(err, ErrNotFound) && key != "busy" {
						continue
					}
					if err != nil || len(value) == 0 || bytes.Count(value, value[:1]) != len(value) {
						t.Fatalf("%s is torn: %d bytes, %v", key, len(value), err)
					}
				}
				wantValue(t, b, "kept", "kept")
				// The next writers of the same keys mend it all.
				for _, key := range []string{"busy", "comes and goes"} {
					mustSet(t, b, key, "short")
				}
				if err := b.Unset("comes and goes"); err != nil {
					t.Fatal(err)
				}
				for i := range 8 {
					mustSet(t, b, fmt.Sprint("many", i), "short")
					if err := b.Unset(fmt.Sprint("many", i)); err != nil {
						t.Fatal(err)
					}
				}
				if r, err := b.Check(); err != nil || !r.Clean() || r.Keys != 2 {
					t.Fatalf("check: %+v, %v", r, err)
				}
				mustSet(t, b, "busy", "short") // both records are short now
				_, version, _ := b.Get("busy")
				for last, told := uint64(0), true; last < version; last, told = receive(events) {
					if !told {
						t.Fatalf("the watcher was told of version %d, the last is %d", last, version)
					}
				}
				if r, _ := b.Check(); r.HeapUsed != 0 {
					t.Fatalf("%d bytes of the heap are lost: %+v", r.HeapUsed, r)
				}
			}
		})
	}
}

// Without another writer Repair does it.
func TestRepairMendsWhatADeathLeft(t *testing.T) {
	for at := step(1); at < steps; at++ {
		t.Run(fmt.Sprint("step ", at), func(t *testing.T) {
			t.Parallel()
			b := newBus(t, Options{Slots: 64, ValueLimit: 200_000, Heap: 1 << 20})
			watchBusy(t, b)
			startAtStep(t, b, "killedAt", at).wantKilled(t)
			if r, err := b.Check(); err != nil || r.Clean() {
				t.Fatalf("check before: %+v, %v: a lock at least is left", r, err)
			}
			if r, err := b.Repair(); err != nil || !r.Clean() {
				t.Fatalf("repair: %+v, %v", r, err)
			}
			keys, _ := b.List("")
			for _, key := range keys {
				if err := b.Unset(key); err != nil {
					t.Fatal(err)
				}
			}
			wholeHeap(t, b, nil)
			if n := b.usedSlots(); n != 0 {
				t.Fatalf("%d slots are lost", n)
			}
		})
	}
}

// watchBusy returns the versions of the key busy as a watcher is told of them.
func watchBusy(t *testing.T, b *Bus) chan uint64 {
	versions := make(chan uint64)
	ctx, cancel := context.WithCancel(limit(t))
	t.Cleanup(cancel)
	go func() {
		for e, err := range b.Watch(ctx, Selector{}) {
			if err != nil && !errors.Is(err, ErrBehind) {
				close(versions)
				return
			}
			if e.Key != "busy" {
				continue
			}
			select {
			case versions <- e.Version:
			case <-ctx.Done():
			}
		}
	}()
	for b.header().watching.Load() == 0 && ctx.Err() == nil {
		runtime.Gosched()
	}
	return versions
}

func receive(versions chan uint64) (uint64, bool) {
	v, ok := <-versions
	return v, ok
}

func startAtStep(t *testing.T, b *Bus, role string, at step) *child {
	t.Helper()
	return start(t, b, role, "SPLINTER_TEST_STEP="+strconv.Itoa(int(at)))
}
