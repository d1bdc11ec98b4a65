package splinter

import (
	"context"
	"encoding/binary"
	"runtime"

	"runa/services/rmp"
)

// blockLimit is BlockLimit but for tests of what must not take so long.
var blockLimit = BlockLimit

// waitSpins is how often a publisher looks again before it sleeps: one that reads
// is done sooner than that takes. More would take the processor from those who read.
const waitSpins = 50

// scan returns the position of the slowest subscriber, the head if there is
// none, and remembers it: positions only grow, and a new subscriber's lowers it
// again. The caller holds the topic's lock.
func (t *Topic) scan() uint64 {
	s := t.shared
	slowest := s.head.Load()
	for i := range min(s.used.Load(), subscriberLimit) {
		if sub := &s.subscribers[i]; sub.owner.Load() != 0 {
			slowest = min(slowest, sub.position.Load())
		}
	}
	s.slowest.Store(slowest)
	return slowest
}

// loss is what one subscriber lost.
type loss struct {
	subscriber *subscriber
	reason     dropReason
	count      uint64
	last       rmp.Header
}

// force moves the subscribers that are behind on to floor and says what they
// lost; the dead it removes. The caller holds the topic's lock.
func (t *Topic) force(floor uint64) (lost []loss) {
	s := t.shared
	reason := dropBackpressure
	if t.o.Policy == DropOldest {
		reason = dropOverwritten
	}
	for i := range min(s.used.Load(), subscriberLimit) {
		sub := &s.subscribers[i]
		owner := sub.owner.Load()
		if owner == 0 || sub.position.Load() >= floor {
			continue
		}
		first := sub.lagging.Swap(1) == 0
		if (first || sub.drops[reason].Load()%1024 == 0) && !t.bus.alive(owner) {
			t.removeSubscriber(sub)
			continue
		}
		if count := sub.moveTo(floor); count > 0 {
			lost = append(lost, loss{sub, reason, count, t.headerOf(floor - 1)})
			passed(stepForced)
		}
	}
	t.scan()
	return lost
}

// moveTo moves the position up to floor and returns how far that was.
func (sub *subscriber) moveTo(floor uint64) uint64 {
	for {
		at := sub.position.Load()
		if at >= floor {
			return 0
		}
		if sub.position.CompareAndSwap(at, floor) {
			return floor - at
		}
	}
}

// headerOf is what a notice says of message n: its trace and number.
func (t *Topic) headerOf(n uint64) (h rmp.Header) {
	c := t.cell(n)
	frame := c.data[:]
	if bl, offset := block(c.block.Load()), c.offset; bl != 0 {
		if frame = t.bus.bytes(bl, uint64(offset)+rmp.PrefixSize+rmp.HeaderSize); frame == nil {
			return h
		}
		frame = frame[offset:]
	}
	copy(h.TraceID[:], frame[rmp.PrefixSize+36:])
	h.MsgID = binary.BigEndian.Uint64(frame[rmp.PrefixSize+52:])
	return h
}

// report counts and publishes losses; called without the topic's lock held, or with
// it where the lock of no other topic is taken while this one is held by who needs that.
func (t *Topic) report(lost []loss) {
	for _, l := range lost {
		t.bus.dropped(t.shared, t.name, l.subscriber, l.reason, l.count, l.last)
	}
}

// await waits until no subscriber is behind floor, at most BlockLimit, and then
// forces those that are, unless ctx has ended. Those that let somebody wait in
// vain before are not waited for. It is called without the topic's lock.
func (t *Topic) await(ctx context.Context, floor uint64) {
	s := t.shared
	for i := range waitSpins {
		all, worth := t.behind(floor)
		if all == 0 {
			return
		}
		if worth == 0 {
			break
		}
		if i%16 == 15 {
			runtime.Gosched()
		}
	}
	if contextDone(ctx) == nil {
		limit, cancel := context.WithTimeout(ctx, blockLimit)
		stop := t.watchDeaths(floor)
		_ = t.bus.sleep(limit, &s.space, func() bool {
			_, worth := t.behind(floor)
			return worth == 0 || t.bus.closed.Load()
		})
		stop()
		cancel()
	}
	if contextDone(ctx) != nil || t.bus.closed.Load() {
		return
	}
	t.lock()
	var lost []loss
	if t.scan() < floor {
		lost = t.force(floor)
	}
	t.retire(min(floor, t.historyFloor(s.head.Load())))
	t.unlock()
	t.report(lost)
}

// behind is how many subscribers are behind floor, and how many of them are
// worth waiting for.
func (t *Topic) behind(floor uint64) (all, worth int) {
	s := t.shared
	for i := range min(s.used.Load(), subscriberLimit) {
		sub := &s.subscribers[i]
		if sub.owner.Load() != 0 && sub.position.Load() < floor {
			all++
			if sub.lagging.Load() == 0 {
				worth++
			}
		}
	}
	return all, worth
}

// watchDeaths removes subscribers behind floor when their processes end, so that
// nobody waits for the dead.
func (t *Topic) watchDeaths(floor uint64) (stop func()) {
	var watches []*deathWatch
	s := t.shared
	for i := range min(s.used.Load(), subscriberLimit) {
		sub := &s.subscribers[i]
		owner := sub.owner.Load()
		if owner == 0 || owner == t.bus.self || sub.lagging.Load() != 0 || sub.position.Load() >= floor {
			continue
		}
		watches = append(watches, t.bus.watchDeath(owner, func() {
			defer runtime.KeepAlive(t.bus)
			t.lock()
			if sub.owner.Load() == owner {
				t.removeSubscriber(sub)
			}
			t.unlock()
		}))
	}
	return func() {
		for _, w := range watches {
			w.stop()
		}
	}
}
