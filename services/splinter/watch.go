package splinter

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"strings"
	"sync/atomic"
)

// EventKind says what became of a key.
type EventKind uint8

const (
	Set     EventKind = iota + 1 // it has a new value, or new attributes
	Unset                        // it was removed, or lost the labels that are watched
	Evicted                      // it was removed because it was the lightest and space was short
	Expired                      // it was removed because its TTL had passed
)

func (k EventKind) String() string {
	switch k {
	case Set:
		return "set"
	case Unset:
		return "unset"
	case Evicted:
		return "evicted"
	case Expired:
		return "expired"
	}
	return fmt.Sprintf("event %d", uint8(k))
}

// Event is one change of a key. Version is the one that was set, or the last that
// the key had.
type Event struct {
	Kind    EventKind
	Key     string
	Version uint64
}

// Selector says which keys to watch: exactly one field is not zero, or none,
// which is every key.
type Selector struct {
	Key    string
	Prefix string
	Labels uint64 // keys that have all of these bits
}

// ErrBehind means that a watcher was slower than the bus by more than the log
// holds: what it is told next is the difference between what it knew and what is there.
var ErrBehind = errors.New("watcher fell behind")

// ErrSelector means that a selector has more than one field.
var ErrSelector = errors.New("bad selector")

func (s Selector) check() error {
	n := 0
	for _, given := range []bool{s.Key != "", s.Prefix != "", s.Labels != 0} {
		if given {
			n++
		}
	}
	if n > 1 || len(s.Key) > MaxKey || len(s.Prefix) > MaxKey {
		return fmt.Errorf("%w: one of a key, a prefix and labels was expected, names to %d bytes", ErrSelector, MaxKey)
	}
	return nil
}

func (s Selector) matches(key string, labels uint64) bool {
	return (s.Key == "" || s.Key == key) && strings.HasPrefix(key, s.Prefix) && labels&s.Labels == s.Labels
}

// watch is one Watch under way.
type watch struct {
	bus      *Bus
	selector Selector
	place    int
	word     *atomic.Uint32
	next     uint64            // number of the next event to read
	known    map[string]uint64 // version of every key it was told of and that is there
	names    map[string]string // of a keyed bus: by stored key
}

// Watch tells of every key that the selector takes, first of those that are there,
// each as a Set, then of changes as they come, for as long as the loop over it
// runs: until ctx ends (its error comes last), the bus is closed or the loop is
// left. No change is lost; of several Sets of one key the last may stand for all,
// and a Set and an Unset may come to nothing. One that is slower than the bus by
// more than 1024 changes that somebody watches is told ErrBehind, and then the
// difference. At most 64 watch a bus; one more is ErrFull.
func (b *Bus) Watch(ctx context.Context, s Selector) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		defer runtime.KeepAlive(b)
		w, err := b.startWatch(s)
		if err != nil {
			yield(Event{}, fmt.Errorf("watch: %w", err))
			return
		}
		defer w.stop()
		for _, e := range w.difference() {
			if !yield(e, nil) {
				return
			}
		}
		for {
			events, err := w.wait(ctx)
			if errors.Is(err, ErrBehind) {
				if !yield(Event{}, fmt.Errorf("watch: %w", err)) {
					return
				}
				events, err = w.difference(), nil
			}
			for _, e := range events {
				if !yield(e, nil) {
					return
				}
			}
			if err != nil {
				yield(Event{}, fmt.Errorf("watch: %w", err))
				return
			}
		}
	}
}

func (b *Bus) startWatch(s Selector) (*watch, error) {
	err := s.check()
	if err == nil && s.Key != "" {
		err = b.checkRead(s.Key)
	}
	if err == nil {
		err = b.checkOpen()
	}
	if err != nil {
		return nil, err
	}
	place, err := b.register(s)
	if err != nil {
		return nil, err
	}
	w := &watch{bus: b, selector: s, place: place, word: &b.watcherEntry(place).word, known: map[string]uint64{}, names: map[string]string{}}
	b.mu.Lock()
	b.watches[w] = struct{}{}
	b.mu.Unlock()
	return w, nil
}

func (w *watch) stop() {
	b, h := w.bus, w.bus.header()
	b.mu.Lock()
	delete(b.watches, w)
	b.mu.Unlock()
	b.lock(&h.logLock)
	h.watching.Store(h.watching.Load() &^ (1 << w.place))
	b.unlock(&h.logLock)
}

// difference is what changed between what the watcher knows and what is there.
// The log is read on from where it ended before it looked.
func (w *watch) difference() []Event {
	b := w.bus
	w.next = b.header().logHead.Load()
	var events []Event
	there := map[string]bool{}
	see := func(key string, is *attributes) {
		if !w.selector.matches(key, is.labels) {
			return
		}
		there[key] = true
		if version, ok := w.known[key]; !ok || version < is.version {
			w.known[key] = is.version
			events = append(events, Event{Set, key, is.version})
		}
	}
	if key := w.selector.Key; key != "" {
		if is, err := b.lookUp(key); err == nil {
			see(key, &is)
		}
	} else {
		b.eachKey(see)
	}
	for key, version := range w.known {
		if !there[key] {
			delete(w.known, key)
			events = append(events, Event{Unset, key, version})
		}
	}
	return events
}

// wait sleeps until there are events for the watcher and returns them.
func (w *watch) wait(ctx context.Context) (events []Event, err error) {
	b := w.bus
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	sleepErr := b.sleep(ctx, w.word, func() bool {
		if err = b.checkOpen(); err != nil {
			return true
		}
		events, err = w.read()
		return len(events) > 0 || err != nil
	})
	if sleepErr != nil {
		return events, sleepErr
	}
	return events, err
}

// read takes what is new in the log.
func (w *watch) read() (events []Event, err error) {
	b := w.bus
	head := b.header().logHead.Load()
	if head-w.next > logEntries {
		return nil, ErrBehind
	}
	for ; w.next != head; w.next++ {
		kind, stored, version, labels, ok := b.readLog(w.next)
		if !ok {
			return events, ErrBehind
		}
		if e, ok := w.judge(kind, stored, version, labels); ok {
			events = append(events, e)
		}
	}
	return events, nil
}

// judge says whether the watcher is told of an event.
func (w *watch) judge(kind EventKind, stored string, version, labels uint64) (Event, bool) {
	key, ok := w.name(stored)
	if !ok {
		return Event{}, false
	}
	last, known := w.known[key]
	if known && version < last || known && version == last && kind == Set {
		return Event{}, false // told already by a look at the whole
	}
	if kind != Set {
		delete(w.known, key)
		return Event{kind, key, version}, known || w.selector.matches(key, labels) && w.mayRead(key)
	}
	if !w.mayRead(key) {
		return Event{}, false
	}
	if !w.selector.matches(key, labels) {
		delete(w.known, key)
		return Event{Unset, key, version}, known // it lost its labels
	}
	w.known[key] = version
	return Event{Set, key, version}, true
}

func (w *watch) mayRead(key string) bool {
	return w.bus.may("key:", key, readRight)
}

// name is the key's own name; false if it cannot be known any more: a key of a
// keyed bus that came and went between two looks.
func (w *watch) name(stored string) (string, bool) {
	b := w.bus
	if b.keys == nil {
		return stored, true
	}
	if name, ok := w.names[stored]; ok {
		return name, true
	}
	for key := range w.known {
		if b.storedKey(key) == stored {
			w.names[stored] = key
			return key, true
		}
	}
	if w.selector.Key != "" && b.storedKey(w.selector.Key) == stored {
		return w.selector.Key, true
	}
	name, ok := b.nameOf(stored)
	if ok {
		w.names[stored] = name
	}
	return name, ok
}
