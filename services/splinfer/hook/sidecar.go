package hook

import (
	"context"
	"fmt"
	"sync"
	"time"

	"runa/services/rmp"
)

// Conn is what is needed of a connection on the bus. Send and Receive return
// when their context ends; Send and Receive may be called at the same time.
type Conn interface {
	Send(context.Context, rmp.Frame) error
	Receive(context.Context) (rmp.Frame, error)
	Close() error
	Done() <-chan struct{} // closed when the peer closed or died
}

// Options of a Sidecar. The zero value has the defaults.
type Options struct {
	// Patience is how long the judge may take to be dialled, for a verdict and to
	// confirm the end of an answer. It does not run while a token is held. Default 2 s.
	Patience time.Duration
	Now      func() time.Time // stamps messages; default time.Now
}

// Sidecar returns the hook that asks a process beside this one, over one
// connection for all answers. dial makes it, when the first answer begins, and
// again for the next answer after it was lost.
//
// Begin says Hold and Judge leaves each token open: verdicts come over Later. If the
// judge can't be dialled Begin fails with ErrGone. If it dies, closes, sends
// what is no verdict that was asked for, or takes longer than its patience, then Later
// is closed for all answers that it judges.
func Sidecar(dial func(context.Context) (Conn, error), o Options) Hook {
	if o.Patience <= 0 {
		o.Patience = 2 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return guarded{&sidecar{dial: dial, o: o}}
}

type sidecar struct {
	dial func(context.Context) (Conn, error)
	o    Options

	mu   sync.Mutex
	line *line // nil before the first answer
}

func (s *sidecar) Begin(a Answer) (Session, Verdict, error) {
	m, err := beginning(a)
	if err != nil {
		return nil, Verdict{}, fmt.Errorf("begin answer: %w", err)
	}
	line, err := s.connected()
	if err != nil {
		return nil, Verdict{}, fmt.Errorf("begin answer: %w", err)
	}
	session, err := line.begin(a.Trace, m)
	if err != nil {
		return nil, Verdict{}, fmt.Errorf("begin answer: %w", err)
	}
	return session, Verdict{Action: Hold}, nil
}

// connected is the line there is, or a new one if that is gone.
func (s *sidecar) connected() (*line, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.line != nil && s.line.there() {
		return s.line, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.o.Patience)
	defer cancel()
	conn, err := s.dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrGone, err)
	}
	if conn == nil {
		return nil, fmt.Errorf("%w: dialling it gave no connection", ErrGone)
	}
	s.line = newLine(conn, s.o)
	return s.line, nil
}
