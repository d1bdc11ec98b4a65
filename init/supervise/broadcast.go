package supervise

import "sync"

// subscriberRoom is how many changes a slow subscriber may be behind.
const subscriberRoom = 256

// broadcast hands changes to any number of subscribers and never waits for one.
type broadcast struct {
	mu     sync.Mutex
	closed bool
	all    map[*subscriber]struct{}
}

type subscriber struct {
	feed chan Change
	lost uint64
}

func (b *broadcast) subscribe() (<-chan Change, func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	one := &subscriber{feed: make(chan Change, subscriberRoom)}
	if b.closed {
		close(one.feed)
		return one.feed, func() {}
	}
	if b.all == nil {
		b.all = map[*subscriber]struct{}{}
	}
	b.all[one] = struct{}{}
	return one.feed, func() { b.drop(one) }
}

func (b *broadcast) drop(one *subscriber) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, there := b.all[one]; there {
		delete(b.all, one)
		close(one.feed)
	}
}

// publish hands a change to all; who has no room loses the oldest.
func (b *broadcast) publish(c Change) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for one := range b.all {
		if len(one.feed) == cap(one.feed) {
			select {
			case old := <-one.feed:
				one.lost += 1 + old.Lost
			default: // the subscriber was faster
			}
		}
		c.Lost = one.lost
		one.lost = 0
		one.feed <- c // there is room: only this goroutine adds
	}
}

func (b *broadcast) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	for one := range b.all {
		close(one.feed)
	}
	b.all = nil
}
