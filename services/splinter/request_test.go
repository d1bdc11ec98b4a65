package splinter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"runa/services/rmp"
)

func init() { roles["answer"] = answer }

// answer counts to the question's number and dies at 13.
func answer(ctx context.Context, b *Bus) error {
	l, err := b.Listen("test")
	if err != nil {
		return err
	}
	fmt.Println("ready")
	for {
		r, err := l.AcceptRequest(ctx)
		if err != nil {
			return err
		}
		go func() {
			defer r.Close()
			for i := range r.MsgID {
				if i == 13 {
					killSelf()
				}
				f, _ := rmp.New(rmp.SchemaToken, time.Now(), r.TraceID, i, rmp.Token{})
				if r.Reply(f) != nil {
					fmt.Println("cancelled")
					return
				}
			}
		}()
	}
}

func TestARequestIsAnsweredByAStream(t *testing.T) {
	b, ctx := newBus(t, Options{}), limit(t)
	start(t, b, "answer").ready(t)
	for range 20 {
		s, err := b.Request(ctx, "test", topicFrame(t, 10, "question"))
		if err != nil {
			t.Fatal(err)
		}
		for i := range uint64(10) {
			if f, err := s.Receive(ctx); err != nil || f.MsgID != i || f.TraceID[0] != 1 {
				t.Fatalf("answer %d: %+v, %v", i, f, err)
			}
		}
		if _, err := s.Receive(ctx); err != io.EOF {
			t.Fatalf("after the last answer: %v, want io.EOF", err)
		}
		s.Close()
	}
	s, err := b.Request(ctx, "test", topicFrame(t, 100, "question"))
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = s.Receive(ctx)
	}
	if !errors.Is(err, ErrPeerDied) {
		t.Fatalf("a listener that died: %v, want ErrPeerDied", err)
	}
	if _, err := b.Request(ctx, "test", topicFrame(t, 1, "")); !errors.Is(err, ErrNoListener) {
		t.Fatalf("then: %v, want ErrNoListener", err)
	}
}

func TestTheEndOfTheAskersContextCancelsTheWork(t *testing.T) {
	b, ctx := newBus(t, Options{}), limit(t)
	l, err := b.Listen("test")
	if err != nil {
		t.Fatal(err)
	}
	asking, cancel := context.WithCancel(ctx)
	s, err := again(t, b).Request(asking, "test", topicFrame(t, 1, "question"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := l.AcceptRequest(ctx)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	<-r.Context().Done()
	if _, err := s.Receive(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("the asker receives %v, want context.Canceled", err)
	}
	<-s.Done()
}

func TestTheDeadlineTravelsAsTTLAndEndsBothSides(t *testing.T) {
	b, ctx := newBus(t, Options{}), limit(t)
	l, err := b.Listen("test")
	if err != nil {
		t.Fatal(err)
	}
	asking, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	s, err := again(t, b).Request(asking, "test", topicFrame(t, 1, "question"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := l.AcceptRequest(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if r.TTLMs > 200 {
		t.Fatalf("the question lives %d ms, at most 200 were left", r.TTLMs)
	}
	<-r.Context().Done()
	if _, err := s.Receive(ctx); !errors.Is(err, rmp.ErrExpired) {
		t.Fatalf("the asker receives %v, want ErrExpired", err)
	}
	if _, err := b.Request(asking, "test", topicFrame(t, 1, "question")); !errors.Is(err, rmp.ErrExpired) {
		t.Fatalf("a request after its deadline: %v, want ErrExpired", err)
	}
}

func TestAnExpiredRequestIsAnsweredCountedAndNeverSeen(t *testing.T) {
	b, ctx := newBus(t, Options{}), limit(t)
	asker := again(t, b)
	asker.clock = func() time.Time { return time.UnixMilli(1000) } // its clock is behind
	notices := subscribe(t, newTopic(t, b, DropsTopic, TopicOptions{}), SubscribeOptions{})
	l, err := b.Listen("test")
	if err != nil {
		t.Fatal(err)
	}
	old, good := textFrame(t, 1, "old"), topicFrame(t, 2, "good")
	accepted := make(chan *Request)
	go func() {
		r, err := l.AcceptRequest(ctx)
		if err != nil {
			t.Error(err)
		}
		accepted <- r
	}()
	s, err := asker.Request(ctx, "test", old)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Receive(ctx); !errors.Is(err, rmp.ErrExpired) {
		t.Fatalf("the asker receives %v, want ErrExpired", err)
	}
	if _, err := asker.Request(ctx, "test", good); err != nil {
		t.Fatal(err)
	}
	if r := <-accepted; r.MsgID != 2 {
		t.Fatalf("request %d was accepted, want 2", r.MsgID)
	}
	m, err := notices.Receive(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var notice rmp.DropNotice
	if err := m.Unmarshal(&notice); err != nil || notice.Topic != "name:test" || notice.Reason != rmp.DropExpired || notice.MsgID != 1 {
		t.Fatalf("notice %+v, %v", notice, err)
	}
}

func TestOneWhoDialsAndAsksNothingHoldsUpNobody(t *testing.T) {
	b, ctx := newBus(t, Options{}), limit(t)
	l, err := b.Listen("test")
	if err != nil {
		t.Fatal(err)
	}
	silent, err := b.Dial(ctx, "test")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	if _, err := b.Request(ctx, "test", topicFrame(t, 5, "question")); err != nil {
		t.Fatal(err)
	}
	if r, err := l.AcceptRequest(ctx); err != nil || r.MsgID != 5 {
		t.Fatal(err)
	}
	l.Close()
	if _, err := l.AcceptRequest(ctx); !errors.Is(err, ErrClosed) {
		t.Fatalf("after Close: %v, want ErrClosed", err)
	}
}
