package splinter

import (
	"runtime"
	"sync/atomic"

	"runa/services/rmp"
)

// Message is one frame of a topic. Its payload and meta may stand on the bus
// itself: they are good until Release.
type Message struct {
	rmp.Frame
	Sequence uint64 // its number in the topic, from 0

	lease *lease
	use   uint64
}

// lease is the memory of one message: a buffer, or a block that is pinned.
type lease struct {
	subscription *Subscription
	uses         atomic.Uint64 // how often it has been released
	pin          int           // -1: none
	block        block
	number       uint32 // its cell
	sequence     uint64
	buffer       [cellRoom]byte
}

// copyOrPin gets at a message that may be overwritten meanwhile. Lengths are
// bounded here, as what is read may be of two messages.
func (s *Subscription) copyOrPin(l *lease, c *cell) []byte {
	size, offset, bl := c.size, c.offset, block(c.block.Load())
	if bl == 0 {
		n := min(int(size), cellRoom)
		copyOut(l.buffer[:n], c.data[:n])
		return l.buffer[:n]
	}
	b := s.topic.bus
	whole := b.bytes(bl, uint64(offset)+uint64(size))
	if whole == nil {
		return nil
	}
	if s.pin(l, bl) {
		passed(stepPinned)
		return whole[offset:]
	}
	frame := make([]byte, size)
	copyOut(frame, whole[offset:])
	return frame
}

// pin keeps the block from being freed until the lease is released; false if
// pinLimit messages are being read in place already.
func (s *Subscription) pin(l *lease, bl block) bool {
	s.leasing.Lock()
	defer s.leasing.Unlock()
	for i := range pinLimit {
		if s.pins&(1<<i) == 0 {
			s.pins |= 1 << i
			l.pin, l.block = i, bl
			s.shared.pins[i].Store(uint64(bl))
			return true
		}
	}
	return false
}

// unpin gives the lease's pin back. If the message is out of the ring already,
// this was perhaps the last reader of its block: whoever left the ring to it has
// seen the pin, or this side sees that the message is out.
func (s *Subscription) unpin(l *lease) {
	if l.pin < 0 {
		return
	}
	t := s.topic
	s.leasing.Lock()
	if !s.over {
		s.shared.pins[l.pin].Store(0)
	}
	s.pins &^= 1 << l.pin
	s.leasing.Unlock()
	passed(stepUnpinned)
	l.pin = -1
	if l.sequence < t.shared.tail.Load() {
		t.lock()
		t.freeBlock(l.block, l.number)
		t.unlock()
	}
}

func (s *Subscription) newLease() *lease {
	if l := s.spare.Swap(nil); l != nil {
		return l
	}
	return &lease{subscription: s, pin: -1}
}

func (s *Subscription) release(l *lease) {
	l.uses.Add(1)
	s.unpin(l)
	s.spare.Store(l)
}

// Release ends the use of the message's payload and meta. Only the first call
// does something. A message that is never released keeps a long payload's memory
// until the subscription is closed; after four of them further ones are copied.
func (m Message) Release() {
	if m.lease != nil && m.lease.uses.CompareAndSwap(m.use, m.use+1) {
		s := m.lease.subscription
		s.release(m.lease)
		runtime.KeepAlive(s.topic.bus)
	}
}
