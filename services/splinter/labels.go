package splinter

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Description is all of a key but its value.
type Description struct {
	Meta
	Version uint64
	Size    int       // of the value in bytes
	Weight  float64   // of a key with a half-life: uses, decayed to now; else 0
	Expires time.Time // zero: never
}

// Entry is a key with all that it is.
type Entry struct {
	Key     string
	Value   []byte
	Version uint64
	Meta    Meta
}

// SetWith is Set with attributes, which take the place of those the key had;
// both come into sight in one step.
func (b *Bus) SetWith(key string, value []byte, m Meta) error {
	err := b.checkWrite(key, len(value))
	if err == nil {
		err = m.check()
	}
	if err == nil {
		_, err = b.put(b.storedKey(key), nil, b.unsealing(key, func(d *draft) error {
			d.value, d.is = value, m.attributes()
			return nil
		}))
	}
	if err != nil {
		return fmt.Errorf("set %q: %w", key, err)
	}
	return nil
}

// SetType names what the key's value is; the value stays. A key that is not there is ErrNotFound.
func (b *Bus) SetType(key, typ string) error {
	if err := (Meta{Type: typ}).check(); err != nil {
		return fmt.Errorf("set the type of %q: %w", key, err)
	}
	kind := Meta{Type: typ}.attributes().kind
	if err := b.alter(key, func(is *attributes) { is.kind = kind }); err != nil {
		return fmt.Errorf("set the type of %q: %w", key, err)
	}
	return nil
}

// Label sets and clears bits of the key's labels, clearing first; the value stays.
// A key that is not there is ErrNotFound.
func (b *Bus) Label(key string, set, clear uint64) error {
	if err := b.alter(key, func(is *attributes) { is.labels = is.labels&^clear | set }); err != nil {
		return fmt.Errorf("label %q: %w", key, err)
	}
	return nil
}

// alter writes the key anew with other attributes. Like every write it gives the
// key a new version and begins its TTL again.
func (b *Bus) alter(key string, change func(*attributes)) error {
	if err := b.checkWrite(key, 0); err != nil {
		return err
	}
	_, err := b.put(b.storedKey(key), nil, b.unsealing(key, func(d *draft) error {
		if !d.found {
			return ErrNotFound
		}
		change(&d.is)
		return nil
	}))
	return err
}

// Find returns the keys that have all bits of mask in their labels, sorted.
func (b *Bus) Find(mask uint64) ([]string, error) {
	if err := b.checkOpen(); err != nil {
		return nil, fmt.Errorf("find: %w", err)
	}
	var keys []string
	b.eachKey(func(key string, is *attributes) {
		if is.labels&mask == mask {
			keys = append(keys, key)
		}
	})
	slices.Sort(keys)
	return slices.Compact(keys), nil
}

// Describe returns all of the key but its value.
func (b *Bus) Describe(key string) (Description, error) {
	err := b.checkRead(key)
	if err == nil {
		var d Description
		if d, err = b.describe(key); err == nil {
			return d, nil
		}
	}
	return Description{}, fmt.Errorf("describe %q: %w", key, err)
}

func (b *Bus) describe(key string) (Description, error) {
	is, err := b.lookUp(key)
	if err != nil {
		return Description{}, err
	}
	d := Description{Meta: is.meta(), Version: is.version, Size: int(is.length)}
	if b.keys != nil {
		value, _, err := b.openGet(nil, key)
		if err != nil {
			return Description{}, err
		}
		d.Size = len(value)
	}
	if is.expires != 0 {
		d.Expires = time.Unix(0, int64(is.expires))
	}
	if stored := b.storedKey(key); is.halfLife != 0 {
		if i, _, found := b.find(b.hash(stored), stored); found {
			d.Weight = b.slot(i).weightAt(is.halfLife, b.now())
		}
	}
	return d, nil
}

// Snapshot returns the keys that begin with prefix, with all that they are,
// sorted. Each entry is whole, and is what its key held at some time of the call;
// two entries need not be of the same instant.
func (b *Bus) Snapshot(prefix string) ([]Entry, error) {
	if err := b.checkOpen(); err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	var entries []Entry
	b.eachKey(func(key string, _ *attributes) {
		if !strings.HasPrefix(key, prefix) {
			return
		}
		if e, ok := b.entry(key); ok {
			entries = append(entries, e)
		}
	})
	slices.SortFunc(entries, func(a, c Entry) int { return strings.Compare(a.Key, c.Key) })
	return slices.CompactFunc(entries, func(a, c Entry) bool { return a.Key == c.Key }), nil
}

// entry reads value and attributes of one version.
func (b *Bus) entry(key string) (Entry, bool) {
	for {
		is, err := b.lookUp(key)
		if err != nil {
			return Entry{}, false
		}
		value, version, err := b.AppendGet(nil, key)
		if err != nil {
			return Entry{}, false
		}
		if version == is.version {
			return Entry{Key: key, Value: value, Version: version, Meta: is.meta()}, true
		}
	}
}
