package splinter

import (
	"encoding/binary"
	"math/bits"
	"sync/atomic"
	"unsafe"
)

// The index is an open-addressed table of words: the upper half of a key's hash
// above its slot number + 1. An entry never moves; a removed one leaves a
// tombstone until nothing is probed past it, so a reader that holds no lock
// always finds a key that is there throughout.

const tombstone = 1<<32 - 1

func indexEntry(hash uint64, slot uint32) uint64 { return hash&^(1<<32-1) | uint64(slot+1) }

func (m *mapping) index(i uint64) *atomic.Uint64 {
	return (*atomic.Uint64)(unsafe.Pointer(&m.data[m.at.index+8*(i&uint64(m.g.IndexSize-1))]))
}

// hash folds eight bytes at a time through a 128-bit product; the seed is the bus's own.
func (m *mapping) hash(key string) uint64 {
	const odd1, odd2 = 0x9e3779b97f4a7c15, 0xd6e8feb86659fd93
	h := m.g.Seed ^ uint64(len(key))*odd1
	b := unsafe.Slice(unsafe.StringData(key), len(key))
	for len(b) >= 8 {
		h = fold(h^binary.LittleEndian.Uint64(b), odd1)
		b = b[8:]
	}
	var last uint64
	for i, c := range b {
		last |= uint64(c) << (8 * i)
	}
	return fold(h^last, odd2) ^ h
}

func fold(a, b uint64) uint64 {
	high, low := bits.Mul64(a^b>>1, b)
	return high ^ low
}

// find looks the key up. at is where its entry is, or, if it is not there, where
// one may be put (tombstones are used again). It says what was true at some moment
// of the call; with the store's lock held it stays true.
func (b *Bus) find(hash uint64, key string) (slot uint32, at uint64, found bool) {
	at = hash
	reuse, free := uint64(0), false
	for range b.g.IndexSize {
		entry := b.index(at).Load()
		if entry == 0 {
			break
		}
		if uint32(entry) == tombstone {
			if !free {
				reuse, free = at, true
			}
		} else if slot := uint32(entry) - 1; entry == indexEntry(hash, slot) && slot < b.g.Slots && b.probe(slot, key) {
			return slot, at, true
		}
		at++
	}
	if free {
		at = reuse
	}
	return 0, at, false
}

// probe says whether the slot holds the key.
func (b *Bus) probe(i uint32, key string) bool {
	s := b.slot(i)
	for {
		epoch := s.epoch.Load()
		if holds := s.holds(key); s.current(epoch) {
			return holds
		}
	}
}

// dropEntry removes the entry at i; the caller holds the store lock. The entry
// and the tombstones before it become empty if no probe runs on past them.
func (b *Bus) dropEntry(i uint64) {
	b.index(i).Store(tombstone)
	if b.index(i+1).Load() != 0 {
		return
	}
	for range b.g.IndexSize {
		if b.index(i).Load() != tombstone {
			return
		}
		b.index(i).Store(0)
		i--
	}
}

// takeSlot finds a free slot and marks it used; the caller holds the store lock.
func (b *Bus) takeSlot() (uint32, bool) {
	for i := range b.g.Slots / 64 {
		w := b.usedWord(i)
		if used := w.Load(); used != 1<<64-1 {
			bit := uint32(bits.TrailingZeros64(^used))
			w.Store(used | 1<<bit)
			return 64*i + bit, true
		}
	}
	return 0, false
}

func (b *Bus) freeSlot(slot uint32) {
	w := b.usedWord(slot / 64)
	w.Store(w.Load() &^ (1 << (slot % 64)))
}

// recountSlots marks exactly those slots used that the index names and frees the
// blocks of the others. It mends what a process left that died between the two;
// the caller holds the store lock.
func (b *Bus) recountSlots() {
	named := make([]uint64, b.g.Slots/64)
	for i := range uint64(b.g.IndexSize) {
		if slot := uint32(b.index(i).Load()) - 1; slot < b.g.Slots {
			named[slot/64] |= 1 << (slot % 64)
		}
	}
	for i, word := range named {
		w := b.usedWord(uint32(i))
		for lost := w.Load() &^ word; lost != 0; lost &= lost - 1 {
			slot := uint32(64*i + bits.TrailingZeros64(lost))
			s := b.slot(slot)
			b.lock(&s.owner)
			b.clearSlot(slot)
			b.unlock(&s.owner)
		}
		w.Store(word)
	}
	b.sweep()
}

// clearSlot takes the key out of a slot that no index entry names, and frees its
// blocks; the caller holds the store's and the slot's lock.
func (b *Bus) clearSlot(i uint32) {
	s := b.slot(i)
	s.keyLen.Store(0)
	s.outdate()
	reached(stepKeyCut)
	for n := range s.records {
		if load(&s.records[n].block) != 0 {
			b.cutBlock(i, &s.records[n], stepUnlinked)
		}
	}
	reached(stepUnsetDone)
}

// lockStore takes the lock of adding and removing keys.
func (b *Bus) lockStore() {
	if b.lock(&b.header().storeLock) {
		b.recountSlots()
	}
}
