package splinter

import (
	"context"
	"fmt"
)

// A Bus handle that listens or dials is a participant: it has a doorbell that
// others ring when they dial it or close on it, and one goroutine (and thread)
// that sleeps there. Deaths it learns from the kernel, see death.go.

// join makes the handle a participant; the caller holds b.mu.
func (b *Bus) join() error {
	if b.member != nil {
		return nil
	}
	b.lockChannels()
	defer b.unlockChannels()
	i, ok := b.freeParticipant()
	if !ok {
		return fmt.Errorf("%w: %d processes use its channels", ErrFull, processLimit)
	}
	b.memberIndex, b.member = i, b.participant(i)
	b.member.owner.Store(b.self)
	b.watcher = make(chan struct{})
	member, watcher := b.member, b.watcher
	b.start(func() { b.watch(member, watcher) })
	return nil
}

func (b *Bus) freeParticipant() (uint32, bool) {
	for range 2 {
		for i := range uint32(processLimit) {
			if b.participant(i).owner.Load() == 0 {
				return i, true
			}
		}
		b.reapDead()
	}
	return 0, false
}

// leave gives the participant back once the watcher has ended.
func (b *Bus) leave() {
	b.mu.Lock()
	member, watcher := b.member, b.watcher
	b.member = nil
	b.mu.Unlock()
	if member == nil {
		return
	}
	kick(&member.doorbell)
	<-watcher
	b.lockChannels()
	member.owner.Store(0)
	b.unlockChannels()
}

// watch answers the doorbell: it looks which of the handle's connections the
// peer has closed and lets listeners look for who dialled.
func (b *Bus) watch(member *participant, ended chan struct{}) {
	defer close(ended)
	_ = b.sleep(context.Background(), &member.doorbell, func() bool {
		b.mu.Lock()
		conns, listeners := keysOf(b.conns), keysOf(b.listeners)
		b.mu.Unlock()
		for _, c := range conns {
			c.noticePeer()
		}
		for _, l := range listeners {
			l.look()
		}
		return b.closed.Load()
	})
}

func (b *Bus) lockChannels()   { b.lock(&b.header().channelLock) }
func (b *Bus) unlockChannels() { b.unlock(&b.header().channelLock) }

// reapDead frees what dead participants held; the caller holds the channel lock.
func (b *Bus) reapDead() {
	for i := range uint32(processLimit) {
		if owner := b.participant(i).owner.Load(); owner != 0 && !b.alive(owner) {
			b.reap(i)
		}
	}
}

// reap frees everything participant i held, then itself, and tells its peers.
// The caller holds the channel lock and knows that the process is dead.
func (b *Bus) reap(i uint32) {
	for n := range b.g.Connections {
		c := b.connection(n)
		state := c.state.Load()
		for side, held := range [2]uint32{heldByClient, heldByServer} {
			mine := state&held != 0 || side == server && state&pending != 0
			if mine && c.participant[side] == i {
				c.release(side, false)
				b.tell(c, 1-side)
			}
		}
	}
	for n := range uint32(endpointLimit) {
		if e := b.endpoint(n); e.owner.Load() != 0 && e.participant.Load() == i {
			e.owner.Store(0)
		}
	}
	b.participant(i).owner.Store(0)
}

// tell wakes the given side of a connection: its calls and its watcher.
func (b *Bus) tell(c *connection, side int) {
	c.kickRings()
	kick(&b.participant(c.participant[side]).doorbell)
}
