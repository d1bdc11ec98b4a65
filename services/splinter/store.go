package splinter

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"unsafe"
)

func (b *Bus) checkKey(key string) error {
	if len(key) == 0 || len(key) > MaxKey {
		return fmt.Errorf("%w: it has %d bytes, 1 to %d were expected", ErrKey, len(key), MaxKey)
	}
	return b.checkOpen()
}

// Set puts the value under the key and gives it a version greater than any the
// key had. It returns when every later Get, in any process, sees it. The key
// keeps its type, labels and half-life; its TTL begins again.
func (b *Bus) Set(key string, value []byte) error {
	if err := b.checkWrite(key, len(value)); err != nil {
		return fmt.Errorf("set %q: %w", key, err)
	}
	if _, err := b.put(b.storedKey(key), b.sealed(key, value), nil); err != nil {
		return fmt.Errorf("set %q: %w", key, err)
	}
	return nil
}

// checkWrite says whether a value of so many bytes may be written under the key.
func (b *Bus) checkWrite(key string, size int) error {
	if err := b.checkKey(key); err != nil {
		return err
	}
	if limit := b.valueLimit(); size > limit {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, size, limit)
	}
	if b.permitKey != nil {
		return b.permitKey(key, true)
	}
	return nil
}

// draft is a key's content under its lock, for an edit to change.
type draft struct {
	found   bool
	version uint64
	value   []byte // as stored, in place: replaced by an edit, never written into
	is      attributes
}

// edit changes a draft; what it returns ends the write with nothing changed.
type edit func(*draft) error

// put writes the value of the key, or what the edit makes of it, and returns its
// version. The key and the value are as stored.
func (b *Bus) put(key string, value []byte, change edit) (version uint64, err error) {
	hash := b.hash(key)
	version, found, err := b.replace(hash, key, value, change)
	if !found {
		version, err = b.insert(hash, key, value, change)
	}
	if err == nil {
		b.count(counterSets, 1)
		notify(&b.wake(hash).word)
	}
	runtime.KeepAlive(b)
	return version, err
}

// replace writes a key that is there; found is false if it is not.
func (b *Bus) replace(hash uint64, key string, value []byte, change edit) (version uint64, found bool, err error) {
	at := hash
	for range b.g.IndexSize {
		entry := b.index(at).Load()
		if entry == 0 {
			break
		}
		if i := uint32(entry) - 1; entry == indexEntry(hash, i) && i < b.g.Slots {
			s := b.lockSlot(i)
			// The key may have been removed, and the slot used again, before the lock was ours.
			if b.index(at).Load() == entry && s.holds(key) {
				version, err = b.rewrite(i, key, value, change)
				b.unlock(&s.owner)
				return version, true, err
			}
			b.unlock(&s.owner)
		}
		at++
	}
	return 0, false, nil
}

// rewrite writes slot i, which holds the key; the caller holds its lock.
func (b *Bus) rewrite(i uint32, key string, value []byte, change edit) (version uint64, err error) {
	s := b.slot(i)
	before := &s.records[valid(s.epoch.Load())]
	version = load(&before.version) + 1
	if change == nil {
		err = b.write(i, value, version, nil)
	} else {
		err = b.rewriteDraft(i, version, change)
	}
	if err == nil && b.header().watching.Load() != 0 {
		is, had := s.records[valid(s.epoch.Load())].attributes(), before.attributes()
		b.tellWatchers(Set, key, &is, is.labels|had.labels)
	}
	return version, err
}

func (b *Bus) rewriteDraft(i uint32, version uint64, change edit) error {
	s := b.slot(i)
	d := draft{version: version - 1, is: s.records[valid(s.epoch.Load())].attributes()}
	if d.is.expires == 0 || !d.is.expired(b.now()) {
		var ok bool
		if d.value, ok = b.valueInPlace(s); !ok {
			return fmt.Errorf("slot %d: %w", i, ErrCorrupt)
		}
		d.found = true
	} else {
		d.is = attributes{}
	}
	if err := change(&d); err != nil {
		return err
	}
	b.renew(s, &d.is)
	return b.write(i, d.value, version, &d.is)
}

// insert adds the key, or writes it if another process added it meanwhile.
func (b *Bus) insert(hash uint64, key string, value []byte, change edit) (version uint64, err error) {
	b.lockStore()
	defer b.unlock(&b.header().storeLock)
	i, at, found := b.find(hash, key)
	if found {
		s := b.lockSlot(i)
		defer b.unlock(&s.owner)
		return b.rewrite(i, key, value, change)
	}
	d := draft{value: value}
	if change != nil {
		if err := change(&d); err != nil {
			return 0, err
		}
	}
	if err := b.checkShare(); err != nil {
		return 0, err
	}
	i, ok := b.takeSlot()
	if !ok && b.removeExpired(b.now(), nil) > 0 {
		_, at, _ = b.find(hash, key)
		i, ok = b.takeSlot()
	}
	if !ok {
		return 0, fmt.Errorf("%w: all %d keys are taken", ErrFull, b.g.Slots)
	}
	reached(stepSlotTaken)
	s := b.lockSlot(i)
	defer b.unlock(&s.owner)
	version = b.header().versionFloor.Load() + 1
	s.uid.Store(b.channels.uid)
	s.used.Store(0)
	s.weight.Store(0)
	b.renew(s, &d.is)
	if err := b.write(i, d.value, version, &d.is); err != nil {
		b.clearSlot(i)
		b.freeSlot(i)
		return 0, err
	}
	copyIn(s.key[:len(key)], unsafe.Slice(unsafe.StringData(key), len(key)))
	s.keyLen.Store(uint32(len(key)))
	reached(stepKeyed)
	b.index(at).Store(indexEntry(hash, i))
	reached(stepIndexed)
	d.is.version = version
	b.changed(Set, key, &d.is)
	return version, nil
}

// Get returns a copy of the key's value and its version. It takes no lock and
// waits for nobody. A key that is not there is ErrNotFound.
func (b *Bus) Get(key string) (value []byte, version uint64, err error) {
	return b.AppendGet(nil, key)
}

// AppendGet is Get that appends the value to dst, for callers that allocate nothing.
func (b *Bus) AppendGet(dst []byte, key string) (value []byte, version uint64, err error) {
	if err := b.checkRead(key); err != nil {
		return dst, 0, fmt.Errorf("get %q: %w", key, err)
	}
	if b.keys != nil {
		return b.openGet(dst, key)
	}
	return b.appendGet(dst, key)
}

// appendGet is AppendGet of what is stored.
func (b *Bus) appendGet(dst []byte, key string) (value []byte, version uint64, err error) {
	b.count(counterGets, 1)
	hash := b.hash(key)
	at := hash
	for range b.g.IndexSize {
		entry := b.index(at).Load()
		if entry == 0 {
			break
		}
		i := uint32(entry) - 1
		if entry == indexEntry(hash, i) && i < b.g.Slots {
			value, version, state := b.read(i, key, dst)
			if state == readFound {
				runtime.KeepAlive(b)
				return value, version, nil
			}
			if state == readCorrupt {
				return dst, 0, fmt.Errorf("get %q: slot %d: %w", key, i, ErrCorrupt)
			}
		}
		at++
	}
	b.count(counterMisses, 1)
	runtime.KeepAlive(b)
	return dst, 0, &missError{key: key}
}

// checkRead says whether the key may be read.
func (b *Bus) checkRead(key string) error {
	if err := b.checkKey(key); err != nil {
		return err
	}
	if b.permitKey != nil {
		return b.permitKey(key, false)
	}
	return nil
}

// missError is ErrNotFound with the key in it, cheap to make.
type missError struct{ key string }

func (e *missError) Error() string { return fmt.Sprintf("get %q: %v", e.key, ErrNotFound) }
func (e *missError) Unwrap() error { return ErrNotFound }

// Unset removes the key. A key that is not there is ErrNotFound.
func (b *Bus) Unset(key string) error {
	if err := b.checkWrite(key, 0); err != nil {
		return fmt.Errorf("unset %q: %w", key, err)
	}
	defer runtime.KeepAlive(b)
	stored := b.storedKey(key)
	b.lockStore()
	defer b.unlock(&b.header().storeLock)
	i, at, found := b.find(b.hash(stored), stored)
	if !found {
		return fmt.Errorf("unset %q: %w", key, ErrNotFound)
	}
	is := b.slot(i).records[valid(b.slot(i).epoch.Load())].attributes()
	if is.expires != 0 && is.expired(b.now()) {
		b.remove(i, at, Expired)
		return fmt.Errorf("unset %q: %w", key, ErrNotFound)
	}
	b.remove(i, at, Unset)
	b.count(counterUnsets, 1)
	return nil
}

// remove takes the key in slot i, named by the index at at, off the bus; the
// caller holds the store lock.
func (b *Bus) remove(i uint32, at uint64, kind EventKind) {
	s := b.lockSlot(i)
	key, is, _ := b.readKey(i)
	floor := &b.header().versionFloor
	floor.Store(max(floor.Load(), s.version()))
	b.dropEntry(at)
	reached(stepDropped)
	b.clearSlot(i)
	b.changed(kind, key, &is)
	b.unlock(&s.owner)
	b.freeSlot(i)
}

// List returns the keys that begin with prefix and may be read, sorted. A key
// that is there throughout the call is in it.
func (b *Bus) List(prefix string) ([]string, error) {
	if err := b.checkOpen(); err != nil {
		return nil, fmt.Errorf("list: %w", err)
	}
	var keys []string
	b.eachKey(func(key string, _ *attributes) {
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	})
	slices.Sort(keys)
	return slices.Compact(keys), nil
}

// eachKey calls visit for every key that is there throughout the call and may be
// read, by its own name; for others that are there at some time of it perhaps,
// and for none that has expired.
func (b *Bus) eachKey(visit func(key string, is *attributes)) {
	defer runtime.KeepAlive(b)
	now := b.now()
	for at := range uint64(b.g.IndexSize) {
		entry := b.index(at).Load()
		i := uint32(entry) - 1
		if entry == 0 || i >= b.g.Slots {
			continue
		}
		stored, is, ok := b.readKey(i)
		if !ok || b.index(at).Load() != entry || is.expired(now) {
			continue
		}
		key, ok := b.nameOf(stored)
		if ok && b.may("key:", key, readRight) {
			visit(key, &is)
		}
	}
}

// Wait returns the key's value as soon as its version is greater than after; 0
// waits for the key to be there. It sleeps on a futex, one thread per call, until
// the key is set, ctx ends or the bus is closed. Versions between may be passed over.
func (b *Bus) Wait(ctx context.Context, key string, after uint64) (value []byte, version uint64, err error) {
	if err := b.checkKey(key); err != nil {
		return nil, 0, fmt.Errorf("wait: %w", err)
	}
	defer runtime.KeepAlive(b)
	sleepErr := b.sleep(ctx, &b.wake(b.hash(b.storedKey(key))).word, func() bool {
		value, version, err = b.Get(key)
		if err != nil {
			return !errors.Is(err, ErrNotFound)
		}
		return version > after
	})
	if sleepErr != nil {
		return nil, 0, fmt.Errorf("wait for %q: %w", key, sleepErr)
	}
	return value, version, err
}
