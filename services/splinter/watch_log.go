package splinter

import (
	"fmt"
	"math/bits"
	"unsafe"
)

// Who watches is written in the file, so that a writer logs only what somebody
// asked for and wakes only who asked. The log is a ring: a number's entry is
// whole once its sequence says so, and again until it is overwritten. One writes at
// a time, under the log's lock; the head moves when the entry is whole, so one who
// is killed before leaves nothing that a reader would wait for.

func (m *mapping) logEntry(n uint64) *logEntry {
	return (*logEntry)(unsafe.Pointer(&m.data[m.at.log+logEntrySize*(n%logEntries)]))
}

func (m *mapping) watcherEntry(i int) *watcherEntry {
	return (*watcherEntry)(unsafe.Pointer(&m.data[m.at.watchers+watcherSize*uint64(i%watcherLimit)]))
}

// changed tells the watchers of a change that everybody can see already. It costs
// one load if there are none.
func (b *Bus) changed(kind EventKind, key string, is *attributes) {
	if b.header().watching.Load() != 0 {
		b.tellWatchers(kind, key, is, is.labels)
	}
}

// tellWatchers logs the change if somebody watches the key, and wakes who does.
// The key is as stored, labels are those it has or had before; the caller holds its slot's lock, so that a key's events
// are in the order of its versions.
func (b *Bus) tellWatchers(kind EventKind, key string, is *attributes, labels uint64) {
	var told [watcherLimit]int
	n := 0
	for left := b.header().watching.Load(); left != 0; left &= left - 1 {
		i := bits.TrailingZeros64(left)
		if b.watcherEntry(i).wants(key, labels) {
			told[n] = i
			n++
		}
	}
	if n == 0 {
		return
	}
	b.lock(&b.header().logLock)
	head := &b.header().logHead
	number := head.Load()
	e := b.logEntry(number)
	e.sequence.Store(2*number + 1)
	store(&e.version, is.version)
	store(&e.labels, is.labels)
	store(&e.kind, uint64(kind))
	store(&e.keyLen, uint64(len(key)))
	copyIn(e.key[:len(key)], unsafe.Slice(unsafe.StringData(key), len(key)))
	e.sequence.Store(2*number + 2)
	reached(stepLogging)
	head.Store(number + 1) // a death before this leaves the entry to the next who logs
	b.unlock(&b.header().logLock)
	for _, i := range told[:n] {
		notify(&b.watcherEntry(i).word)
	}
}

func (w *watcherEntry) wants(key string, labels uint64) bool {
	if want := load(&w.labels); labels&want != want {
		return false
	}
	n := load(&w.prefixLen)
	if n > uint64(len(key)) || load(&w.exact) == 1 && n != uint64(len(key)) {
		return false
	}
	return sameBytes(w.prefix[:n&MaxKey], key[:n&MaxKey])
}

// readLog returns the event of that number; false if it has been overwritten.
func (b *Bus) readLog(number uint64) (kind EventKind, key string, version, labels uint64, ok bool) {
	e := b.logEntry(number)
	if e.sequence.Load() != 2*number+2 {
		return 0, "", 0, 0, false
	}
	kind, version, labels = EventKind(load(&e.kind)), load(&e.version), load(&e.labels)
	name := make([]byte, load(&e.keyLen)&MaxKey)
	copyOut(name, e.key[:len(name)])
	return kind, string(name), version, labels, e.sequence.Load() == 2*number+2
}

// register takes a watcher's place and says what it wants.
func (b *Bus) register(s Selector) (int, error) {
	h := b.header()
	b.lock(&h.logLock)
	defer b.unlock(&h.logLock)
	if h.watching.Load() == 1<<64-1 {
		b.reapWatchers()
	}
	i := bits.TrailingZeros64(^h.watching.Load())
	if i == watcherLimit {
		return 0, fmt.Errorf("%w: %d watchers are there", ErrFull, watcherLimit)
	}
	w := b.watcherEntry(i)
	prefix := s.Prefix
	exact := uint64(0)
	if s.Key != "" {
		prefix, exact = b.storedKey(s.Key), 1
	} else if b.keys != nil {
		prefix = "" // names are not to be seen in the file: the watcher looks itself
	}
	w.owner.Store(b.self)
	store(&w.labels, s.Labels)
	store(&w.exact, exact)
	store(&w.prefixLen, uint64(len(prefix)))
	copyIn(w.prefix[:len(prefix)], unsafe.Slice(unsafe.StringData(prefix), len(prefix)))
	h.watching.Store(h.watching.Load() | 1<<i)
	return i, nil
}

// reapWatchers gives the places of dead watchers back; the caller holds the log's lock.
func (b *Bus) reapWatchers() {
	h := b.header()
	for i := range watcherLimit {
		if owner := b.watcherEntry(i).owner.Load(); h.watching.Load()&(1<<i) != 0 && !b.alive(owner) {
			h.watching.Store(h.watching.Load() &^ (1 << i))
		}
	}
}
