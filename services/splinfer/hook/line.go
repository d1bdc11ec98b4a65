package hook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"time"

	"runa/services/rmp"
)

// line is one connection to a judge, for as long as it can be trusted. It never
// comes back: after its first fault every answer on it is lost, for what
// else a faulty judge said can't be believed either.
type line struct {
	conn   Conn
	o      Options
	cancel context.CancelFunc // ends both goroutines
	wake   chan struct{}      // holds one token: look at queue

	mu      sync.Mutex
	asked   map[uint64]*asked // answers that the judge has not confirmed the end of
	last    uint64            // number of the newest answer
	queue   []rmp.Frame       // to be sent; at most three for each answer in asked, and one for each that left it
	message uint64
	fault   error // why the line is gone, nil while it is there
}

func newLine(conn Conn, o Options) *line {
	ctx, cancel := context.WithCancel(context.Background())
	l := &line{conn: conn, o: o, cancel: cancel, wake: make(chan struct{}, 1), asked: make(map[uint64]*asked)}
	go l.send(ctx)
	go l.receive(ctx)
	return l
}

// there says whether the line can be asked. A judge that is gone may not have
// been noticed by receive yet.
func (l *line) there() bool {
	select {
	case <-l.conn.Done():
		return false
	default:
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fault == nil
}

// begin adds an answer and asks about its prompt.
func (l *line) begin(trace [16]byte, m rmp.HookBegin) (*asked, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fault != nil {
		return nil, l.fault
	}
	l.last++
	a := &asked{line: l, number: l.last, trace: trace, later: make(chan Verdict, 1)}
	m.Answer = a.number
	if err := l.enqueue(trace, rmp.SchemaHookBegin, m); err != nil {
		return nil, err
	}
	l.asked[a.number] = a
	a.wait(rmp.HookPrompt)
	return a, nil
}

// enqueue puts a message where send finds it; the caller holds mu.
func (l *line) enqueue(trace [16]byte, schema uint16, payload any) error {
	l.message++
	frame, err := rmp.New(schema, l.o.Now(), trace, l.message, payload)
	if err != nil {
		return err
	}
	l.queue = append(l.queue, frame)
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return nil
}

// send is the goroutine that waits for a full connection, so that the computing one need not.
func (l *line) send(ctx context.Context) {
	defer l.survive()
	for {
		select {
		case <-l.wake:
		case <-ctx.Done():
			return
		}
		l.mu.Lock()
		frames := l.queue
		l.queue = nil
		l.mu.Unlock()
		for _, frame := range frames {
			if err := l.conn.Send(ctx, frame); err != nil {
				l.fail(fmt.Errorf("send: %w", root(err)))
				return
			}
		}
	}
}

// receive is the goroutine that takes what the judge says, and closes the connection in the end.
func (l *line) receive(ctx context.Context) {
	defer l.survive()
	defer l.conn.Close()
	for {
		frame, err := l.conn.Receive(ctx)
		switch {
		case errors.Is(err, io.EOF):
			err = errors.New("it closed the connection")
		case err != nil:
			err = fmt.Errorf("receive: %w", root(err))
		default:
			err = l.take(frame)
		}
		if err != nil {
			l.fail(err)
			return
		}
		runtime.Gosched() // to who waits for the verdict, before this thread sleeps with its processor
	}
}

// survive makes a panic in the line the end of the line alone.
func (l *line) survive() {
	if recover() != nil {
		l.fail(fmt.Errorf("the connection panicked at %s", panicPlace()))
	}
}

// fail ends the line; the first cause counts.
func (l *line) fail(cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fault != nil {
		return
	}
	l.fault = fmt.Errorf("%w: %w", ErrGone, cause)
	for _, a := range l.asked {
		a.close()
	}
	l.asked, l.queue = nil, nil
	l.cancel()
}

// take does what one message of the judge says. An error is the judge's fault.
func (l *line) take(frame rmp.Frame) error {
	switch frame.SchemaID {
	case rmp.SchemaHookVerdict:
		number, index, v, err := readVerdict(frame)
		if err != nil {
			return fmt.Errorf("read a verdict: %w", err)
		}
		return l.verdict(number, index, v)
	case rmp.SchemaHookEnd:
		var m rmp.HookEnd
		if frame.Unmarshal(&m) != nil {
			return errors.New("read an end: its body is not that of an end")
		}
		return l.ended(m.Answer)
	}
	return fmt.Errorf("it sent a %s", frame.Type)
}

func (l *line) verdict(number uint64, index int64, v Verdict) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.asked[number]
	if a == nil || !a.open || a.index != index || v.Action == Hold && a.held {
		return errors.New("it gave a verdict that nobody asked for")
	}
	if v.Action == Hold {
		a.held = true
	} else {
		a.open, a.held = false, false
	}
	if a.over { // it did not know when it said so; its confirmation is still due
		return nil
	}
	a.timer.Stop()
	a.due = false
	if v.Action != Hold {
		a.later <- v // there is room: Judge looks that the one before was taken
	}
	return nil
}

// ended is the judge's confirmation of an end, or its word that it can't judge an answer any more.
func (l *line) ended(number uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.asked[number]
	if a == nil {
		return errors.New("it ended an answer that is not there")
	}
	delete(l.asked, number)
	if !a.over {
		a.fault = fmt.Errorf("%w: it gave the answer up", ErrGone)
	}
	a.close()
	return nil
}

// late is called when patience has run out for the n-th thing that answer a was asked.
func (l *line) late(a *asked, n uint64) {
	l.mu.Lock()
	inTime := !a.due || a.asks != n
	l.mu.Unlock()
	if !inTime {
		l.fail(fmt.Errorf("it said nothing for %v", l.o.Patience.Round(time.Millisecond)))
	}
}
