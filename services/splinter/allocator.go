package splinter

import (
	"fmt"
	"math/bits"
	"sync/atomic"
	"unsafe"
)

// The heap holds what is too long for its place elsewhere: values and loaned
// payloads. Its internal interface, for the store and for channels alike:
//
//	bl, err := b.alloc(size, h)  a block of at least size bytes; ErrFull if there is none
//	b.free(bl)                   gives it back; a block that is not taken is left alone
//	b.bytes(bl, n)               its first n bytes, in place; nil if that is outside of it
//	b.capacity(bl)               how many bytes it has, a power of two from 256
//	b.handOver(bl, h)            it belongs to another holder from now on
//	b.adopt(bl)                  this process answers for it from now on (see below)
//
// A block is named by its offset in the file, the same in every process; 0 is no
// block. It begins at a multiple of its capacity from the heap's begin, so at a
// page if it is as long as one. alloc and free take one lock for some tens of
// nanoseconds and make no system call; every process may free every block.
//
// # What a death leaves
//
// A taken block names its holder (a kind and a number: slot 5, topic 3) and a
// process that answers for it: at first the one that took it. It is live while
// its holder refers to it, as holders[kind] says, or while that process lives.
// Whoever is about to cut a reference calls adopt, cuts it, then calls free. So a
// process that is killed between taking and referring, or between cutting and
// freeing, leaves a block that nobody refers to and for which a dead process
// answers; sweep gets those back. It runs when a lock is taken over from the
// dead, before alloc says ErrFull, and in Repair.
//
// # Blocks
//
// A buddy allocator over units of 256 bytes. A block's descriptor, in the table
// at its first unit, is the truth, and one store of one word: a block is split by
// writing its upper half's descriptor, then its own; merged by writing the lower
// one's. So at every instant the walk from descriptor to descriptor finds every
// block. The lists of free blocks, kept in the blocks' own bytes, are made anew
// from the walk by who takes over the heap's lock.

const (
	unitShift  = 8
	unitSize   = 1 << unitShift
	heapOrders = 32 // sizes: unitSize<<order
)

// block is the offset in the file of a piece of the heap; 0 is none.
type block uint64

// holder is who refers to a block: a kind above a number that the kind gives sense to.
type holder uint64

const (
	heldBySlot    = 1 // the number is the slot's
	heldByChannel = 2 // the number is for the channels to choose
	holderKinds   = 8
)

func newHolder(kind uint8, id uint32) holder { return holder(kind)<<32 | holder(id) }

// holders say for each kind whether the holder with that number refers to the
// block. They are called with the heap's lock held: they must take no lock and
// only read. A kind without one is live for as long as its process lives.
var holders = [holderKinds]func(b *Bus, id uint32, bl block) bool{heldBySlot: (*Bus).slotRefers}

// heapUnit is one entry of the heap's table; only that of a block's first unit counts.
type heapUnit struct {
	descriptor atomic.Uint64 // order + 1 in bits 0-7, taken in bit 8, kind in bits 16-23, number in bits 32-63
	owner      atomic.Uint64 // the process that answers for it
}

const takenBit = 1 << 8

func freeDescriptor(order int) uint64 { return uint64(order + 1) }

func takenDescriptor(order int, h holder) uint64 {
	return uint64(order+1) | takenBit | uint64(h>>32&0xff)<<16 | uint64(h)<<32
}

func descriptorHolder(d uint64) holder { return holder(d>>16&0xff)<<32 | holder(d>>32) }

// freeLinks are the first bytes of a free block: neighbours in its list, unit + 1.
type freeLinks struct{ next, previous uint32 }

func (m *mapping) units() uint32 { return uint32(m.g.HeapSize >> unitShift) }

func (m *mapping) unit(u uint32) *heapUnit {
	return (*heapUnit)(unsafe.Pointer(&m.data[m.at.heapUnits+16*uint64(u)]))
}

func (m *mapping) links(u uint32) *freeLinks {
	return (*freeLinks)(unsafe.Pointer(&m.data[m.at.heap+uint64(u)<<unitShift]))
}

func (m *mapping) blockAt(u uint32) block { return block(m.at.heap + uint64(u)<<unitShift) }

// unitOf is the block's first unit; false if no block can be there.
func (m *mapping) unitOf(bl block) (uint32, bool) {
	at := uint64(bl) - m.at.heap
	return uint32(at >> unitShift), at < m.g.HeapSize && at%unitSize == 0
}

// order reads the size out of a descriptor; false if no block of it fits at u.
func (m *mapping) order(u uint32, descriptor uint64) (int, bool) {
	order := int(descriptor&0xff) - 1
	if order < 0 || order >= heapOrders || u&(1<<order-1) != 0 || uint64(u)+1<<order > uint64(m.units()) {
		return 0, false
	}
	return order, true
}

func orderFor(size int) int {
	if size <= unitSize {
		return 0
	}
	return bits.Len64(uint64(size-1)) - unitShift
}

// alloc takes a block of at least size bytes, whose content is whatever it was.
func (b *Bus) alloc(size int, h holder) (block, error) {
	bl := b.tryAlloc(size, h)
	if bl == 0 {
		b.sweep()
		bl = b.tryAlloc(size, h)
	}
	if bl == 0 {
		return 0, fmt.Errorf("%w: no block of %d bytes is free in a heap of %d", ErrFull, size, b.g.HeapSize)
	}
	return bl, nil
}

func (b *Bus) tryAlloc(size int, h holder) block {
	want := orderFor(size)
	if size < 0 || want >= heapOrders {
		return 0
	}
	b.lockHeap()
	defer b.unlock(&b.header().heapLock)
	for order := want; order < heapOrders; order++ {
		u, ok := b.popFree(order)
		if !ok {
			continue
		}
		// The descriptor of the whole is free until its last split is written.
		for order > want {
			order--
			upper := u + 1<<order
			b.unit(upper).descriptor.Store(freeDescriptor(order))
			b.unit(u).descriptor.Store(freeDescriptor(order))
			b.pushFree(upper, order)
			reached(stepSplit)
		}
		entry := b.unit(u)
		entry.owner.Store(b.self)
		entry.descriptor.Store(takenDescriptor(order, h))
		reached(stepTaken)
		used := &b.header().heapUsed
		used.Store(used.Load() + unitSize<<order)
		return b.blockAt(u)
	}
	return 0
}

// free gives a block back. It is joined with its neighbour unless its size is
// scarce, so that taking and freeing one size by turns splits and joins nothing;
// alloc joins all before it says that there is no room.
func (b *Bus) free(bl block) {
	u, ok := b.unitOf(bl)
	if !ok {
		return
	}
	b.lockHeap()
	defer b.unlock(&b.header().heapLock)
	b.freeUnit(u)
}

// freeUnit is free with the heap's lock held.
func (b *Bus) freeUnit(u uint32) {
	descriptor := b.unit(u).descriptor.Load()
	order, ok := b.order(u, descriptor)
	if !ok || descriptor&takenBit == 0 {
		return
	}
	used := &b.header().heapUsed
	used.Store(used.Load() - unitSize<<order)
	b.unit(u).descriptor.Store(freeDescriptor(order))
	reached(stepFreed)
	for ; order+1 < heapOrders && b.hasSome(order); order++ {
		buddy := u ^ 1<<order
		if uint64(buddy)+1<<order > uint64(b.units()) || b.unit(buddy).descriptor.Load() != freeDescriptor(order) {
			break
		}
		b.removeFree(buddy, order)
		u &^= 1 << order
		b.unit(u).descriptor.Store(freeDescriptor(order + 1))
		reached(stepMerged)
	}
	b.pushFree(u, order)
}

// bytes is the block's content in place, nil if n bytes are not inside the heap.
func (m *mapping) bytes(bl block, n uint64) []byte {
	at := uint64(bl) - m.at.heap
	if at >= m.g.HeapSize || n > m.g.HeapSize-at {
		return nil
	}
	begin := uint64(bl)
	return m.data[begin : begin+n : begin+n]
}

// capacity is the size of a taken block, 0 if it is none.
func (m *mapping) capacity(bl block) int {
	u, ok := m.unitOf(bl)
	if !ok {
		return 0
	}
	descriptor := m.unit(u).descriptor.Load()
	order, ok := m.order(u, descriptor)
	if !ok || descriptor&takenBit == 0 {
		return 0
	}
	return unitSize << order
}

// holderOf is who holds a taken block, 0 if it is none.
func (m *mapping) holderOf(bl block) holder {
	if m.capacity(bl) == 0 {
		return 0
	}
	u, _ := m.unitOf(bl)
	return descriptorHolder(m.unit(u).descriptor.Load())
}

// handOver gives a taken block, for which this process answers, to another
// holder. The new one must refer to it before this process answers no longer.
func (b *Bus) handOver(bl block, h holder) {
	if size := b.capacity(bl); size > 0 {
		u, _ := b.unitOf(bl)
		b.unit(u).descriptor.Store(takenDescriptor(orderFor(size), h))
	}
}

// adopt makes this process answer for the block; called before its holder's
// reference is cut, by whoever may cut it.
func (b *Bus) adopt(bl block) {
	if u, ok := b.unitOf(bl); ok {
		b.unit(u).owner.Store(b.self)
	}
}

func (b *Bus) lockHeap() {
	if b.lock(&b.header().heapLock) {
		b.rebuildHeap()
	}
}
