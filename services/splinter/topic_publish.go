package splinter

import (
	"context"
	"fmt"
	"runtime"

	"runa/services/rmp"
)

// Publish gives the frame to every subscriber. It returns when the frame is
// where they find it; if the policy is Block and one of them is behind by more
// than the topic allows, it then waits for that one, at most BlockLimit or until
// ctx ends, which is no error: the frame is published. Frames of one topic have
// one order, the same for all. A frame longer than the topic's bytes is
// ErrTooLarge, no right to publish ErrForbidden, no memory for a long frame ErrFull.
func (t *Topic) Publish(ctx context.Context, f rmp.Frame) error {
	if err := t.publish(ctx, f); err != nil {
		return fmt.Errorf("publish on %q: %w", t.name, err)
	}
	return nil
}

func (t *Topic) publish(ctx context.Context, f rmp.Frame) error {
	if err := t.mayPublish(ctx, f.Header); err != nil {
		return err
	}
	defer runtime.KeepAlive(t.bus)
	const envelope = rmp.MaxBinaryHead - 48 // all of a frame but type, payload and meta
	if most := envelope + len(f.Type) + len(f.Payload) + len(f.Meta); most > cellRoom {
		if exact := frameSize(f); exact > cellRoom {
			return t.publishLong(ctx, f, exact)
		}
	}
	t.lock()
	passed(stepTopicLocked)
	n, c, err := t.claimCell(ctx)
	if err != nil {
		return err
	}
	frame, err := rmp.AppendFrame(c.data[:0], f)
	passed(stepCellHalf)
	if err != nil || len(frame) > cellRoom {
		t.unlock()
		if err == nil {
			err = t.publishLong(ctx, f, len(frame))
		}
		return err
	}
	c.size, c.offset = uint32(len(frame)), 0
	t.commit(ctx, n, c)
	return nil
}

// frameSize is the most that a frame takes on the wire.
func frameSize(f rmp.Frame) int {
	n := rmp.PrefixSize + rmp.HeaderSize + 1 + 5 + 1 + len(f.Type) + 8 + len(f.Payload)
	if len(f.Type) > 31 {
		n++
	}
	if f.Meta != nil {
		n += 5 + len(f.Meta)
	}
	return n
}

// publishLong puts the frame into a block of its own before the lock is taken.
func (t *Topic) publishLong(ctx context.Context, f rmp.Frame, size int) error {
	bl, err := t.takeBlock(size)
	if err != nil {
		return err
	}
	mem := t.bus.bytes(bl, uint64(size))
	frame, err := rmp.AppendFrame(mem[:0], f)
	if err == nil && len(frame) > size {
		err = fmt.Errorf("%w: a frame of %d bytes where %d were reckoned", ErrCorrupt, len(frame), size)
	}
	if err != nil {
		t.bus.free(bl)
		return err
	}
	if err := t.publishBlock(ctx, bl, 0, uint32(len(frame))); err != nil {
		t.bus.free(bl)
		return err
	}
	return nil
}

// publishBlock publishes the frame that stands in the block, which is the
// topic's from then on; after an error it is still the caller's.
func (t *Topic) publishBlock(ctx context.Context, bl block, offset, size uint32) error {
	t.lock()
	passed(stepTopicLocked)
	n, c, err := t.claimCell(ctx)
	if err != nil {
		return err
	}
	c.size, c.offset = size, offset
	c.block.Store(uint64(bl))
	passed(stepBlockReferred)
	t.bus.handOver(bl, newHolder(heldByChannel, t.cellNumber(n)))
	passed(stepBlockHanded)
	t.commit(ctx, n, c)
	return nil
}

// mayPublish are the checks that need no lock.
func (t *Topic) mayPublish(ctx context.Context, h rmp.Header) error {
	if err := t.bus.checkOpen(); err != nil {
		return err
	}
	if err := contextDone(ctx); err != nil {
		return err
	}
	if err := t.publishRight.check(); err != nil {
		t.bus.dropped(t.shared, t.name, nil, dropForbidden, 1, h)
		return err
	}
	return nil
}

// claimCell returns the next message's number and its cell, empty. It is called
// with the topic's lock held; with an error it has given that up. It waits only
// when as many publishers as a group of cells wait for one subscriber already.
func (t *Topic) claimCell(ctx context.Context) (uint64, *cell, error) {
	for round := 0; ; round++ {
		n := t.shared.head.Load()
		if n-t.shared.tail.Load() < t.capacity {
			c := t.cell(n)
			t.discard(n, c) // what a publisher left that died while it took it out
			c.begin = t.published(n)
			return n, c, nil
		}
		floor := n + 1 - t.capacity
		t.retire(floor)
		if t.shared.tail.Load() >= floor {
			continue
		}
		if round > 0 || t.o.Policy == DropOldest {
			t.report(t.force(floor))
			continue
		}
		t.unlock()
		passed(stepUnlockedFull)
		t.await(ctx, floor)
		if err := contextDone(ctx); err != nil {
			return 0, nil, err
		}
		if err := t.bus.checkOpen(); err != nil {
			return 0, nil, err
		}
		t.lock()
	}
}

// published is how many bytes came before message n, the newest.
func (t *Topic) published(n uint64) uint64 { return t.bus.bytesPublished(t.shared, n) }

func (b *Bus) bytesPublished(s *topic, n uint64) uint64 {
	if n == 0 {
		return 0
	}
	last := b.cell(s.first + uint32(n-1)&(s.capacity-1))
	return last.begin + uint64(last.size)
}

// commit publishes message n, wakes who waits for it, keeps the topic within its
// limits and gives up its lock.
func (t *Topic) commit(ctx context.Context, n uint64, c *cell) {
	s := t.shared
	passed(stepCellFilled)
	size := uint64(c.size)
	s.head.Store(n + 1)
	passed(stepPublished)
	mine := t.publisher()
	mine.messages.Add(1)
	mine.bytes.Add(size)
	floor := t.floor(n+1, c.begin+size)
	behind := floor > s.slowest.Load() && t.scan() < floor
	var lost []loss
	if behind && t.o.Policy == DropOldest {
		lost, behind = t.force(floor), false
	}
	t.retire(min(floor, t.historyFloor(n+1)))
	t.unlock()
	s.wake.ring()
	t.report(lost)
	t.bus.count(counterPublished, 1)
	t.bus.count(counterBytesPublished, size)
	if behind {
		passed(stepUnlockedFull)
		t.await(ctx, floor)
	}
}

// floor is the oldest message that a subscriber may still have to read when
// total bytes have been published in head messages.
func (t *Topic) floor(head, total uint64) uint64 {
	s := t.shared
	before := s.byteFloor.Load()
	oldest := min(max(before, s.tail.Load()), head-1)
	for oldest+1 < head && total-t.cell(oldest).begin > uint64(t.o.Bytes) {
		oldest++
	}
	if oldest != before {
		s.byteFloor.Store(oldest)
	}
	if depth := uint64(t.o.Depth); head > depth {
		oldest = max(oldest, head-depth)
	}
	return oldest
}

// historyFloor is the oldest message that is kept for who subscribes later.
func (t *Topic) historyFloor(head uint64) uint64 {
	kept := uint64(t.o.History)
	return max(t.shared.byteFloor.Load(), head-min(kept, head))
}

// retire takes the messages below floor out of the ring, as far as no subscriber has to read them.
func (t *Topic) retire(floor uint64) {
	s := t.shared
	tail := s.tail.Load()
	if tail >= floor {
		return
	}
	if s.slowest.Load() < floor {
		floor = min(floor, t.scan())
	}
	for ; tail < floor; tail++ {
		c := t.cell(tail)
		bl := block(c.block.Load())
		if bl != 0 {
			t.bus.adopt(bl)
		}
		s.tail.Store(tail + 1)
		passed(stepRetired)
		t.discard(tail, c)
	}
}

// discard empties the cell of a message that is not in the ring. Its block is
// freed unless a subscriber reads it; that one frees it then.
func (t *Topic) discard(n uint64, c *cell) {
	bl := block(c.block.Load())
	if bl == 0 {
		return
	}
	c.block.Store(0)
	passed(stepBlockCut)
	t.freeBlock(bl, t.cellNumber(n))
}

// freeBlock frees the block that was the cell's, if nobody refers to it or has
// done so before. The caller holds the topic's lock, under which alone a block
// becomes a cell's: so a block that is used anew is never taken for the old one.
func (t *Topic) freeBlock(bl block, number uint32) {
	b := t.bus
	if b.holderOf(bl) == newHolder(heldByChannel, number) && !b.topicRefers(t.shared, number, bl) {
		b.free(bl)
	}
}

func init() { holders[heldByChannel] = (*Bus).channelRefers }

// noCell is the number of a block that no cell has yet: it lives as long as who took it.
const noCell = 1<<32 - 1

// channelRefers says whether the cell, or a subscriber of its topic, refers to
// the block. It only reads.
func (b *Bus) channelRefers(number uint32, bl block) bool {
	for i := range uint32(topicLimit) {
		s := b.topic(i)
		if s.state.Load() != 0 && number-s.first < s.capacity {
			return b.topicRefers(s, number, bl)
		}
	}
	return false
}

func (b *Bus) topicRefers(s *topic, number uint32, bl block) bool {
	tail, head := s.tail.Load(), s.head.Load()
	n := tail + (uint64(number-s.first)-tail)&uint64(s.capacity-1)
	if n < head && b.cell(number).block.Load() == uint64(bl) {
		return true
	}
	for i := range min(s.used.Load(), subscriberLimit) {
		for j := range s.subscribers[i].pins {
			if s.subscribers[i].pins[j].Load() == uint64(bl) {
				return true
			}
		}
	}
	return false
}
