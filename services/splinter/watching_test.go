package splinter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

// collect watches in the background; next returns one event.
type collected struct {
	e   Event
	err error
}

func collect(ctx context.Context, b *Bus, s Selector) chan collected {
	events := make(chan collected)
	go func() {
		defer close(events)
		for e, err := range b.Watch(ctx, s) {
			events <- collected{e, err}
		}
	}()
	return events
}

func wantEvent(t *testing.T, events chan collected, kind EventKind, key string) {
	t.Helper()
	if got := <-events; got.err != nil || got.e.Kind != kind || got.e.Key != key {
		t.Fatalf("event %v %q, %v, want %v %q", got.e.Kind, got.e.Key, got.err, kind, key)
	}
}

func TestAWatchTellsEveryChangeThatItsSelectorTakes(t *testing.T) {
	for name, o := range map[string]Options{"plain": {}, "keyed": {Key: secret}} {
		t.Run(name, func(t *testing.T) {
			clock := newClock()
			o.Clock = clock.now
			b, ctx := newBus(t, o), limit(t)
			mustSet(t, b, "a/1", "there already")
			key, prefix, label := collect(ctx, b, Selector{Key: "a/1"}), collect(ctx, b, Selector{Prefix: "a/"}), collect(ctx, b, Selector{Labels: 2})
			wantEvent(t, key, Set, "a/1")
			wantEvent(t, prefix, Set, "a/1")
			mustSet(t, b, "b/1", "nobody's")
			mustSet(t, b, "a/2", "new")
			wantEvent(t, prefix, Set, "a/2")
			if err := b.Label("b/1", 3, 0); err != nil {
				t.Fatal(err)
			}
			wantEvent(t, label, Set, "b/1")
			if err := b.Label("b/1", 0, 2); err != nil {
				t.Fatal(err)
			}
			wantEvent(t, label, Unset, "b/1")
			mustSet(t, b, "a/1", "again")
			wantEvent(t, key, Set, "a/1")
			wantEvent(t, prefix, Set, "a/1")
			if err := b.Unset("a/1"); err != nil {
				t.Fatal(err)
			}
			wantEvent(t, key, Unset, "a/1")
			wantEvent(t, prefix, Unset, "a/1")
			if err := b.SetWith("a/3", nil, Meta{TTL: time.Second, Labels: 2}); err != nil {
				t.Fatal(err)
			}
			wantEvent(t, prefix, Set, "a/3")
			wantEvent(t, label, Set, "a/3")
			clock.advance(time.Second)
			if _, err := b.Evict(clock.at); err != nil {
				t.Fatal(err)
			}
			wantEvent(t, prefix, Expired, "a/3")
			wantEvent(t, label, Expired, "a/3")
			b.Close()
			for _, events := range []chan collected{key, prefix, label} {
				if got := <-events; !errors.Is(got.err, ErrClosed) {
					t.Fatalf("after close: %+v", got)
				}
			}
		})
	}
}

func TestAWatcherThatFellBehindIsToldSoAndThenTheDifference(t *testing.T) {
	b, ctx := newBus(t, Options{}), limit(t)
	mustSet(t, b, "goes", "v")
	mustSet(t, b, "stays", "v")
	var told []string
	for e, err := range b.Watch(ctx, Selector{}) {
		if err != nil && !errors.Is(err, ErrBehind) {
			t.Fatal(err)
		}
		if err != nil {
			told = append(told, "behind")
			continue
		}
		told = append(told, fmt.Sprint(e.Kind, " ", e.Key))
		if len(told) == 2 { // it does not read meanwhile
			for range 2 * logEntries {
				mustSet(t, b, "stays", "w")
			}
			if err := b.Unset("goes"); err != nil {
				t.Fatal(err)
			}
		}
		if len(told) == 5 {
			break
		}
	}
	slices.Sort(told[:2])
	slices.Sort(told[3:])
	if want := []string{"set goes", "set stays", "behind", "set stays", "unset goes"}; !slices.Equal(told, want) {
		t.Fatalf("told %q, want %q", told, want)
	}
}

// watchToTheLast watches until every key that the selector takes, all or one, has
// the value "last".
func watchToTheLast(ctx context.Context, b *Bus, s Selector, keys int) error {
	last, ended := map[string]uint64{}, map[string]bool{}
	left := keys
	if s.Key != "" {
		left = 1
	}
	for e, err := range b.Watch(ctx, s) {
		if errors.Is(err, ErrBehind) {
			continue
		}
		if err != nil {
			return err
		}
		if e.Version <= last[e.Key] {
			return fmt.Errorf("%q: version %d after %d", e.Key, e.Version, last[e.Key])
		}
		last[e.Key] = e.Version
		if value, _, err := b.Get(e.Key); err == nil && string(value) == "last" && !ended[e.Key] {
			ended[e.Key] = true
			if left--; left == 0 {
				return nil
			}
		}
	}
	return errors.New("the watch ended by itself")
}

func TestWatchersLoseNoLastVersion(t *testing.T) {
	b, ctx := newBus(t, Options{Slots: 64}), limit(t)
	const keys, rounds = 8, 2000
	done := make(chan error)
	for w := range 3 {
		watcher := again(t, b)
		s := []Selector{{Prefix: "key"}, {Key: "key3"}, {}}[w]
		go func() { done <- watchToTheLast(ctx, watcher, s, keys) }() // by then its place is given back
	}
	for i := range rounds {
		mustSet(t, b, fmt.Sprint("key", i%keys), "v")
	}
	for i := range keys {
		mustSet(t, b, fmt.Sprint("key", i), "last")
	}
	for range 3 {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	if places := b.header().watching.Load(); places != 0 {
		t.Fatalf("places %b are left", places)
	}
}
