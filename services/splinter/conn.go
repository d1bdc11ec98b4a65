package splinter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"

	"runa/services/rmp"
)

// Conn carries frames between two processes, both ways, in order. One goroutine
// may send while another receives; more of the same kind take turns.
type Conn struct {
	bus    *Bus
	shared *connection
	side   int
	out    stream
	in     stream
	death  *deathWatch
	closed atomic.Bool   // by this side
	done   chan struct{} // closed once the peer, or this side, is gone
	once   sync.Once     // closes done

	sending sync.Mutex // guards buffer and the producer's end of out
	buffer  []byte

	receiving sync.Mutex // guards reader and the consumer's end of in
	reader    *rmp.Reader
	source    source
}

// newConn makes the handle of one side that holds connection i.
func (b *Bus) newConn(i uint32, side int) (*Conn, error) {
	shared := b.connection(i)
	c := &Conn{bus: b, shared: shared, side: side, done: make(chan struct{})}
	c.out = stream{ring: &shared.rings[side], data: b.ringData(i, side)}
	c.in = stream{ring: &shared.rings[1-side], data: b.ringData(i, 1-side)}
	c.source.conn = c
	c.reader = rmp.NewReader(&c.source)
	if peer := shared.owner[1-side]; peer != b.self {
		c.death = b.watchDeath(peer, c.peerHasDied)
	}
	b.mu.Lock()
	if b.closed.Load() {
		b.mu.Unlock()
		c.Close()
		return nil, b.checkOpen()
	}
	b.conns[c] = struct{}{}
	b.mu.Unlock()
	c.noticePeer() // it may have closed before the watcher knew of c
	return c, nil
}

// Done is closed when the peer has closed or died, or this side has closed.
// Frames that came before can still be received.
func (c *Conn) Done() <-chan struct{} { return c.done }

// peerHasDied gives up the dead peer's hold for it and wakes this side's calls.
func (c *Conn) peerHasDied() {
	defer runtime.KeepAlive(c.bus)
	c.bus.lockChannels()
	if !c.closed.Load() && peerOf(c.shared.state.Load(), c.side) == peerThere {
		c.shared.release(1-c.side, false)
	}
	c.bus.unlockChannels()
	c.noticePeer()
	c.shared.kickRings()
}

// noticePeer closes done if the peer is gone.
func (c *Conn) noticePeer() {
	if peerOf(c.shared.state.Load(), c.side) != peerThere {
		c.once.Do(func() { close(c.done) })
	}
}

// gone is the error of a connection that is closed here or by the peer, nil while it is open.
func (c *Conn) gone() error {
	if c.closed.Load() {
		return ErrClosed
	}
	switch peerOf(c.shared.state.Load(), c.side) {
	case peerClosed:
		return fmt.Errorf("%w by the peer", ErrClosed)
	case peerDied:
		return fmt.Errorf("%s: %w", c.bus.who(c.shared.owner[1-c.side]), ErrPeerDied)
	}
	return nil
}

// Send writes the frame into the connection and returns when all of it is there,
// which is before the peer has read it. It waits while the ring is full. A Send
// that ctx cuts off in the middle of a frame closes the connection.
func (c *Conn) Send(ctx context.Context, f rmp.Frame) error {
	c.sending.Lock()
	defer c.sending.Unlock()
	defer runtime.KeepAlive(c.bus)
	frame, err := rmp.AppendFrame(c.buffer[:0], f)
	if err != nil {
		return fmt.Errorf("send: %w", err)
	}
	if cap(frame) <= 1<<20 {
		c.buffer = frame
	}
	if err := c.put(ctx, frame); err != nil {
		c.bus.count(counterDrops, 1)
		return fmt.Errorf("send %s: %w", f.Type, err)
	}
	c.bus.count(counterFramesSent, 1)
	c.bus.count(counterBytesSent, uint64(len(frame)))
	return nil
}

func (c *Conn) put(ctx context.Context, frame []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for rest := frame; ; {
		if err := c.gone(); err != nil {
			return err
		}
		n, err := c.out.write(rest)
		if err != nil {
			return err
		}
		if rest = rest[n:]; len(rest) == 0 {
			return nil
		}
		if n > 0 {
			continue
		}
		err = c.bus.sleep(ctx, &c.out.ring.space, func() bool { return c.out.hasSpace() || c.gone() != nil })
		if err != nil {
			if len(rest) < len(frame) {
				c.bus.start(func() { c.Close() }) // the peer would take the next frame for the rest of this one
			}
			return err
		}
	}
}

// Receive returns the next frame, which owns its bytes. After the last frame of a
// peer that closed it returns io.EOF, of one that died ErrPeerDied. A Receive that
// ctx cuts off loses nothing: the next one goes on where it stopped.
func (c *Conn) Receive(ctx context.Context) (rmp.Frame, error) {
	c.receiving.Lock()
	defer c.receiving.Unlock()
	defer runtime.KeepAlive(c.bus)
	c.source.ctx = ctx
	f, err := c.reader.ReadFrame()
	if err != nil && !errors.Is(err, io.EOF) {
		return rmp.Frame{}, fmt.Errorf("receive: %w", err)
	}
	return f, err
}

// source is a connection's incoming bytes as an io.Reader; ctx bounds the reads of one Receive.
type source struct {
	conn *Conn
	ctx  context.Context
}

func (s *source) Read(p []byte) (int, error) {
	c := s.conn
	for {
		if c.closed.Load() {
			return 0, ErrClosed
		}
		gone := c.gone() // before the bytes: what it sent earlier is then seen
		if n, err := c.in.read(p); n > 0 || err != nil {
			return n, err
		}
		if errors.Is(gone, ErrClosed) {
			return 0, io.EOF
		}
		if gone != nil {
			return 0, gone
		}
		err := c.bus.sleepAt(s.ctx, &c.in.ring.data, nil, func() bool { return c.in.hasData() || c.gone() != nil })
		if err != nil {
			return 0, err
		}
	}
}

// Close closes this side; calls that wait on it return ErrClosed. The peer can
// still receive what was sent.
func (c *Conn) Close() error {
	if c.closed.Swap(true) {
		return nil
	}
	b := c.bus
	defer runtime.KeepAlive(b)
	c.shared.kickRings()
	// Nobody of this side may touch the rings once the hold is given up.
	c.sending.Lock()
	defer c.sending.Unlock()
	c.receiving.Lock()
	defer c.receiving.Unlock()
	b.mu.Lock()
	delete(b.conns, c)
	b.mu.Unlock()
	if c.death != nil {
		c.death.stop()
	}
	b.lockChannels()
	peer := peerOf(c.shared.state.Load(), c.side)
	c.shared.release(c.side, true)
	if peer == peerThere {
		b.tell(c.shared, 1-c.side)
	}
	b.unlockChannels()
	c.once.Do(func() { close(c.done) })
	return nil
}
