package splinter

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"runa/services/rmp"
)

// The ten weaknesses of the first splinter, each a test of the promise that it broke.

func TestWeakness01UnsetOfAnEarlierSlotMakesNoDuplicateAndBringsNoOldValueBack(t *testing.T) {
	b := newBus(t, Options{Slots: 64})
	// Fill the store, so that keys collide and probes run over each other.
	for i := range 64 {
		mustSet(t, b, fmt.Sprint("key", i), "old")
	}
	for i := range 64 {
		if err := b.Unset(fmt.Sprint("key", i)); err != nil {
			t.Fatal(err)
		}
		for j := range 64 {
			if j != i {
				mustSet(t, b, fmt.Sprint("key", j), fmt.Sprint("round", i)) // may use the free place
			}
		}
		if value, _, err := b.Get(fmt.Sprint("key", i)); !errors.Is(err, ErrNotFound) {
			t.Fatalf("key%d came back as %q, %v", i, value, err)
		}
		keys, _ := b.List("")
		if len(keys) != 63 || b.usedSlots() != 63 {
			t.Fatalf("%d keys in %d slots, want 63: a duplicate", len(keys), b.usedSlots())
		}
		mustSet(t, b, fmt.Sprint("key", i), "new")
	}
	if r, err := b.Check(); err != nil || !r.Clean() || r.Keys != 64 {
		t.Fatalf("check: %+v, %v", r, err)
	}
}

func TestWeakness02TwoWritersOfOneNewKeyMakeOneCopy(t *testing.T) {
	b := newBus(t, Options{Slots: 64})
	for round := range 300 {
		key := fmt.Sprint("key", round%16)
		var won atomic.Int32
		var all sync.WaitGroup
		for w := range 4 {
			bus := again(t, b)
			all.Go(func() {
				if _, err := bus.CompareAndSet(key, 0, fmt.Append(nil, w)); err == nil {
					won.Add(1)
				} else if !errors.Is(err, ErrConflict) {
					t.Error(err)
				}
				if err := bus.Set(key, fmt.Append(nil, w)); err != nil {
					t.Error(err)
				}
				bus.Close()
			})
		}
		all.Wait()
		if won.Load() != 1 || b.usedSlots() != 1 {
			t.Fatalf("%d writers added the key, in %d slots", won.Load(), b.usedSlots())
		}
		if err := b.Unset(key); err != nil {
			t.Fatal(err)
		}
		if _, _, err := b.Get(key); !errors.Is(err, ErrNotFound) {
			t.Fatalf("a second copy was there: %v", err)
		}
	}
}

func TestWeakness03AnIntegerOperationTouchesNoOtherKeyAndNoOtherType(t *testing.T) {
	b := newBus(t, Options{Slots: 64})
	for i := range 60 {
		mustSet(t, b, fmt.Sprint("text", i), fmt.Sprint("eight by", i))
	}
	mustSet(t, b, "eight", "8 bytes.")
	for i := range 60 {
		if _, err := b.Add(fmt.Sprint("text", i), 1); !errors.Is(err, ErrType) {
			t.Fatalf("add to a text: %v, want ErrType", err)
		}
		if n, err := b.Add("count", int64(i)-3); err != nil || n != int64(i*(i+1)/2-3*(i+1)) {
			t.Fatalf("count %d, %v", n, err)
		}
	}
	if _, err := b.Add("eight", 1); !errors.Is(err, ErrType) {
		t.Fatalf("add to 8 bytes that are no integer: %v, want ErrType", err)
	}
	for i := range 60 {
		wantValue(t, b, fmt.Sprint("text", i), fmt.Sprint("eight by", i))
	}
	wantValue(t, b, "eight", "8 bytes.")
	wantValue(t, b, "count", string(binary.LittleEndian.AppendUint64(nil, 1590)))
	var all sync.WaitGroup
	for range 4 {
		bus := again(t, b)
		all.Go(func() {
			for range 500 {
				if _, err := bus.Add("together", 1); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if n, err := b.Add("together", 0); err != nil || n != 2000 {
		t.Fatalf("2000 times one is %d, %v", n, err)
	}
}

func TestWeakness04ALongKeyIsFoundAgainOrRefusedAndBurnsNoSlot(t *testing.T) {
	b := newBus(t, Options{Slots: 64})
	for n := range 300 {
		key := strings.Repeat("k", n)
		err := b.Set(key, []byte("value"))
		if n < 1 || n > MaxKey {
			if !errors.Is(err, ErrKey) || b.usedSlots() != 0 {
				t.Fatalf("a key of %d bytes: %v, %d slots are used", n, err, b.usedSlots())
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		wantValue(t, b, key, "value")
		if keys, _ := b.List(""); !slices.Equal(keys, []string{key}) {
			t.Fatalf("a key of %d bytes is listed as %q", n, keys)
		}
		if err := b.Unset(key); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWeakness05AKeyThatIsNeverRemovedIsNeverNotFound(t *testing.T) {
	b := newBus(t, Options{Slots: 64})
	sizes := []int{8, 100, 1000, 70_000} // in the slot, in blocks that are kept, in one that is not
	mustSet(t, b, "key", "v")
	stop := make(chan struct{})
	var all sync.WaitGroup
	writer := again(t, b)
	all.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if err := writer.Set("key", bytes.Repeat([]byte{byte(i)}, sizes[i%len(sizes)])); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for range 20_000 {
		value, _, err := b.Get("key")
		if err != nil || bytes.Count(value, value[:1]) != len(value) {
			t.Errorf("during an update: %d bytes, %v", len(value), err)
			break
		}
	}
	close(stop)
	all.Wait()
}

func TestWeakness06AWriteFromAnotherProcessWakesWhoWaits(t *testing.T) {
	b, ctx := newBus(t, Options{}), limit(t)
	waited := make(chan error, 1)
	go func() {
		_, _, err := b.Wait(ctx, "key", 0)
		waited <- err
	}()
	events := collect(ctx, b, Selector{Prefix: "k"})
	for b.wake(b.hash("key")).word.Load()&1 == 0 || b.header().watching.Load() == 0 {
		if ctx.Err() != nil {
			t.Fatal("nobody sleeps")
		}
	}
	start(t, b, "setKey")
	if err := <-waited; err != nil {
		t.Fatal(err)
	}
	wantEvent(t, events, Set, "key")

	topic := newTopic(t, b, "news", TopicOptions{})
	s := subscribe(t, topic, SubscribeOptions{})
	start(t, b, "publishNews")
	wantMessage(t, ctx, s, 1, "from afar")
}

func init() {
	roles["publishNews"] = func(ctx context.Context, b *Bus) error {
		topic, err := b.Topic("news", TopicOptions{})
		if err != nil {
			return err
		}
		f, err := rmp.New(rmp.SchemaToken, time.Now(), [16]byte{1}, 1, rmp.Token{Text: "from afar"})
		if err != nil {
			return err
		}
		return topic.Publish(ctx, f)
	}
}

func TestWeakness07AWriterKilledInASetLeavesItsKeyUsable(t *testing.T) {
	b := newBus(t, Options{Slots: 64, ValueLimit: 200_000})
	for _, at := range []step{stepEpochOdd, stepHalfCopied, stepWritten} {
		mustSet(t, b, "busy", "old")
		startAtStep(t, b, "killedInBusy", at).wantKilled(t)
		if value, _, err := b.Get("busy"); err != nil || string(value) != "old" && bytes.Count(value, value[:1]) != len(value) {
			t.Fatalf("after death at step %d: %d bytes, %v", at, len(value), err)
		}
		mustSet(t, b, "busy", "new")
		wantValue(t, b, "busy", "new")
		if info, _ := b.Info(); info.Counters.Repairs == 0 {
			t.Fatal("no repair was counted")
		}
	}
}

func init() {
	roles["killedInBusy"] = func(_ context.Context, b *Bus) error {
		killOnStep()
		return b.Set("busy", bytes.Repeat([]byte{1}, 1000))
	}
}

func TestWeakness08AMissLooksAtAFewEntriesOf65536Keys(t *testing.T) {
	b := newBus(t, Options{Slots: 65536, Seed: 1})
	for i := range 65536 {
		mustSet(t, b, fmt.Sprint("key", i), "v")
	}
	const misses = 10_000
	probes, longest := 0, 0
	for i := range misses {
		n := 0
		for at := b.hash(fmt.Sprint("miss", i)); b.index(at).Load() != 0; at++ {
			n++
		}
		probes, longest = probes+n, max(longest, n)
	}
	if probes > misses || longest > 40 {
		t.Fatalf("%d probes for %d misses, %d at most: a miss is not O(1)", probes, misses, longest)
	}
}

func TestWeakness09AReaderThatRacesUnsetSeesOneWholeLifeOfTheKey(t *testing.T) {
	b := newBus(t, Options{Slots: 64})
	stop := make(chan struct{})
	var all sync.WaitGroup
	// Keys take over each other's slots and blocks all the time.
	all.Go(func() {
		bus := again(t, b)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			key := fmt.Sprint("key", i%3)
			size := []int{16, 500, 500, 3000}[i%4]
			if err := bus.Set(key, append([]byte(key), bytes.Repeat([]byte{byte(i)}, size)...)); err != nil {
				t.Error(err)
				return
			}
			if err := bus.Unset(fmt.Sprint("key", (i+2)%3)); err != nil && !errors.Is(err, ErrNotFound) {
				t.Error(err)
				return
			}
		}
	})
	last, seen := map[string]uint64{}, 0
	for i := range 60_000 {
		key := fmt.Sprint("key", i%3)
		value, version, err := b.Get(key)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		body, own := bytes.CutPrefix(value, []byte(key))
		if err != nil || !own || bytes.Count(body, body[:1]) != len(body) || version < last[key] {
			t.Errorf("%s: %.12q and %d bytes, version %d after %d, %v", key, value, len(body), version, last[key], err)
			break
		}
		last[key] = version
		seen++
	}
	close(stop)
	all.Wait()
	t.Logf("%d of 60000 reads found a key", seen)
}

func TestWeakness10EvictionLimitsRightsSealingAndStatisticsAreThere(t *testing.T) {
	t.Run("eviction", func(t *testing.T) {
		clock := newClock()
		b := newBus(t, Options{Slots: 64, Clock: clock.now})
		for i := range 64 {
			if err := b.SetWith(fmt.Sprint(i), nil, Meta{HalfLife: time.Minute}); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.Set("more", nil); !errors.Is(err, ErrFull) {
			t.Fatalf("a full store: %v", err)
		}
		if evicted, err := b.Evict(clock.at); err != nil || len(evicted) != 16 {
			t.Fatalf("%q, %v", evicted, err)
		}
		mustSet(t, b, "more", "fits")
	})
	t.Run("limits", func(t *testing.T) {
		b := newBus(t, Options{Slots: 64, ValueLimit: 4096, Heap: 128 << 10, Share: 50})
		flood := again(t, b)
		flood.become(1000, 1)
		for i := range 32 {
			mustSet(t, flood, fmt.Sprint("flood", i), "v")
		}
		if err := flood.Set("one more", nil); !errors.Is(err, ErrShare) || !errors.Is(err, ErrFull) {
			t.Fatalf("over its share of keys: %v", err)
		}
		failed := 0
		for i := range 32 {
			if err := flood.Set(fmt.Sprint("flood", i), make([]byte, 4096)); errors.Is(err, ErrShare) {
				failed++
			} else if err != nil {
				t.Fatal(err)
			}
		}
		if r, err := b.Check(); err != nil || failed == 0 || r.HeapUsed > 64<<10 || !r.Clean() {
			t.Fatalf("%d refused, %+v, %v: half of the heap was expected", failed, r, err)
		}
		other := again(t, b)
		other.become(1001, 1)
		for i := range 16 {
			mustSet(t, other, fmt.Sprint("other", i), strings.Repeat("v", 4096))
		}
	})
	t.Run("rights", func(t *testing.T) {
		b := newBus(t, Options{Enforce: true})
		if err := b.Grant(1000, Rights{Read: []string{"key:shop/*"}}); err != nil {
			t.Fatal(err)
		}
		mustSet(t, b, "shop/apple", "1")
		mustSet(t, b, "bank/gold", "1")
		other := as(t, b, 1000)
		wantValue(t, other, "shop/apple", "1")
		if err := other.Set("shop/apple", nil); !errors.Is(err, ErrForbidden) {
			t.Fatalf("set: %v, want ErrForbidden", err)
		}
		if _, _, err := other.Get("bank/gold"); !errors.Is(err, ErrForbidden) {
			t.Fatalf("get: %v, want ErrForbidden", err)
		}
		if keys, err := other.List(""); err != nil || !slices.Equal(keys, []string{"shop/apple"}) {
			t.Fatalf("list: %q, %v", keys, err)
		}
	})
	t.Run("sealing", func(t *testing.T) {
		b := newBus(t, Options{Key: secret})
		mustSet(t, b, "name of the key", "words of the value")
		if bytes.Contains(b.data, []byte("of the")) {
			t.Fatal("a dump shows it")
		}
	})
	t.Run("statistics", func(t *testing.T) {
		b := newBus(t, Options{})
		mustSet(t, b, "key", "value")
		wantValue(t, b, "key", "value")
		_, _, _ = b.Get("none")
		s, err := b.Statistics()
		if err != nil || len(s.Components) != 1 || s.Components[0].Counters.Sets != 1 || s.Components[0].Counters.Gets != 2 || s.Components[0].Counters.Misses != 1 {
			t.Fatalf("%+v, %v", s.Components, err)
		}
	})
}
