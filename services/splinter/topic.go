package splinter

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"runtime"
	"strings"
	"sync/atomic"
	"time"
)

// Policy says what happens when a subscriber is as far behind as the topic allows.
type Policy uint32

const (
	// Block makes the publisher wait for it, at most BlockLimit; then the oldest
	// messages that wait for this subscriber are dropped, as backpressure_timeout,
	// and nobody waits for it again until it has read one.
	Block Policy = iota
	// DropOldest drops the oldest messages that wait for it at once, as overwritten.
	DropOldest
)

func (p Policy) String() string {
	if p == DropOldest {
		return "drop-oldest"
	}
	return "block"
}

// BlockLimit is how long one Publish may wait for subscribers that are behind.
const BlockLimit = 50 * time.Millisecond

// TopicOptions are fixed when a topic is made; zero fields take the defaults. To
// open a topic that is there zero fields, and the Policy beside nothing but
// zeros, agree with whatever it has.
type TopicOptions struct {
	Depth   int    // messages that may wait for one subscriber; default 64
	Bytes   int    // bytes that may wait for one subscriber, and the longest frame; default 1 MiB
	Policy  Policy // default Block
	History int    // messages kept for who subscribes later; default 0
}

// ErrOptions means a topic is there with other options than were asked for.
var ErrOptions = errors.New("options differ")

// Topic is one process's handle on a topic. Its methods may be called from any goroutine.
type Topic struct {
	bus    *Bus
	shared *topic
	name   string
	o      TopicOptions

	first, capacity uint64
	mine            atomic.Pointer[publisher] // where this process counts what it publishes
	publishRight    right
}

// Topic opens the topic, or makes it. Names have 1 to MaxName bytes. A topic
// stays until the bus ends; no place for another is ErrFull.
func (b *Bus) Topic(name string, o TopicOptions) (*Topic, error) {
	t, err := b.openTopic(name, o)
	if err != nil {
		return nil, fmt.Errorf("open topic %q: %w", name, err)
	}
	return t, nil
}

func (b *Bus) openTopic(name string, o TopicOptions) (*Topic, error) {
	if len(name) == 0 || len(name) > MaxName {
		return nil, fmt.Errorf("%w: it has %d bytes, 1 to %d were expected", ErrName, len(name), MaxName)
	}
	if err := b.checkOpen(); err != nil {
		return nil, err
	}
	defer runtime.KeepAlive(b)
	if err := b.mayOpenTopic(name); err != nil {
		return nil, err
	}
	if system, ok := systemTopics[name]; ok && o == (TopicOptions{}) {
		o = system
	}
	b.lockChannels()
	defer b.unlockChannels()
	free := -1
	for i := range uint32(topicLimit) {
		s := b.topic(i)
		if s.state.Load() == 0 {
			if free < 0 {
				free = int(i)
			}
		} else if s.text() == name {
			if !b.isSound(s) {
				return nil, fmt.Errorf("%w: its place in the file", ErrCorrupt)
			}
			if err := s.agrees(o); err != nil {
				return nil, err
			}
			return b.newTopic(s), nil
		}
	}
	if free < 0 {
		return nil, fmt.Errorf("%w: all %d topics are taken", ErrFull, topicLimit)
	}
	s := b.topic(uint32(free))
	if err := b.makeTopic(s, name, o); err != nil {
		return nil, err
	}
	return b.newTopic(s), nil
}

// text is the topic's name, which never changes once its state says it is there.
func (s *topic) text() string { return strings.Clone(string(s.name[:min(s.nameLen, MaxName)])) }

func (s *topic) options() TopicOptions {
	return TopicOptions{Depth: int(s.depth), Bytes: int(s.bytes), Policy: Policy(s.policy), History: int(s.history)}
}

func (s *topic) agrees(o TopicOptions) error {
	has := s.options()
	if o == (TopicOptions{}) {
		return nil
	}
	same := func(asked, has int) bool { return asked == 0 || asked == has }
	if o.Policy == has.Policy && same(o.Depth, has.Depth) && same(o.Bytes, has.Bytes) && same(o.History, has.History) {
		return nil
	}
	return fmt.Errorf("%w: it is there with depth %d, %d bytes, %v, history %d", ErrOptions, has.Depth, has.Bytes, has.Policy, has.History)
}

func (o TopicOptions) complete() (TopicOptions, error) {
	if o.Depth == 0 {
		o.Depth = 64
	}
	if o.Bytes == 0 {
		o.Bytes = 1 << 20
	}
	for _, n := range []int{o.Depth, o.Bytes, o.History} {
		if n < 0 || n > 1<<30 {
			return o, fmt.Errorf("option %d is outside 0 to %d", n, 1<<30)
		}
	}
	if o.Policy > DropOldest {
		return o, fmt.Errorf("policy %d is none", o.Policy)
	}
	return o, nil
}

// makeTopic fills a free place; the caller holds the channel lock. The state is
// written last, so of a process that dies here nothing is left.
func (b *Bus) makeTopic(s *topic, name string, o TopicOptions) error {
	o, err := o.complete()
	if err != nil {
		return err
	}
	// A group more than may wait: messages of publishers that wait for a subscriber.
	capacity := powerOfTwo(uint64(max(o.Depth, o.History) + cellGroup))
	first, ok := b.freeCells(capacity)
	if !ok {
		return fmt.Errorf("%w: no place for %d of the bus's %d messages", ErrFull, capacity, b.g.Channels.Cells)
	}
	s.policy, s.depth, s.history, s.bytes = uint32(o.Policy), uint32(o.Depth), uint32(o.History), uint64(o.Bytes)
	s.first, s.capacity = first, capacity
	s.nameLen = uint32(copy(s.name[:], name))
	s.state.Store(1)
	return nil
}

// freeCells finds cells in a row that no topic has; the caller holds the channel lock.
func (b *Bus) freeCells(n uint32) (uint32, bool) {
	taken := make([]bool, b.g.Channels.Cells/cellGroup)
	for i := range uint32(topicLimit) {
		if s := b.topic(i); s.state.Load() != 0 && b.isSound(s) {
			for c := s.first; c < s.first+s.capacity; c += cellGroup {
				taken[c/cellGroup] = true
			}
		}
	}
	run := uint32(0)
	for i, used := range taken {
		if used {
			run = 0
			continue
		}
		if run++; run*cellGroup >= n {
			return (uint32(i) + 1 - run) * cellGroup, true
		}
	}
	return 0, false
}

// isSound says whether what Create of a topic fixed can be a topic's.
func (b *Bus) isSound(s *topic) bool {
	cells := b.g.Channels.Cells
	return s.capacity <= cells && s.first <= cells-s.capacity && s.first%cellGroup == 0 && bits.OnesCount32(s.capacity) == 1 &&
		s.depth > 0 && uint64(max(s.depth, s.history))+cellGroup <= uint64(s.capacity) && s.bytes <= 1<<30 && s.policy <= uint32(DropOldest)
}

func (b *Bus) newTopic(s *topic) *Topic {
	t := &Topic{bus: b, shared: s, name: s.text(), o: s.options(), first: uint64(s.first), capacity: uint64(s.capacity)}
	t.publishRight = b.newRight(writeRight, "topic:", t.name)
	return t
}

// Name and Options are what the topic was made with.
func (t *Topic) Name() string          { return t.name }
func (t *Topic) Options() TopicOptions { return t.o }

// cellNumber is where message n stands in the pool.
func (t *Topic) cellNumber(n uint64) uint32 { return uint32(t.first + n&(t.capacity-1)) }

func (t *Topic) cell(n uint64) *cell { return t.bus.cell(t.cellNumber(n)) }

func (t *Topic) lock() {
	s := t.shared
	if t.bus.lock(&s.lock) {
		s.slowest.Store(0)
	}
	if head := s.head.Load(); head-s.tail.Load() > t.capacity { // damage; what is kept is forgotten
		s.tail.Store(head)
		s.slowest.Store(0)
	}
}

func (t *Topic) unlock() { t.bus.unlock(&t.shared.lock) }

// publisher is where this process counts; the caller holds the topic's lock. When
// publisherLimit others live that is nowhere in the file: then only the topic counts.
func (t *Topic) publisher() *publisher {
	if p := t.mine.Load(); p != nil && p.owner.Load() == t.bus.self {
		return p
	}
	var free *publisher
	for i := range t.shared.publishers {
		p := &t.shared.publishers[i]
		switch owner := p.owner.Load(); {
		case owner == t.bus.self:
			t.mine.Store(p)
			return p
		case free == nil && (owner == 0 || !t.bus.alive(owner)):
			free = p
		}
	}
	if free == nil {
		free = new(publisher)
	}
	free.messages.Store(0)
	free.bytes.Store(0)
	free.uid.Store(t.bus.channels.uid)
	free.owner.Store(t.bus.self)
	t.mine.Store(free)
	return free
}

// contextDone is the error of a context that has ended, asked for without locking anything.
func contextDone(ctx context.Context) error {
	if ctx.Done() == nil {
		return nil
	}
	return ctx.Err()
}
