package splinter

import (
	"context"
	"fmt"
	"runtime"
	"sync"
)

// Listener accepts the connections that are dialled to a name.
type Listener struct {
	bus        *Bus
	name       string
	endpoint   *endpoint
	index      uint32
	generation uint32
	wake       chan struct{} // holds one token: look at the table again
	closed     chan struct{}
	once       sync.Once
	requests   requests
}

// text is the endpoint's name; the caller holds the channel lock.
func (e *endpoint) text() string { return string(e.name[:min(e.nameLen, MaxName)]) }

// Listen takes the name. While a living process has it, that is ErrInUse; from a
// dead one it is taken over. Without the right to read name:NAME it is ErrForbidden.
func (b *Bus) Listen(name string) (*Listener, error) {
	l, err := b.listen(name)
	if err != nil {
		return nil, fmt.Errorf("listen as %q: %w", name, err)
	}
	return l, nil
}

func (b *Bus) listen(name string) (*Listener, error) {
	if len(name) == 0 || len(name) > MaxName {
		return nil, fmt.Errorf("%w: it has %d bytes, 1 to %d were expected", ErrName, len(name), MaxName)
	}
	if err := b.mayListen(name); err != nil {
		return nil, err
	}
	defer runtime.KeepAlive(b)
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.checkOpen(); err != nil {
		return nil, err
	}
	if err := b.join(); err != nil {
		return nil, err
	}
	b.lockChannels()
	defer b.unlockChannels()
	i, err := b.claimEndpoint(name)
	if err != nil {
		return nil, err
	}
	e := b.endpoint(i)
	e.nameLen = uint32(copy(e.name[:], name))
	e.participant.Store(b.memberIndex)
	generation := e.generation.Add(1)
	e.owner.Store(b.self)
	l := &Listener{
		bus: b, name: name, endpoint: e, index: i, generation: generation,
		wake: make(chan struct{}, 1), closed: make(chan struct{}),
	}
	b.listeners[l] = struct{}{}
	return l, nil
}

// claimEndpoint finds the endpoint for the name; the caller holds the channel lock.
func (b *Bus) claimEndpoint(name string) (uint32, error) {
	if i, ok := b.findEndpoint(name); ok {
		owner := b.endpoint(i).owner.Load()
		if b.alive(owner) {
			return 0, fmt.Errorf("%w by %s", ErrInUse, b.who(owner))
		}
		b.reap(b.endpoint(i).participant.Load())
		return i, nil
	}
	for range 2 {
		for i := range uint32(endpointLimit) {
			if b.endpoint(i).owner.Load() == 0 {
				return i, nil
			}
		}
		b.reapDead()
	}
	return 0, fmt.Errorf("%w: all %d names are taken", ErrFull, endpointLimit)
}

// findEndpoint finds who listens under the name; the caller holds the channel lock.
func (b *Bus) findEndpoint(name string) (uint32, bool) {
	for i := range uint32(endpointLimit) {
		if e := b.endpoint(i); e.owner.Load() != 0 && e.text() == name {
			return i, true
		}
	}
	return 0, false
}

// Accept returns the next connection in the order of dialling. It holds no
// thread while it waits. After Close it returns ErrClosed.
func (l *Listener) Accept(ctx context.Context) (*Conn, error) {
	for {
		c, err := l.claim()
		if c != nil || err != nil {
			return c, err
		}
		select {
		case <-l.wake:
		case <-l.closed:
			return nil, fmt.Errorf("accept as %q: %w", l.name, ErrClosed)
		case <-ctx.Done():
			return nil, fmt.Errorf("accept as %q: %w", l.name, ctx.Err())
		}
	}
}

// claim takes the connection that has waited longest; nil if there is none.
func (l *Listener) claim() (*Conn, error) {
	b := l.bus
	defer runtime.KeepAlive(b)
	b.lockChannels()
	select {
	case <-l.closed:
		b.unlockChannels()
		return nil, fmt.Errorf("accept as %q: %w", l.name, ErrClosed)
	default:
	}
	first, waiting := uint32(0), 0
	for i := range b.g.Connections {
		if l.isMine(b.connection(i)) {
			if waiting++; waiting == 1 || b.connection(i).sequence < b.connection(first).sequence {
				first = i
			}
		}
	}
	if waiting == 0 {
		b.unlockChannels()
		return nil, nil
	}
	c := b.connection(first)
	for {
		state := c.state.Load()
		if c.state.CompareAndSwap(state, state&^pending|heldByServer) {
			break
		}
	}
	b.unlockChannels()
	if waiting > 1 {
		l.look() // for another goroutine in Accept
	}
	return b.newConn(first, server)
}

// isMine says whether the connection waits for this listener; the caller holds the channel lock.
func (l *Listener) isMine(c *connection) bool {
	return c.state.Load()&pending != 0 && c.endpoint == l.index && c.generation == l.generation
}

// look makes one Accept look at the table again.
func (l *Listener) look() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Close gives the name back and closes the connections nobody has accepted.
func (l *Listener) Close() error {
	l.once.Do(func() {
		b := l.bus
		defer runtime.KeepAlive(b)
		b.mu.Lock()
		delete(b.listeners, l)
		b.mu.Unlock()
		b.lockChannels()
		defer b.unlockChannels()
		close(l.closed)
		for i := range b.g.Connections {
			if c := b.connection(i); l.isMine(c) {
				c.release(server, true)
				b.tell(c, client)
			}
		}
		l.endpoint.owner.Store(0)
	})
	return nil
}
