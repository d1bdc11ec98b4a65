package hook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"runa/services/rmp"
)

// Serve is the other side of a Sidecar: it asks judge about what comes over conn,
// until the other side closes or ctx ends, which is nil, or breaks the
// protocol or dies. It closes conn. Judge is called by one goroutine for all
// answers of the connection, so one that is slow makes all of them wait. An answer that
// judge can't begin, or whose Later closes, is given up: its asker then stops it.
func Serve(ctx context.Context, conn Conn, judge Hook) error {
	ctx, cancel := context.WithCancel(ctx)
	s := &server{conn: conn, judge: Chain(judge), ctx: ctx, cancel: cancel, answers: make(map[uint64]*served)}
	defer s.close()
	for {
		frame, err := conn.Receive(ctx)
		if err == nil {
			if err = s.take(frame); err == nil {
				continue
			}
			return fmt.Errorf("serve token hook: %w", err)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if sending := s.failure(); sending != nil {
			err = sending
		}
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			return nil
		}
		return fmt.Errorf("serve token hook: %w", root(err))
	}
}

type server struct {
	conn   Conn
	judge  Hook
	ctx    context.Context
	cancel context.CancelFunc
	last   uint64 // number of the newest answer

	mu      sync.Mutex // also makes messages leave one at a time, in the order of what they say
	answers map[uint64]*served
	message uint64
	err     error // of the first message that could not be sent
}

// served is one answer.
type served struct {
	number  uint64
	trace   [16]byte
	session Session
	open    bool          // a verdict is owed; guarded by the server's mu
	index   int64         // on what
	over    chan struct{} // closed when no more may be said of it
}

func (s *server) take(frame rmp.Frame) error {
	switch frame.SchemaID {
	case rmp.SchemaHookBegin:
		return s.begin(frame)
	case rmp.SchemaHookToken:
		return s.token(frame)
	case rmp.SchemaHookEnd:
		return s.end(frame)
	}
	return fmt.Errorf("a %s came", frame.Type)
}

func (s *server) begin(frame rmp.Frame) error {
	number, answer, err := readBeginning(frame)
	if err != nil {
		return fmt.Errorf("read a beginning: %w", err)
	}
	if number <= s.last {
		return errors.New("an answer began whose number is not greater than those before")
	}
	s.last = number
	a := &served{number: number, trace: frame.TraceID, open: true, index: rmp.HookPrompt, over: make(chan struct{})}
	session, v, err := s.judge.Begin(answer)
	s.mu.Lock()
	s.answers[number] = a
	s.mu.Unlock()
	if err != nil {
		s.giveUp(a)
		return nil
	}
	a.session = session
	s.say(a, v, true)
	return nil
}

func (s *server) token(frame rmp.Frame) error {
	number, t, err := readToken(frame)
	if err != nil {
		return fmt.Errorf("read a token: %w", err)
	}
	s.mu.Lock()
	a := s.answers[number]
	early := a != nil && a.open
	if a != nil {
		a.open, a.index = true, int64(t.Index)
	}
	s.mu.Unlock()
	switch {
	case early || number > s.last:
		return errors.New("a token came before its turn")
	case a == nil: // given up while the token was on its way
		return nil
	}
	v, decided := a.session.Judge(t)
	s.say(a, v, decided)
	return nil
}

func (s *server) end(frame rmp.Frame) error {
	var m rmp.HookEnd
	if frame.Unmarshal(&m) != nil {
		return errors.New("read an end: its body is not that of an end")
	}
	if m.Answer > s.last {
		return errors.New("an answer ended that did not begin")
	}
	if a := s.finish(m.Answer); a != nil {
		a.session.End(m.Reason)
	}
	return nil
}

// say sends the verdict of a judge, and waits for the one that comes later if need be.
func (s *server) say(a *served, v Verdict, decided bool) {
	if decided {
		s.send(a, v)
	}
	if !decided || v.Action == Hold {
		go s.await(a)
	}
}

func (s *server) await(a *served) {
	select {
	case v, ok := <-a.session.Later():
		if !ok {
			s.giveUp(a)
			return
		}
		s.send(a, v.final(s.onPrompt(a)))
	case <-a.over:
	}
}

func (s *server) onPrompt(a *served) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return a.index == rmp.HookPrompt
}

// send sends a verdict, unless the answer is over.
func (s *server) send(a *served, v Verdict) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.answers[a.number] != a {
		return
	}
	if v.Action != Hold {
		a.open = false
	}
	s.post(a.trace, rmp.SchemaHookVerdict, verdictMessage(a.number, a.index, v))
}

// giveUp tells the asker that the answer can't be judged any more.
func (s *server) giveUp(a *served) {
	if s.finish(a.number) != nil && a.session != nil {
		a.session.End(rmp.ReasonHook)
	}
}

// finish takes an answer out and says so; nil if it is out already.
func (s *server) finish(number uint64) *served {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.answers[number]
	if a == nil {
		return nil
	}
	delete(s.answers, number)
	close(a.over)
	s.post(a.trace, rmp.SchemaHookEnd, rmp.HookEnd{Answer: number})
	return a
}

// post sends one message; the caller holds mu. One that can't be sent ends the connection.
func (s *server) post(trace [16]byte, schema uint16, payload any) {
	if s.err != nil {
		return
	}
	s.message++
	frame, err := rmp.New(schema, time.Now(), trace, s.message, payload)
	if err == nil {
		err = s.conn.Send(s.ctx, frame)
	}
	if err == nil {
		return
	}
	s.err = err
	select {
	case <-s.conn.Done(): // Receive says whether the other side closed or died
	default:
		s.cancel()
	}
}

func (s *server) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// close lets go of everything that is still there.
func (s *server) close() {
	s.cancel()
	s.conn.Close()
	s.mu.Lock()
	left := s.answers
	s.answers = make(map[uint64]*served)
	s.mu.Unlock()
	for _, a := range left {
		close(a.over)
		a.session.End(rmp.ReasonCancel)
	}
}
