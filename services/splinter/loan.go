package splinter

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"runa/services/rmp"
)

// Loan is memory of the bus for one payload, a binary string, that is published
// from where it was written. It belongs to one goroutine. If its process dies the
// bus gets the memory back.
type Loan struct {
	topic *Topic
	block block
	size  int
}

// ErrSpent means a loan was published or discarded before.
var ErrSpent = errors.New("loan is spent")

// Loan lends memory for a payload of size bytes. Its content is whatever it was.
// More than the topic's bytes is ErrTooLarge, no memory ErrFull.
func (t *Topic) Loan(size int) (*Loan, error) {
	if err := t.bus.checkOpen(); err != nil {
		return nil, fmt.Errorf("loan for %q: %w", t.name, err)
	}
	defer runtime.KeepAlive(t.bus)
	if size < 0 {
		return nil, fmt.Errorf("loan for %q: %d bytes", t.name, size)
	}
	bl, err := t.takeBlock(size + rmp.MaxBinaryHead)
	if err != nil {
		return nil, fmt.Errorf("loan for %q: %w", t.name, err)
	}
	passed(stepLoaned)
	return &Loan{topic: t, block: bl, size: size}, nil
}

// takeBlock takes a block for one message. If the heap is full it first takes out
// of this topic what everybody has read.
func (t *Topic) takeBlock(size int) (block, error) {
	if size > t.o.Bytes+rmp.MaxBinaryHead || size > rmp.MaxFrame {
		return 0, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, size, min(t.o.Bytes, rmp.MaxFrame))
	}
	h := newHolder(heldByChannel, noCell)
	bl, err := t.bus.alloc(size, h)
	if errors.Is(err, ErrFull) {
		t.lock()
		t.retire(min(t.scan(), t.historyFloor(t.shared.head.Load())))
		t.unlock()
		bl, err = t.bus.alloc(size, h)
	}
	return bl, err
}

// Bytes is the memory, on the bus itself. It may not be touched after Publish or Discard.
func (l *Loan) Bytes() []byte {
	if l.block == 0 {
		return nil
	}
	return l.topic.bus.bytes(l.block, uint64(rmp.MaxBinaryHead+l.size))[rmp.MaxBinaryHead:]
}

// Truncate makes the payload shorter, to its first n bytes.
func (l *Loan) Truncate(n int) {
	if n >= 0 && n < l.size {
		l.size = n
	}
}

// Publish publishes a frame with this header and the loan as its payload; see
// Topic.Publish. The type is that of the header's schema. After an error the loan
// is still there, unless it was ErrSpent.
func (l *Loan) Publish(ctx context.Context, h rmp.Header) error {
	t := l.topic
	if err := l.publish(ctx, h); err != nil {
		return fmt.Errorf("publish a loan on %q: %w", t.name, err)
	}
	return nil
}

func (l *Loan) publish(ctx context.Context, h rmp.Header) error {
	t := l.topic
	if l.block == 0 {
		return ErrSpent
	}
	if err := t.mayPublish(ctx, h); err != nil {
		return err
	}
	defer runtime.KeepAlive(t.bus)
	var buffer [rmp.MaxBinaryHead]byte
	head, err := rmp.AppendBinaryHead(buffer[:0], h, l.size)
	if err != nil {
		return err
	}
	offset := rmp.MaxBinaryHead - len(head)
	copy(t.bus.bytes(l.block, rmp.MaxBinaryHead)[offset:], head)
	if err := t.publishBlock(ctx, l.block, uint32(offset), uint32(len(head)+l.size)); err != nil {
		return err
	}
	l.block = 0
	return nil
}

// Discard gives the memory back unused.
func (l *Loan) Discard() {
	if l.block != 0 {
		defer runtime.KeepAlive(l.topic.bus)
		l.topic.bus.free(l.block)
		l.block = 0
	}
}
