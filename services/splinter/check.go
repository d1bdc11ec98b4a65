package splinter

import (
	"fmt"
	"runtime"
)

// Report is what Check found. A bus on which processes work is seen while they
// do: what a living process has under way is not a problem.
type Report struct {
	Keys        int
	Blocks      int    // taken
	HeapUsed    uint64 // bytes of them
	HeapSize    uint64
	Leaked      int      // blocks to which nobody refers and for which nobody alive answers
	DoublyUsed  int      // blocks to which two records refer, or one whose they are not
	LeakedSlots int      // slots marked used that no key has
	StuckLocks  int      // locks whose owner is dead
	Torn        int      // records that no writer of ours can have left
	Problems    []string // each of the above in words
}

// Clean says whether there is nothing to mend.
func (r Report) Clean() bool { return len(r.Problems) == 0 }

func (r *Report) problem(count *int, format string, args ...any) {
	*count++
	if len(r.Problems) < 100 {
		r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
	}
}

// Check looks over the whole bus and changes nothing. What it calls leaked or
// stuck is got back by the next who needs it; Repair does it now.
func (b *Bus) Check() (Report, error) {
	if err := b.checkOpen(); err != nil {
		return Report{}, fmt.Errorf("check: %w", err)
	}
	defer runtime.KeepAlive(b)
	r := Report{HeapSize: b.g.HeapSize}
	lives := map[uint64]bool{}
	b.checkLocks(&r, lives)
	b.checkKeys(&r)
	b.checkBlocks(&r, lives)
	return r, nil
}

func (b *Bus) checkLocks(r *Report, lives map[uint64]bool) {
	h := b.header()
	look := func(name string, owner uint64) {
		if owner == 0 {
			return
		}
		alive, known := lives[owner]
		if !known {
			alive = b.alive(owner)
			lives[owner] = alive
		}
		if !alive {
			r.problem(&r.StuckLocks, "the lock of %s is held by %s, which is dead", name, b.who(owner))
		}
	}
	look("adding keys", h.storeLock.Load())
	look("channels", h.channelLock.Load())
	look("the heap", h.heapLock.Load())
	look("the log", h.logLock.Load())
	for i := range b.g.Slots {
		if owner := b.slot(i).owner.Load(); owner != 0 {
			look(fmt.Sprintf("slot %d", i), owner)
		}
	}
}

// checkKeys looks at every slot that an index entry names, and at those that none does.
func (b *Bus) checkKeys(r *Report) {
	h := b.header()
	named := make([]bool, b.g.Slots)
	for at := range uint64(b.g.IndexSize) {
		entry := b.index(at).Load()
		i := uint32(entry) - 1
		if entry == 0 || uint32(entry) == tombstone {
			continue
		}
		if i >= b.g.Slots {
			r.problem(&r.Torn, "index entry %d names slot %d of %d", at, i, b.g.Slots)
			continue
		}
		if named[i] {
			r.problem(&r.DoublyUsed, "slot %d has two index entries", i)
		}
		named[i] = true
		r.Keys++
		key, is, ok := b.readKey(i)
		if b.index(at).Load() != entry {
			continue
		}
		switch {
		case !ok || b.hash(key)>>32 != entry>>32:
			r.problem(&r.Torn, "slot %d does not hold the key of its index entry", i)
		case is.length > uint64(b.g.ValueMax):
			r.problem(&r.Torn, "slot %d: a value of %d bytes, at most %d", i, is.length, b.g.ValueMax)
		case !is.expired(b.now()):
			if _, _, state := b.read(i, key, nil); state == readCorrupt {
				r.problem(&r.Torn, "slot %d: its value is not in the heap", i)
			}
		}
	}
	if h.storeLock.Load() != 0 {
		return // a key is being added or removed
	}
	for i, has := range named {
		if used := b.usedSlot(uint32(i)); used != has && h.storeLock.Load() == 0 && b.stillUnnamed(uint32(i), has) {
			r.problem(&r.LeakedSlots, "slot %d is marked used: %v, named by a key: %v", i, used, has)
		}
	}
}

// stillUnnamed looks again whether slot i is marked other than the index says.
func (b *Bus) stillUnnamed(i uint32, has bool) bool {
	for at := range uint64(b.g.IndexSize) {
		if uint32(b.index(at).Load()) == i+1 {
			return !b.usedSlot(i)
		}
	}
	return b.usedSlot(i)
}

// checkBlocks looks at every block, and at every record's reference to one.
func (b *Bus) checkBlocks(r *Report, lives map[uint64]bool) {
	b.walkHeap(func(u uint32, order int, descriptor uint64, ok bool) bool {
		switch {
		case !ok:
			r.problem(&r.Torn, "heap unit %d: descriptor %#x is none", u, descriptor)
		case descriptor&takenBit != 0:
			r.Blocks++
			r.HeapUsed += unitSize << order
			if b.isLost(u, descriptor, lives) && b.unit(u).descriptor.Load() == descriptor {
				r.problem(&r.Leaked, "a block of %d bytes at unit %d, of holder %#x, is nobody's", unitSize<<order, u, uint64(descriptorHolder(descriptor)))
			}
		}
		return true
	})
	for i := range b.g.Slots {
		s := b.slot(i)
		if !b.usedSlot(i) || s.owner.Load() != 0 {
			continue
		}
		epoch := s.epoch.Load()
		first, second := block(load(&s.records[0].block)), block(load(&s.records[1].block))
		wrong := first != 0 && first == second
		for _, bl := range []block{first, second} {
			wrong = wrong || bl != 0 && b.holderOf(bl) != slotHolder(i)
		}
		if wrong && s.owner.Load() == 0 && s.epoch.Load() == epoch {
			r.problem(&r.DoublyUsed, "slot %d refers to blocks that are not its own", i)
		}
	}
}

// Repair takes over every lock that a dead process holds, with what that mends,
// frees what is leaked, removes keys that are torn and returns what Check finds
// then. Every other process may go on working.
func (b *Bus) Repair() (Report, error) {
	if err := b.checkOpen(); err != nil {
		return Report{}, fmt.Errorf("repair: %w", err)
	}
	defer runtime.KeepAlive(b)
	h := b.header()
	b.lockChannels()
	b.reapDead()
	b.unlockChannels()
	b.lock(&h.logLock)
	b.reapWatchers()
	b.unlock(&h.logLock)
	b.lock(&h.storeLock)
	b.removeTorn()
	b.recountSlots()
	b.unlock(&h.storeLock)
	for i := range b.g.Slots {
		if b.slot(i).owner.Load() != 0 {
			b.unlock(&b.lockSlot(i).owner)
		}
	}
	return b.Check()
}

// removeTorn drops the index entries whose slots are damaged; recountSlots frees
// the rest. The caller holds the store lock.
func (b *Bus) removeTorn() {
	named := make([]bool, b.g.Slots)
	for at := range uint64(b.g.IndexSize) {
		entry := b.index(at).Load()
		i := uint32(entry) - 1
		if entry == 0 || uint32(entry) == tombstone {
			continue
		}
		if i >= b.g.Slots || named[i] || b.isTorn(i, entry) {
			b.index(at).Store(tombstone)
			continue
		}
		named[i] = true
	}
}

// isTorn looks under the slot's lock.
func (b *Bus) isTorn(i uint32, entry uint64) bool {
	s := b.lockSlot(i)
	defer b.unlock(&s.owner)
	key, is, ok := b.readKey(i)
	if !ok || b.hash(key)>>32 != entry>>32 || is.length > uint64(b.g.ValueMax) {
		return true
	}
	first, second := block(load(&s.records[0].block)), block(load(&s.records[1].block))
	if first != 0 && first == second {
		return true
	}
	for n, bl := range []block{first, second} {
		switch {
		case valid(s.epoch.Load()) == uint64(n) && is.length > inlineSize:
			if b.holderOf(bl) != slotHolder(i) || b.capacity(bl) < int(is.length) {
				return true
			}
		case bl != 0 && b.holderOf(bl) != slotHolder(i):
			store(&s.records[n].block, 0)
		}
	}
	return false
}
