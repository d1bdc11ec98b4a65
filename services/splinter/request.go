package splinter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"runa/services/rmp"
)

// A request is a connection that carries one question and a stream of answers.
// Its deadline travels in the question's ttl; its end, from either side, is the
// connection's.

// Stream is the asker's side of a request.
type Stream struct {
	conn *Conn
	name string
	ctx  context.Context
	stop func() bool
}

// Request asks whoever listens under the name. If ctx has a deadline, the frame
// lives until then at most, or as long as it did if that is sooner. The end of ctx
// closes the stream, which cancels what is done for it; so does Close.
func (b *Bus) Request(ctx context.Context, name string, f rmp.Frame) (*Stream, error) {
	s, err := b.request(ctx, name, f)
	if err != nil {
		return nil, fmt.Errorf("request to %q: %w", name, err)
	}
	return s, nil
}

func (b *Bus) request(ctx context.Context, name string, f rmp.Frame) (*Stream, error) {
	if deadline, ok := ctx.Deadline(); ok {
		f.TTLMs = min(f.TTLMs, lifeUntil(f.CreatedAtMs, deadline))
	}
	if f.Expired(b.clock()) || f.TTLMs == 0 {
		return nil, fmt.Errorf("its deadline has passed: %w", rmp.ErrExpired)
	}
	conn, err := b.Dial(ctx, name)
	if err != nil {
		return nil, err
	}
	s := &Stream{conn: conn, name: name, ctx: ctx, stop: func() bool { return true }}
	if ctx.Done() != nil {
		s.stop = context.AfterFunc(ctx, func() { b.run(func() { conn.Close() }) })
	}
	if err := conn.Send(ctx, f); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// lifeUntil is the ttl in ms of a frame that ends at the deadline.
func lifeUntil(createdMs uint64, deadline time.Time) uint64 {
	end := deadline.UnixMilli()
	if end <= 0 || uint64(end) <= createdMs {
		return 0
	}
	return uint64(end) - createdMs
}

// Receive returns the next answer, and io.EOF after the last. A request that its
// deadline or the listener ended as expired is rmp.ErrExpired, a listener whose
// process died ErrPeerDied, an end of the request's ctx its error.
func (s *Stream) Receive(ctx context.Context) (rmp.Frame, error) {
	f, err := s.conn.Receive(ctx)
	if err != nil {
		return rmp.Frame{}, s.explain(err)
	}
	if f.SchemaID == rmp.SchemaErrorReport {
		var report rmp.Report
		if f.Unmarshal(&report) == nil && report.Code == rmp.CodeExpired {
			return rmp.Frame{}, fmt.Errorf("request to %q: %w", s.name, rmp.ErrExpired)
		}
	}
	return f, nil
}

// explain tells a stream that was closed because ctx ended from one that was closed.
func (s *Stream) explain(err error) error {
	if cause := s.ctx.Err(); cause != nil && !errors.Is(err, io.EOF) {
		if errors.Is(cause, context.DeadlineExceeded) {
			cause = fmt.Errorf("%w: %w", rmp.ErrExpired, cause)
		}
		return fmt.Errorf("request to %q: %w", s.name, cause)
	}
	return err
}

// Send sends a further frame to the listener.
func (s *Stream) Send(ctx context.Context, f rmp.Frame) error {
	if err := s.conn.Send(ctx, f); err != nil {
		return s.explain(err)
	}
	return nil
}

// Done is closed when the listener has ended the stream or died, or this side has closed it.
func (s *Stream) Done() <-chan struct{} { return s.conn.Done() }

// Close ends the stream and cancels what is still done for it.
func (s *Stream) Close() error {
	s.stop()
	return s.conn.Close()
}

// Request is the listener's side of a request.
type Request struct {
	rmp.Frame // the question

	conn   *Conn
	ctx    context.Context
	cancel context.CancelFunc
}

// requests is what a listener keeps for AcceptRequest.
type requests struct {
	begin sync.Once
	ready chan *Request
}

// AcceptRequest returns the next question that came whole. One whose life has
// ended is answered with error.report, code rmp.CodeExpired, counted as
// ttl_expired and never returned. A listener takes either connections, with
// Accept, or requests.
func (l *Listener) AcceptRequest(ctx context.Context) (*Request, error) {
	l.requests.begin.Do(func() {
		l.requests.ready = make(chan *Request)
		l.bus.start(l.serveRequests)
	})
	select {
	case r := <-l.requests.ready:
		return r, nil
	case <-l.closed:
		return nil, fmt.Errorf("accept a request as %q: %w", l.name, ErrClosed)
	case <-ctx.Done():
		return nil, fmt.Errorf("accept a request as %q: %w", l.name, ctx.Err())
	}
}

// serveRequests reads the question of every connection beside the others, so
// that nobody waits for one who dials and asks nothing.
func (l *Listener) serveRequests() {
	for {
		conn, err := l.Accept(context.Background())
		if errors.Is(err, ErrClosed) {
			return
		}
		if err != nil {
			continue // this connection could not be watched; its client sees it closed
		}
		l.bus.start(func() { l.readQuestion(conn) })
	}
}

func (l *Listener) readQuestion(conn *Conn) {
	f, err := conn.Receive(context.Background())
	if err != nil {
		conn.Close()
		return
	}
	r := l.newRequest(conn, f)
	if f.Expired(l.bus.clock()) {
		l.bus.dropped(nil, "name:"+l.name, nil, dropExpired, 1, f.Header)
		_ = r.Fail(rmp.CodeExpired, "the request came after its deadline", "")
		r.Close()
		return
	}
	select {
	case l.requests.ready <- r:
	case <-l.closed:
		r.Close()
	}
}

func (l *Listener) newRequest(conn *Conn, f rmp.Frame) *Request {
	r := &Request{Frame: f, conn: conn}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	if end := f.CreatedAtMs + f.TTLMs; end < 1<<53 {
		left := time.UnixMilli(int64(end)).Sub(l.bus.clock())
		r.ctx, r.cancel = context.WithTimeout(context.Background(), left)
	}
	go func() {
		select {
		case <-conn.Done():
			r.cancel()
		case <-r.ctx.Done():
		}
	}()
	return r
}

// Context ends when the asker has closed the stream or died, or the question's life has ended.
func (r *Request) Context() context.Context { return r.ctx }

// Reply sends an answer. It waits while the stream is full, until the request's context ends.
func (r *Request) Reply(f rmp.Frame) error { return r.conn.Send(r.ctx, f) }

// Receive returns a further frame of the asker.
func (r *Request) Receive(ctx context.Context) (rmp.Frame, error) { return r.conn.Receive(ctx) }

// Fail answers with error.report of this code.
func (r *Request) Fail(code, message, advice string) error {
	f, err := rmp.New(rmp.SchemaErrorReport, r.conn.bus.clock(), r.TraceID, r.MsgID, rmp.Report{Code: code, Message: message, Hint: advice})
	if err != nil {
		return err
	}
	// Also to who is late: an answer that is too long for the ring is not waited for.
	limit, cancel := context.WithTimeout(context.Background(), BlockLimit)
	defer cancel()
	return r.conn.Send(limit, f)
}

// Close ends the stream; the asker receives io.EOF after the last answer.
func (r *Request) Close() error {
	r.cancel()
	return r.conn.Close()
}

// mayDial and mayListen ask for the rights to a name.
func (b *Bus) mayDial(name string) error   { return b.permit("name:", name, writeRight) }
func (b *Bus) mayListen(name string) error { return b.permit("name:", name, readRight) }
