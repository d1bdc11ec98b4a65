package splinter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"pgregory.net/rapid"
)

func mustSet(t testing.TB, b *Bus, key, value string) {
	t.Helper()
	if err := b.Set(key, []byte(value)); err != nil {
		t.Fatal(err)
	}
}

func wantValue(t testing.TB, b *Bus, key, want string) uint64 {
	t.Helper()
	got, version, err := b.Get(key)
	if err != nil || string(got) != want {
		t.Fatalf("get %q: %q, %v, want %q", key, got, err, want)
	}
	return version
}

func TestUnsetThenSetDoesNotBringTheOldValueBack(t *testing.T) {
	b := newBus(t, Options{Slots: 64})
	for i := range 64 {
		mustSet(t, b, fmt.Sprint("key", i), "old")
	}
	for i := range 64 {
		if err := b.Unset(fmt.Sprint("key", i)); err != nil {
			t.Fatal(err)
		}
		mustSet(t, b, fmt.Sprint("key", (i+1)%64), "newer")
		if _, _, err := b.Get(fmt.Sprint("key", i)); !errors.Is(err, ErrNotFound) {
			t.Fatalf("key %d after unset: %v", i, err)
		}
		mustSet(t, b, fmt.Sprint("key", i), "new")
		wantValue(t, b, fmt.Sprint("key", i), "new")
	}
	if keys, _ := b.List("key"); len(keys) != 64 {
		t.Fatalf("%d keys, want 64: %q", len(keys), keys)
	}
}

func TestAVersionGrowsOverUnsetToo(t *testing.T) {
	b := newBus(t, Options{})
	last := uint64(0)
	for range 5 {
		for range 3 {
			mustSet(t, b, "key", "value")
			if version := wantValue(t, b, "key", "value"); version <= last {
				t.Fatalf("version %d after %d", version, last)
			} else {
				last = version
			}
		}
		if err := b.Unset("key"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBadKeysAndValuesAreRefusedAndTakeNoSlot(t *testing.T) {
	b := newBus(t, Options{Slots: 64, ValueMax: 100})
	for _, c := range []struct {
		key   string
		bytes int
		err   error
	}{
		{"", 1, ErrKey},
		{strings.Repeat("k", 256), 1, ErrKey},
		{"key", 101, ErrTooLarge},
		{strings.Repeat("k", 255), 100, nil},
		{strings.Repeat("k", 64), 0, nil},
		{"k\x00\xff", 3, nil},
	} {
		value := bytes.Repeat([]byte{7}, c.bytes)
		if err := b.Set(c.key, value); !errors.Is(err, c.err) {
			t.Fatalf("key of %d bytes, value of %d: %v, want %v", len(c.key), c.bytes, err, c.err)
		}
		if c.err == nil {
			wantValue(t, b, c.key, string(value))
		}
	}
	if info, _ := b.Info(); info.Keys != 3 {
		t.Fatalf("%d keys, want 3", info.Keys)
	}
}

func TestAFullStoreSaysSoAndKeepsServing(t *testing.T) {
	b := newBus(t, Options{Slots: 64})
	for i := range 64 {
		mustSet(t, b, fmt.Sprint(i), "value")
	}
	if err := b.Set("one more", nil); !errors.Is(err, ErrFull) {
		t.Fatalf("the 65th key: %v, want ErrFull", err)
	}
	mustSet(t, b, "7", "again")
	if err := b.Unset("8"); err != nil {
		t.Fatal(err)
	}
	mustSet(t, b, "one more", "fits")
	wantValue(t, b, "7", "again")
	wantValue(t, b, "one more", "fits")
}

func TestTheStoreBehavesAsAMap(t *testing.T) {
	b := newBus(t, Options{Slots: 64})
	model := map[string]string{}
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.SampledFrom(strings.Fields("a b c ab abc service/x service/y "+strings.Repeat("long", 60))).Draw(t, "key")
		switch rapid.IntRange(0, 3).Draw(t, "step") {
		case 0, 1:
			value := rapid.StringN(0, 100, 400).Draw(t, "value")
			if err := b.Set(key, []byte(value)); err != nil {
				t.Fatal(err)
			}
			model[key] = value
		case 2:
			_, there := model[key]
			if err := b.Unset(key); (err == nil) != there {
				t.Fatalf("unset %q: %v, there %v", key, err, there)
			}
			delete(model, key)
		}
		got, _, err := b.Get(key)
		if want, there := model[key]; (err == nil) != there || string(got) != want {
			t.Fatalf("get %q: %q, %v, want %q, there %v", key, got, err, want, there)
		}
		var want []string
		for k := range model {
			if strings.HasPrefix(k, "a") {
				want = append(want, k)
			}
		}
		slices.Sort(want)
		if keys, err := b.List("a"); err != nil || !slices.Equal(keys, want) {
			t.Fatalf("list: %q, %v, want %q", keys, err, want)
		}
	})
}

// Keys come and go at full load; what a lookup probes must not grow with time.
func TestAMissStaysShortUnderChurn(t *testing.T) {
	b := newBus(t, Options{Slots: 512, Seed: 1})
	for i := range 512 {
		mustSet(t, b, fmt.Sprint("key", i), "v")
	}
	for i := range 100_000 {
		if err := b.Unset(fmt.Sprint("key", i)); err != nil {
			t.Fatal(err)
		}
		mustSet(t, b, fmt.Sprint("key", i+512), "v")
	}
	probes, misses := 0, 1000
	for i := range misses {
		for at := b.hash(fmt.Sprint("miss", i)); b.index(at).Load() != 0; at++ {
			probes++
		}
	}
	if probes > 4*misses {
		t.Fatalf("%d probes for %d misses", probes, misses)
	}
}

// Readers, two writers of one key and one that removes others, all at once.
func TestReadersSeeWholeValuesOfAKeyThatIsAlwaysThere(t *testing.T) {
	b := newBus(t, Options{Slots: 64})
	handles := []*Bus{b, again(t, b), again(t, b)}
	pattern := func(n int) []byte { return bytes.Repeat([]byte{byte(n)}, 64+n%512) }
	if err := b.Set("key", pattern(0)); err != nil {
		t.Fatal(err)
	}
	const rounds = 3000
	var all sync.WaitGroup
	for w := range 2 {
		all.Go(func() {
			for i := range rounds {
				if err := handles[w].Set("key", pattern(i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Go(func() {
		for i := range rounds {
			other := fmt.Sprint("other", i%8)
			if err := handles[2].Set(other, []byte(other)); err != nil {
				t.Error(err)
			}
			if err := handles[2].Unset(other); err != nil {
				t.Error(err)
			}
		}
	})
	for range 2 {
		all.Go(func() {
			for range rounds {
				got, _, err := b.Get("key")
				if err != nil || len(got) < 64 || (len(got)-64)%256 != int(got[0]) || bytes.Count(got, got[:1]) != len(got) {
					t.Errorf("a torn read of %d bytes, %v", len(got), err)
					return
				}
			}
		})
	}
	all.Wait()
	if keys, _ := b.List(""); len(keys) != 1 {
		t.Fatalf("%q are left, want one key", keys)
	}
}

func TestTwoWritersOfANewKeyMakeOneKey(t *testing.T) {
	b := newBus(t, Options{Slots: 64})
	other := again(t, b)
	for i := range 500 {
		key := fmt.Sprint("key", i%32)
		var all sync.WaitGroup
		for _, bus := range []*Bus{b, other} {
			all.Go(func() {
				if err := bus.Set(key, []byte("value")); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if keys, _ := b.List(key); !slices.Contains(keys, key) {
			t.Fatalf("%q is not listed", key)
		}
		if err := b.Unset(key); err != nil {
			t.Fatal(err)
		}
		if _, _, err := other.Get(key); !errors.Is(err, ErrNotFound) {
			t.Fatalf("a second %q was there: %v", key, err)
		}
	}
}

func TestWaitEndsWithItsContextAndWithTheBus(t *testing.T) {
	b := newBus(t, Options{})
	ctx, cancel := context.WithCancel(limit(t))
	ended := make(chan error)
	go func() {
		_, _, err := b.Wait(ctx, "never", 0)
		ended <- err
	}()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Fatalf("cancelled: %v", err)
	}
	go func() {
		_, _, err := b.Wait(context.Background(), "never", 0)
		ended <- err
	}()
	b.Close()
	if err := <-ended; !errors.Is(err, ErrClosed) {
		t.Fatalf("closed: %v", err)
	}
}

func TestWaitReturnsTheNextVersion(t *testing.T) {
	b := newBus(t, Options{})
	other := again(t, b)
	ctx := limit(t)
	after := uint64(0)
	for i := range 200 {
		set := make(chan error, 1)
		go func() { set <- other.Set("key", []byte(fmt.Sprint(i))) }()
		value, version, err := b.Wait(ctx, "key", after)
		if err := <-set; err != nil {
			t.Fatal(err)
		}
		if err != nil || version <= after || string(value) != fmt.Sprint(i) {
			t.Fatalf("round %d: %q, version %d after %d, %v", i, value, version, after, err)
		}
		after = version
	}
}

func TestWordsAreCopiedAsBytesAre(t *testing.T) {
	for n := range 70 {
		want := make([]byte, n)
		for i := range want {
			want[i] = byte(i*7 + n)
		}
		backing := make([]uint64, 10) // begins at a multiple of 8, as records do
		mem := unsafe.Slice((*byte)(unsafe.Pointer(&backing[0])), 80)
		mem[79] = 0xee
		got := make([]byte, n)
		wordsIn(mem[:n], want)
		wordsOut(got, mem[:n])
		if !bytes.Equal(mem[:n], want) || !bytes.Equal(got, want) || mem[79] != 0xee {
			t.Fatalf("%d bytes: %x and back %x, want %x", n, mem, got, want)
		}
	}
}
