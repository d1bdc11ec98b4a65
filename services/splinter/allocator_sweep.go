package splinter

// popFree takes the first block of a list; false if there is none. A list that
// names a block that is not free of that size is damaged: all are made anew.
func (b *Bus) popFree(order int) (uint32, bool) {
	for range 2 {
		first := b.header().heapFree[order]
		if first == 0 {
			return 0, false
		}
		if u := first - 1; b.isFree(u, order) {
			b.removeFree(u, order)
			return u, true
		}
		b.rebuildHeap()
	}
	return 0, false
}

func (m *mapping) isFree(u uint32, order int) bool {
	return u < m.units() && uint64(u)+1<<order <= uint64(m.units()) && m.unit(u).descriptor.Load() == freeDescriptor(order)
}

// hasSome says whether two blocks of that size are free at least.
func (b *Bus) hasSome(order int) bool {
	first := b.header().heapFree[order]
	return first != 0 && first <= b.units() && b.links(first-1).next != 0
}

func (b *Bus) pushFree(u uint32, order int) {
	head := &b.header().heapFree[order]
	*b.links(u) = freeLinks{next: *head}
	if next := *head - 1; *head != 0 && next < b.units() {
		b.links(next).previous = u + 1
	}
	*head = u + 1
}

func (b *Bus) removeFree(u uint32, order int) {
	links := *b.links(u)
	if links.previous == 0 {
		b.header().heapFree[order] = links.next
	} else if links.previous <= b.units() {
		b.links(links.previous - 1).next = links.next
	}
	if links.next != 0 && links.next <= b.units() {
		b.links(links.next - 1).previous = links.previous
	}
}

// walkHeap calls visit for every block in order of place, until it says false. A descriptor
// that can be none, ok false, is passed over by one unit.
func (m *mapping) walkHeap(visit func(u uint32, order int, descriptor uint64, ok bool) bool) {
	for u := uint32(0); u < m.units(); {
		descriptor := m.unit(u).descriptor.Load()
		order, ok := m.order(u, descriptor)
		if !ok {
			order = 0
		}
		if !visit(u, order, descriptor, ok) {
			return
		}
		u += 1 << order
	}
}

// formatHeap writes the descriptors of an empty heap: the largest blocks that fit.
func (m *mapping) formatHeap() {
	for u := uint32(0); u < m.units(); {
		order := 0
		for order+1 < heapOrders && u&(1<<(order+1)-1) == 0 && uint64(u)+1<<(order+1) <= uint64(m.units()) {
			order++
		}
		m.unit(u).descriptor.Store(freeDescriptor(order))
		u += 1 << order
	}
}

// sweep frees the blocks that died with their processes and makes the lists anew.
func (b *Bus) sweep() {
	b.lock(&b.header().heapLock)
	defer b.unlock(&b.header().heapLock)
	b.rebuildHeap()
}

// rebuildHeap is sweep with the heap's lock held. It takes time in proportion to
// the number of blocks, some nanoseconds each.
func (b *Bus) rebuildHeap() (freed int) {
	lives := map[uint64]bool{}
	used := uint64(0)
	b.walkHeap(func(u uint32, order int, descriptor uint64, ok bool) bool {
		if descriptor&takenBit != 0 && ok && !b.isLost(u, descriptor, lives) {
			used += unitSize << order
			return true
		}
		if descriptor != freeDescriptor(order) {
			freed++
		}
		b.mergeBelow(u, order)
		return true
	})
	b.header().heapUsed.Store(used)
	b.header().heapFree = [heapOrders]uint32{}
	b.walkHeap(func(u uint32, order int, descriptor uint64, _ bool) bool {
		if descriptor&takenBit == 0 {
			b.pushFree(u, order)
		}
		return true
	})
	return freed
}

// mergeBelow makes the block at u free and joins it with the free buddies that
// lie below it; in a walk upwards that joins all. It touches no list.
func (b *Bus) mergeBelow(u uint32, order int) {
	b.unit(u).descriptor.Store(freeDescriptor(order))
	for ; order+1 < heapOrders && u&(1<<order) != 0; order++ {
		lower := u &^ (1 << order)
		if b.unit(lower).descriptor.Load() != freeDescriptor(order) {
			return
		}
		b.unit(lower).descriptor.Store(freeDescriptor(order + 1))
		u = lower
	}
}

// isLost says whether nobody refers to a taken block and nobody alive answers for it.
func (b *Bus) isLost(u uint32, descriptor uint64, lives map[uint64]bool) bool {
	h := descriptorHolder(descriptor)
	if refers := holders[h>>32%holderKinds]; refers != nil && refers(b, uint32(h), b.blockAt(u)) {
		return false
	}
	owner := b.unit(u).owner.Load() // after the reference: who cuts one adopts first
	alive, known := lives[owner]
	if !known {
		alive = owner != 0 && b.alive(owner)
		lives[owner] = alive
	}
	return !alive
}
