package splinter

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"runa/services/rmp"
)

// SubscribeOptions say where a subscription begins.
type SubscribeOptions struct {
	History bool // with the messages the topic keeps for who comes later, not only with what comes
}

// Subscription is a place in a topic: the next message for it. Its methods may be
// called from any goroutine; those that receive take turns.
type Subscription struct {
	topic  *Topic
	shared *subscriber
	right  right
	closed atomic.Bool

	receiving sync.Mutex // guards what follows, and moving the position on
	seen      duplicates
	checks    rmp.Checks

	spare   atomic.Pointer[lease] // one that is not in use
	leasing sync.Mutex            // guards what follows
	pins    uint8                 // bit i: pins[i] is in use
	over    bool                  // the place may be another's
}

// Subscribe begins to receive. No place for one more subscriber is ErrFull, no
// right to read ErrForbidden.
func (t *Topic) Subscribe(o SubscribeOptions) (*Subscription, error) {
	s, err := t.subscribe(o)
	if err != nil {
		return nil, fmt.Errorf("subscribe to %q: %w", t.name, err)
	}
	return s, nil
}

func (t *Topic) subscribe(o SubscribeOptions) (*Subscription, error) {
	b := t.bus
	defer runtime.KeepAlive(b)
	s := &Subscription{topic: t, right: b.newRight(readRight, "topic:", t.name)}
	if err := s.right.check(); err != nil {
		b.dropped(t.shared, t.name, nil, dropForbidden, 1, rmp.Header{})
		return nil, err
	}
	s.checks = rmp.Checks{
		Allow:     func(rmp.Header) bool { return s.right.check() == nil },
		Duplicate: func(h rmp.Header) bool { return s.seen.add(h, uint64(s.checks.Now.UnixMilli())) },
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.checkOpen(); err != nil {
		return nil, err
	}
	t.lock()
	defer t.unlock()
	place, ok := t.freeSubscriber()
	if !ok {
		return nil, fmt.Errorf("%w: all %d subscribers are there", ErrFull, subscriberLimit)
	}
	sub, shared := &t.shared.subscribers[place], t.shared
	head := shared.head.Load()
	begin := head
	if o.History {
		begin = max(shared.tail.Load(), head-min(uint64(t.o.History), head))
	}
	sub.position.Store(begin)
	sub.lagging.Store(0)
	sub.uid.Store(b.channels.uid)
	for i := range sub.drops {
		sub.drops[i].Store(0)
	}
	shared.slowest.Store(min(shared.slowest.Load(), begin))
	shared.used.Store(max(shared.used.Load(), uint64(place)+1))
	sub.owner.Store(b.self)
	passed(stepSubscribed)
	s.shared = sub
	if b.channels.subscriptions == nil {
		b.channels.subscriptions = map[*Subscription]struct{}{}
	}
	b.channels.subscriptions[s] = struct{}{}
	return s, nil
}

// freeSubscriber finds a place, if need be a dead one's; the caller holds the topic's lock.
func (t *Topic) freeSubscriber() (int, bool) {
	for range 2 {
		for i := range t.shared.subscribers {
			if t.shared.subscribers[i].owner.Load() == 0 {
				return i, true
			}
		}
		for i := range t.shared.subscribers {
			if sub := &t.shared.subscribers[i]; !t.bus.alive(sub.owner.Load()) {
				t.removeSubscriber(sub)
			}
		}
	}
	return 0, false
}

// removeSubscriber frees a place and what it pinned; the caller holds the topic's lock.
func (t *Topic) removeSubscriber(sub *subscriber) {
	for i := range sub.pins {
		if bl := block(sub.pins[i].Load()); bl != 0 {
			t.bus.adopt(bl)
			sub.pins[i].Store(0)
			t.freeBlock(bl, uint32(t.bus.holderOf(bl)))
		}
	}
	sub.owner.Store(0)
	kick(&t.shared.space)
}

// Receive returns the next message. Frames that are forbidden, expired,
// duplicates or damaged are passed over and counted, in this order of checks. It
// waits until there is a message, ctx ends (nothing is lost) or the subscription
// or the bus is closed (ErrClosed).
func (s *Subscription) Receive(ctx context.Context) (Message, error) {
	s.receiving.Lock()
	defer s.receiving.Unlock()
	b := s.topic.bus
	defer runtime.KeepAlive(b)
	for {
		if s.closed.Load() || b.closed.Load() {
			return Message{}, fmt.Errorf("receive from %q: %w", s.topic.name, ErrClosed)
		}
		frame, l := s.take()
		if l == nil {
			if err := s.wait(ctx); err != nil {
				return Message{}, fmt.Errorf("receive from %q: %w", s.topic.name, err)
			}
			continue
		}
		s.checks.Now = b.clock()
		f, err := s.checks.Decode(frame)
		if err != nil {
			s.drop(frame, err)
			s.release(l)
			continue
		}
		b.count(counterReceived, 1)
		return Message{Frame: f, Sequence: l.sequence, lease: l, use: l.uses.Load()}, nil
	}
}

// drop counts a frame that was received and is not passed on.
func (s *Subscription) drop(frame []byte, err error) {
	var h rmp.Header
	if f, err := rmp.Decode(frame); err == nil {
		h = f.Header
	}
	s.topic.bus.dropped(s.topic.shared, s.topic.name, s.shared, reasonOf(err), 1, h)
}

// take makes the next message this subscription's own: its frame and the lease of
// its memory, or nil if there is none. A publisher that drops messages moves the
// same position; who moves it first has won, and what the other has copied counts
// for nothing.
func (s *Subscription) take() ([]byte, *lease) {
	t := s.topic
	var l *lease
	for {
		n, head := s.shared.position.Load(), t.shared.head.Load()
		if n > head { // damage
			s.shared.position.CompareAndSwap(n, head)
		}
		if n >= head {
			if l != nil {
				s.release(l)
			}
			return nil, nil
		}
		if head-n > t.capacity { // damage: the ring cannot hold as many
			t.bus.dropped(t.shared, t.name, s.shared, dropInvalid, s.shared.moveTo(head), rmp.Header{})
			continue
		}
		if l == nil {
			l = s.newLease()
		}
		l.sequence, l.number = n, t.cellNumber(n)
		frame := s.copyOrPin(l, t.cell(n))
		if s.shared.position.CompareAndSwap(n, n+1) {
			passed(stepTaken1)
			if s.shared.lagging.Load() != 0 {
				s.shared.lagging.Store(0)
			}
			notify(&t.shared.space)
			return frame, l
		}
		s.unpin(l)
	}
}

// spins is how often a receiver looks again before it sleeps: about as long as
// being woken takes.
const spins = 200

func (s *Subscription) wait(ctx context.Context) error {
	t := s.topic.shared
	ready := func() bool {
		return t.head.Load() > s.shared.position.Load() || s.closed.Load() || s.topic.bus.closed.Load()
	}
	for i := range spins {
		if ready() {
			return nil
		}
		if i%32 == 31 {
			runtime.Gosched()
		}
	}
	return s.topic.bus.sleepAt(ctx, &t.wake, &t.latency, ready)
}

// Dropped says what this subscription did not get, by reason.
func (s *Subscription) Dropped() Drops {
	if s.closed.Load() {
		return Drops{}
	}
	return dropsOf(&s.shared.drops)
}

// Behind is how many messages wait for this subscription.
func (s *Subscription) Behind() int {
	return int(s.topic.shared.head.Load() - s.shared.position.Load())
}

// Close ends the subscription; a Receive that waits returns ErrClosed. What was
// received and not released may not be read any more.
func (s *Subscription) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	b := s.topic.bus
	defer runtime.KeepAlive(b)
	kick(&s.topic.shared.wake.word)
	s.receiving.Lock()
	defer s.receiving.Unlock()
	s.leasing.Lock()
	s.over = true
	s.leasing.Unlock()
	b.mu.Lock()
	delete(b.channels.subscriptions, s)
	b.mu.Unlock()
	s.topic.lock()
	s.topic.removeSubscriber(s.shared)
	s.topic.unlock()
	return nil
}
