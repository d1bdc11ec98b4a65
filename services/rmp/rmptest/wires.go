// Package rmptest gives tests connections that carry frames within their process,
// with the methods of a connection over the bus. No program may import it.
package rmptest

import (
	"context"
	"io"
	"sync"

	"runa/services/rmp"
)

// Wire is one side of a connection. Both sides end when either is closed.
type Wire struct {
	send    chan<- rmp.Frame
	receive <-chan rmp.Frame
	done    chan struct{}
	close   func()
}

// Wires returns both sides of a connection on which so many frames may be
// sent ahead of being received, in either direction.
func Wires(ahead int) (one, other *Wire) {
	up, down, done := make(chan rmp.Frame, ahead), make(chan rmp.Frame, ahead), make(chan struct{})
	hangUp := sync.OnceFunc(func() { close(done) })
	return &Wire{up, down, done, hangUp}, &Wire{down, up, done, hangUp}
}

// Send fails with io.ErrClosedPipe once the connection has ended.
func (w *Wire) Send(ctx context.Context, f rmp.Frame) error {
	select {
	case <-w.done:
		return io.ErrClosedPipe
	default:
	}
	select {
	case w.send <- f:
		return nil
	case <-w.done:
		return io.ErrClosedPipe
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Receive returns what was sent ahead before the connection ended, then io.EOF.
func (w *Wire) Receive(ctx context.Context) (rmp.Frame, error) {
	select {
	case f := <-w.receive:
		return f, nil
	default:
	}
	select {
	case f := <-w.receive:
		return f, nil
	case <-w.done:
		return rmp.Frame{}, io.EOF
	case <-ctx.Done():
		return rmp.Frame{}, ctx.Err()
	}
}

// Waiting is how many frames were sent ahead to this side.
func (w *Wire) Waiting() int { return len(w.receive) }

// Close ends the connection.
func (w *Wire) Close() error { w.close(); return nil }

// Done is closed when the connection has ended.
func (w *Wire) Done() <-chan struct{} { return w.done }
