package splinter

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
)

func (b *Bus) checkKey(key string) error {
	if len(key) == 0 || len(key) > MaxKey {
		return fmt.Errorf("%w: it has %d bytes, 1 to %d were expected", ErrKey, len(key), MaxKey)
	}
	return b.checkOpen()
}

// Set puts the value under the key and gives it a version greater than any the
// key had. It returns when every later Get, in any process, sees it.
func (b *Bus) Set(key string, value []byte) error {
	if err := b.checkKey(key); err != nil {
		return fmt.Errorf("set: %w", err)
	}
	if len(value) > int(b.g.ValueMax) {
		return fmt.Errorf("set %q: %w: %d bytes, at most %d", key, ErrTooLarge, len(value), b.g.ValueMax)
	}
	defer runtime.KeepAlive(b)
	hash := b.hash(key)
	if !b.replace(hash, key, value) {
		if err := b.insert(hash, key, value); err != nil {
			return fmt.Errorf("set %q: %w", key, err)
		}
	}
	b.count(counterSets, 1)
	notify(&b.wake(hash).word)
	return nil
}

// replace writes the value of a key that is there; false if it is not.
func (b *Bus) replace(hash uint64, key string, value []byte) bool {
	slot, at, found := b.find(hash, key)
	if !found {
		return false
	}
	s := b.slot(slot)
	b.lock(&s.owner)
	defer b.unlock(&s.owner)
	// The key may have been removed, and the slot used again, before the lock was ours.
	if b.index(at).Load() != indexEntry(hash, slot) {
		return false
	}
	if _, _, state := b.read(slot, key, nil, false); state != readFound {
		return false
	}
	b.write(slot, key, value, b.currentVersion(slot)+1)
	return true
}

// insert adds the key, or writes it if another process added it meanwhile.
func (b *Bus) insert(hash uint64, key string, value []byte) error {
	b.lockStore()
	defer b.unlock(&b.header().storeLock)
	slot, at, found := b.find(hash, key)
	version := b.header().versionFloor.Load() + 1
	if !found {
		free, ok := b.takeSlot()
		if !ok {
			return fmt.Errorf("%w: all %d keys are taken", ErrFull, b.g.Slots)
		}
		slot = free
	}
	s := b.slot(slot)
	b.lock(&s.owner)
	defer b.unlock(&s.owner)
	if found {
		version = b.currentVersion(slot) + 1
	}
	b.write(slot, key, value, version)
	if !found {
		b.index(at).Store(indexEntry(hash, slot))
	}
	return nil
}

// Get returns a copy of the key's value and its version. It takes no lock and
// waits for nobody. A key that is not there is ErrNotFound.
func (b *Bus) Get(key string) (value []byte, version uint64, err error) {
	return b.AppendGet(nil, key)
}

// AppendGet is Get that appends the value to dst, for callers that allocate nothing.
func (b *Bus) AppendGet(dst []byte, key string) (value []byte, version uint64, err error) {
	if err := b.checkKey(key); err != nil {
		return dst, 0, fmt.Errorf("get: %w", err)
	}
	defer runtime.KeepAlive(b)
	b.count(counterGets, 1)
	hash := b.hash(key)
	at := hash
	for range b.g.IndexSize {
		entry := b.index(at).Load()
		if entry == 0 {
			break
		}
		slot := uint32(entry) - 1
		if entry == indexEntry(hash, slot) && slot < b.g.Slots {
			value, version, state := b.read(slot, key, dst, true)
			switch state {
			case readFound:
				return value, version, nil
			case readCorrupt:
				return dst, 0, fmt.Errorf("get %q: slot %d: %w", key, slot, ErrCorrupt)
			}
		}
		at++
	}
	b.count(counterMisses, 1)
	return dst, 0, &missError{key: key}
}

// missError is ErrNotFound with the key in it, cheap to make.
type missError struct{ key string }

func (e *missError) Error() string { return fmt.Sprintf("get %q: %v", e.key, ErrNotFound) }
func (e *missError) Unwrap() error { return ErrNotFound }

// Unset removes the key. A key that is not there is ErrNotFound.
func (b *Bus) Unset(key string) error {
	if err := b.checkKey(key); err != nil {
		return fmt.Errorf("unset: %w", err)
	}
	defer runtime.KeepAlive(b)
	b.lockStore()
	defer b.unlock(&b.header().storeLock)
	slot, at, found := b.find(b.hash(key), key)
	if !found {
		return fmt.Errorf("unset %q: %w", key, ErrNotFound)
	}
	s := b.slot(slot)
	b.lock(&s.owner)
	floor := &b.header().versionFloor
	floor.Store(max(floor.Load(), b.currentVersion(slot)))
	b.dropEntry(at)
	b.unlock(&s.owner)
	b.freeSlot(slot)
	b.count(counterUnsets, 1)
	return nil
}

// List returns the keys that begin with prefix, sorted. A key that is there
// throughout the call is in it.
func (b *Bus) List(prefix string) ([]string, error) {
	if err := b.checkOpen(); err != nil {
		return nil, fmt.Errorf("list: %w", err)
	}
	defer runtime.KeepAlive(b)
	var keys []string
	for i := range uint64(b.g.IndexSize) {
		entry := b.index(i).Load()
		slot := uint32(entry) - 1
		if entry == 0 || slot >= b.g.Slots {
			continue
		}
		key, ok := b.readKey(slot)
		if ok && strings.HasPrefix(key, prefix) && b.index(i).Load() == entry {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys), nil
}

// Wait returns the key's value as soon as its version is greater than after; 0
// waits for the key to be there. It sleeps on a futex, one thread per call, until
// the key is set, ctx ends or the bus is closed. Versions between may be passed over.
func (b *Bus) Wait(ctx context.Context, key string, after uint64) (value []byte, version uint64, err error) {
	if err := b.checkKey(key); err != nil {
		return nil, 0, fmt.Errorf("wait: %w", err)
	}
	defer runtime.KeepAlive(b)
	sleepErr := sleep(ctx, &b.wake(b.hash(key)).word, func() bool {
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
