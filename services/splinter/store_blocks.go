package splinter

import "errors"

// spareMax is the largest block that a key keeps for its next write, in bytes.
// Larger ones are given back at once: they would double what long values take.
const spareMax = 64 << 10

func slotHolder(i uint32) holder { return newHolder(heldBySlot, i) }

// slotRefers says whether slot i refers to the block.
func (b *Bus) slotRefers(i uint32, bl block) bool {
	if i >= b.g.Slots || b.usedWord(i/64).Load()&(1<<(i%64)) == 0 {
		return false
	}
	s := b.slot(i)
	return load(&s.records[0].block) == uint64(bl) || load(&s.records[1].block) == uint64(bl)
}

// place finds n bytes for the spare record r of slot i: the block it has, if that
// is of the right size, or a new one. The caller holds the slot's lock and has
// made the epoch odd, so that nobody reads r.
func (b *Bus) place(i uint32, r *record, n int) ([]byte, error) {
	if bl := block(load(&r.block)); bl != 0 {
		if b.capacity(bl) == unitSize<<orderFor(n) && b.holderOf(bl) == slotHolder(i) {
			return b.bytes(bl, uint64(n)), nil
		}
		b.cutBlock(i, r, stepReplaced)
	}
	if err := b.checkHeapShare(b.slot(i).uid.Load(), n); err != nil {
		return nil, err
	}
	bl, err := b.alloc(n, slotHolder(i))
	if errors.Is(err, ErrFull) && b.dropSpares() {
		bl, err = b.alloc(n, slotHolder(i))
	}
	if err != nil {
		return nil, err
	}
	store(&r.block, uint64(bl))
	reached(stepLinked)
	return b.bytes(bl, uint64(n)), nil
}

// cutBlock frees the block of a record that nobody reads; the caller holds the slot's lock.
func (b *Bus) cutBlock(i uint32, r *record, at step) {
	bl := block(load(&r.block))
	mine := b.holderOf(bl) == slotHolder(i)
	if mine {
		b.adopt(bl)
	}
	store(&r.block, 0)
	reached(at)
	if mine {
		b.free(bl)
	}
}

// dropSpares frees the blocks that keys keep for their next write, of all keys
// that nobody writes just now, and says whether there were any.
func (b *Bus) dropSpares() (freed bool) {
	for i := range b.g.Slots {
		s := b.slot(i)
		if b.usedWord(i/64).Load()&(1<<(i%64)) == 0 || !s.owner.CompareAndSwap(0, b.self) {
			continue
		}
		spare := &s.records[valid(s.epoch.Load())^1]
		if load(&spare.block) != 0 {
			s.outdate()
			b.cutBlock(i, spare, stepSpareCut)
			freed = true
		}
		b.unlock(&s.owner)
	}
	return freed
}

// lockSlot takes the lock of slot i's writers. What a dead one may have left of
// blocks is freed; what it had written and told nobody of is told.
func (b *Bus) lockSlot(i uint32) *slot {
	s := b.slot(i)
	if !s.owner.CompareAndSwap(0, b.self) && b.lock(&s.owner) {
		b.sweep()
		if key, is, ok := b.readKey(i); ok {
			b.changed(Set, key, &is)
			notify(&b.wake(b.hash(key)).word)
		}
	}
	return s
}
