package splinter

import (
	"context"
	"fmt"
	"runtime"

	"runa/services/hint"
)

// Dial connects to whoever listens under the name and returns without waiting to
// be accepted; what is sent meanwhile waits in the connection. Nobody alive there
// is ErrNoListener, no connection left ErrFull, no right to write name:NAME
// ErrForbidden, all at once.
func (b *Bus) Dial(ctx context.Context, name string) (*Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("dial %q: %w", name, err)
	}
	defer runtime.KeepAlive(b)
	if err := b.mayDial(name); err != nil {
		return nil, fmt.Errorf("dial %q: %w", name, err)
	}
	i, err := b.claimConnection(name)
	if err != nil {
		return nil, fmt.Errorf("dial %q: %w", name, err)
	}
	return b.newConn(i, client)
}

func (b *Bus) claimConnection(name string) (uint32, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.checkOpen(); err != nil {
		return 0, err
	}
	if err := b.join(); err != nil {
		return 0, err
	}
	b.lockChannels()
	defer b.unlockChannels()
	at, ok := b.findEndpoint(name)
	if ok && !b.alive(b.endpoint(at).owner.Load()) {
		b.reap(b.endpoint(at).participant.Load())
		ok = false
	}
	if !ok {
		return 0, hint.New(ErrNoListener, "is the service running? `runa status` shows it")
	}
	i, ok := b.freeConnection()
	if !ok {
		return 0, fmt.Errorf("%w: all %d connections are taken", ErrFull, b.g.Connections)
	}
	e, c := b.endpoint(at), b.connection(i)
	c.endpoint, c.generation = at, e.generation.Load()
	c.sequence = b.header().dialSequence.Add(1)
	c.participant = [2]uint32{b.memberIndex, e.participant.Load()}
	c.owner = [2]uint64{b.self, e.owner.Load()}
	for n := range c.rings {
		c.rings[n].head.Store(0)
		c.rings[n].tail.Store(0)
	}
	c.state.Store(heldByClient | pending)
	kick(&b.participant(c.participant[server]).doorbell)
	return i, nil
}

func (b *Bus) freeConnection() (uint32, bool) {
	for range 2 {
		for i := range b.g.Connections {
			if b.connection(i).state.Load()&heldMask == 0 {
				return i, true
			}
		}
		b.reapDead()
	}
	return 0, false
}
