package splinter

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"runa/services/rmp"
)

// Space is short when more of the slots or of the heap is taken than shortAbove
// of 64; then the lightest are evicted until no more than enoughAt of 64 is.
const (
	shortAbove = 56
	enoughAt   = 48
)

// Evict removes the keys whose TTL has passed, and, while more than 7/8 of the
// slots or of the heap is taken, those keys with a half-life that weigh least at
// that time, until 3/4 is. Keys without TTL and half-life are never touched. It
// returns the names of what it evicted for want of space, lightest first; watchers
// are told of both, as Expired and Evicted, and what was evicted is published with
// its value as rmp.Eviction on EvictionsTopic (of a keyed bus it is not: a topic
// is not sealed). The janitor calls it now and then; nothing depends on that but space.
func (b *Bus) Evict(now time.Time) (evicted []string, err error) {
	if err := b.checkOpen(); err != nil {
		return nil, fmt.Errorf("evict: %w", err)
	}
	defer runtime.KeepAlive(b)
	notices := b.evict(uint64(now.UnixNano()))
	for i, n := range notices {
		evicted = append(evicted, n.Key)
		if b.keys == nil {
			err = errors.Join(err, b.publishEviction(now, uint64(i), n))
		}
	}
	if err != nil {
		return evicted, fmt.Errorf("publish what was evicted: %w", err)
	}
	return evicted, nil
}

func (b *Bus) evict(now uint64) (evicted []rmp.Eviction) {
	b.lockStore()
	defer b.unlock(&b.header().storeLock)
	var decaying []candidate
	b.removeExpired(now, &decaying)
	if b.takenOf64() <= shortAbove {
		return nil
	}
	b.dropSpares()
	slices.SortFunc(decaying, func(a, c candidate) int {
		return cmp.Or(cmp.Compare(a.weight, c.weight), cmp.Compare(a.stored, c.stored))
	})
	for _, c := range decaying {
		if b.takenOf64() <= enoughAt {
			break
		}
		i, at, found := b.find(b.hash(c.stored), c.stored)
		if !found {
			continue
		}
		_, is, _ := b.readKey(i)
		mem, _, state := b.read(i, c.stored, nil)
		key, value, err := b.opened(c.stored, mem)
		if state == readFound && err == nil {
			n := rmp.Eviction{
				Key: key, Kind: is.typeName(), Labels: is.labels, Version: is.version,
				Weight: c.weight, Size: uint64(len(value)),
			}
			if len(value) <= rmp.EvictionValueLimit {
				n.Value = value
			}
			evicted = append(evicted, n)
		}
		b.remove(i, at, Evicted)
	}
	return evicted
}

func (b *Bus) publishEviction(now time.Time, number uint64, n rmp.Eviction) error {
	t, err := b.systemTopic(EvictionsTopic)
	if err != nil {
		return err
	}
	f, err := rmp.New(rmp.SchemaEviction, now, [16]byte{}, number, n)
	if err != nil {
		return err
	}
	rand.Read(f.TraceID[:]) // never fails; notices of two calls are no duplicates
	return t.Publish(context.Background(), f)
}

// candidate is a key that may be evicted.
type candidate struct {
	stored string
	weight float64
}

// takenOf64 is how many 64ths of the slots or of the heap are taken, the greater.
func (b *Bus) takenOf64() uint64 {
	slots := 64 * uint64(b.usedSlots()) / uint64(b.g.Slots)
	return max(slots, 64*b.header().heapUsed.Load()/b.g.HeapSize)
}

// removeExpired removes every key whose TTL has passed, says how many there were
// and gathers those that decay; the caller holds the store lock.
func (b *Bus) removeExpired(now uint64, decaying *[]candidate) (removed int) {
	for at := range uint64(b.g.IndexSize) {
		i := uint32(b.index(at).Load()) - 1
		if i >= b.g.Slots {
			continue
		}
		stored, is, ok := b.readKey(i)
		switch {
		case !ok:
		case is.expired(now):
			b.remove(i, at, Expired)
			removed++
		case is.halfLife != 0 && decaying != nil:
			*decaying = append(*decaying, candidate{stored, b.slot(i).weightAt(is.halfLife, now)})
		}
	}
	return removed
}
