package splinter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"runa/services/rmp"
)

// Texts of a frame that fits a cell and of one that needs a block.
var shortText, longText = "short", string(bytes.Repeat([]byte("long"), 2000))

func init() {
	for step := stepTopicLocked; step < topicSteps; step++ {
		roles[fmt.Sprint("dieAt", int(step))] = func(ctx context.Context, b *Bus) error { return dieAt(ctx, b, step) }
	}
	roles["publishForEver"] = publishForEver
	roles["subscribeAndStay"] = subscribeAndStay
	roles["receiveAll"] = receiveAll
}

// processFrame has a trace of its process's own.
func processFrame(b *Bus, id uint64, text string) (rmp.Frame, error) {
	f, err := rmp.New(rmp.SchemaToken, time.Now(), [16]byte{}, id, rmp.Token{Text: text})
	f.TraceID[0], f.TraceID[1], f.TraceID[2] = byte(b.self), byte(b.self>>8), byte(b.self>>16)
	return f, err
}

// dieAt does everything a member of a topic does until it passes the step.
func dieAt(ctx context.Context, b *Bus, step topicStep) error {
	topic, err := b.Topic("topic", TopicOptions{})
	if err != nil {
		return err
	}
	hookTopicStep = func(at topicStep) {
		if at == step {
			killSelf()
		}
	}
	s, err := topic.Subscribe(SubscribeOptions{})
	if err != nil {
		return err
	}
	var held []Message
	for i := uint64(0); i < 40; i++ {
		for n, text := range []string{shortText, longText} {
			f, err := processFrame(b, 3*i+uint64(n), text)
			if err != nil {
				return err
			}
			if err := topic.Publish(ctx, f); err != nil {
				return err
			}
			m, err := s.Receive(ctx)
			if err != nil {
				return err
			}
			held = append(held, m)
		}
		l, err := topic.Loan(5000)
		if err != nil {
			return err
		}
		f, err := processFrame(b, 3*i+2, "")
		if err != nil {
			return err
		}
		if err := l.Publish(ctx, f.Header); err != nil {
			return err
		}
		if len(held) > 5 {
			for _, m := range held {
				m.Release()
			}
			held = nil
		}
	}
	return fmt.Errorf("step %d was never passed", step)
}

func TestADeathAtAnyStepLeavesATopicWhole(t *testing.T) {
	for step := stepTopicLocked; step < topicSteps; step++ {
		for _, policy := range []Policy{Block, DropOldest} {
			t.Run(fmt.Sprintf("step %d, %v", step, policy), func(t *testing.T) {
				if step == stepUnlockedFull && policy == DropOldest {
					return // never waits
				}
				diesAt(t, step, policy)
			})
		}
	}
}

func diesAt(t *testing.T, step topicStep, policy Policy) {
	b, ctx := newBus(t, Options{}), limit(t)
	topic := newTopic(t, b, "topic", TopicOptions{Depth: 8, Bytes: 64 << 10, Policy: policy, History: 4})
	stays := subscribe(t, topic, SubscribeOptions{}) // reads nothing until the other is dead
	for range 2 {                                    // the second meets what the first left
		start(t, b, fmt.Sprint("dieAt", int(step))).wantKilled(t)
	}
	// The one that stays is waited for once, in vain; the dead are not, or once.
	blockLimit = 10 * BlockLimit // longer than a busy machine holds a publisher up
	t.Cleanup(func() { blockLimit = BlockLimit })
	waited := 0
	for i := range uint64(30) {
		begin := time.Now()
		publish(t, topic, i, longText)
		if time.Since(begin) >= blockLimit {
			waited++
		}
	}
	if waited > 2 {
		t.Fatalf("%d of 30 messages were waited with to the end", waited)
	}
	last := uint64(0)
	for n := 0; n < 8; n++ {
		m, err := stays.Receive(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if n > 0 && m.Sequence != last+1 {
			t.Fatalf("message %d follows %d", m.Sequence, last)
		}
		last = m.Sequence
		wantWhole(t, m)
		m.Release()
	}
	wantNothing(t, stays)
	if d := stays.Dropped(); d[rmp.DropInvalid] != 0 {
		t.Fatalf("torn messages: %v", d)
	}
	stays.Close()
	wantNoLeak(t, b)
}

// wantWhole checks a message of these tests to its last byte.
func wantWhole(t *testing.T, m Message) {
	t.Helper()
	if raw, err := m.Binary(); err == nil {
		if len(raw) != 5000 {
			t.Fatalf("a loan of %d bytes", len(raw))
		}
		return
	}
	if text := tokenText(t, m.Frame); text != shortText && text != longText {
		t.Fatalf("message %d is torn: %d bytes", m.Sequence, len(text))
	}
}

// wantNoLeak checks that after a sweep every block of a topic is one that it still
// keeps. This process may be publishing a notice just now, whose block is nobody's
// until it is out, so what looks lost is looked at again for a while.
func wantNoLeak(t *testing.T, b *Bus) {
	t.Helper()
	lost := lostBlocks(b)
	for end := time.Now().Add(10 * time.Second); len(lost) > 0 && time.Now().Before(end); lost = lostBlocks(b) {
		time.Sleep(time.Millisecond)
	}
	for _, l := range lost {
		t.Error(l)
	}
}

func lostBlocks(b *Bus) (lost []string) {
	b.sweep()
	b.walkHeap(func(u uint32, order int, descriptor uint64, _ bool) bool {
		h := descriptorHolder(descriptor)
		if descriptor&takenBit != 0 && h>>32 == heldByChannel && !b.channelRefers(uint32(h), b.blockAt(u)) {
			lost = append(lost, fmt.Sprintf("a block of %d bytes of message place %d is lost", unitSize<<order, uint32(h)))
		}
		return true
	})
	return lost
}

func subscribeAndStay(ctx context.Context, b *Bus) error {
	topic, err := b.Topic("topic", TopicOptions{})
	if err != nil {
		return err
	}
	if _, err := topic.Subscribe(SubscribeOptions{}); err != nil {
		return err
	}
	fmt.Println("ready")
	select {}
}

func TestADeadSubscriberBlocksNobody(t *testing.T) {
	patient(t)
	b, ctx := newBus(t, Options{}), limit(t)
	topic := newTopic(t, b, "topic", TopicOptions{Depth: 4})
	first := start(t, b, "subscribeAndStay").ready(t)
	second := start(t, b, "subscribeAndStay").ready(t)
	first.kill() // before anybody waits for it
	published := make(chan struct{})
	go func() {
		for i := range uint64(100) {
			publish(t, topic, i, "text")
		}
		close(published)
	}()
	for topic.shared.space.Load()&1 == 0 { // until the publisher waits for the second
		if ctx.Err() != nil {
			t.Fatal("the publisher waits for nobody")
		}
	}
	second.kill()
	select {
	case <-published:
	case <-ctx.Done():
		t.Fatal("the publisher waits for the dead")
	}
	if s := topicStatistics(t, b, "topic"); s.Drops.Total() != 0 || len(s.Subscribers) != 0 {
		t.Fatalf("left behind: %+v", s)
	}
}

func publishForEver(ctx context.Context, b *Bus) error {
	topic, err := b.Topic("topic", TopicOptions{})
	if err != nil {
		return err
	}
	fmt.Println("ready")
	for i := uint64(0); ; i++ {
		text := shortText
		if i%3 == 0 {
			text = longText
		}
		f, err := processFrame(b, i, text)
		if err != nil {
			return err
		}
		if err := topic.Publish(ctx, f); err != nil && !errors.Is(err, ErrFull) {
			return err
		}
	}
}

func receiveAll(ctx context.Context, b *Bus) error {
	topic, err := b.Topic("topic", TopicOptions{})
	if err != nil {
		return err
	}
	s, err := topic.Subscribe(SubscribeOptions{})
	if err != nil {
		return err
	}
	fmt.Println("ready")
	for {
		m, err := s.Receive(ctx)
		if err != nil {
			return err
		}
		m.Release()
	}
}

func TestMembersKilledAtAnyInstantLeaveATopicWhole(t *testing.T) {
	for _, policy := range []Policy{Block, DropOldest} {
		b, ctx := newBus(t, Options{}), limit(t)
		topic := newTopic(t, b, "topic", TopicOptions{Depth: 64, Bytes: 256 << 10, Policy: policy})
		s := subscribe(t, topic, SubscribeOptions{})
		for round := range 10 {
			var children []*child
			for _, role := range []string{"publishForEver", "publishForEver", "receiveAll"} {
				children = append(children, start(t, b, role).ready(t))
			}
			next := map[[16]byte]uint64{}
			for range 300 {
				m, err := s.Receive(ctx)
				if err != nil {
					t.Fatal(err)
				}
				if m.TraceID != [16]byte{1} && m.MsgID < next[m.TraceID] {
					t.Fatalf("message %d after %d of the same publisher", m.MsgID, next[m.TraceID]-1)
				}
				next[m.TraceID] = m.MsgID + 1
				wantWhole(t, m)
				m.Release()
			}
			for _, c := range children {
				c.kill()
			}
			publish(t, topic, uint64(round), shortText)
		}
		if d := s.Dropped(); d[rmp.DropInvalid] != 0 || d[rmp.DropDuplicate] != 0 {
			t.Fatalf("%v: dropped %v", policy, d)
		}
		s.Close()
		wantNoLeak(t, b)
	}
}

func TestAPublisherWakesASubscriberInAnotherProcess(t *testing.T) {
	b, ctx := newBus(t, Options{}), limit(t)
	topic := newTopic(t, b, "topic", TopicOptions{})
	s := subscribe(t, topic, SubscribeOptions{})
	got := make(chan error)
	go func() {
		m, err := s.Receive(ctx)
		m.Release()
		got <- err
	}()
	for topic.shared.wake.word.Load()&1 == 0 { // until it sleeps
		if ctx.Err() != nil {
			t.Fatal("nobody sleeps on the topic")
		}
	}
	start(t, b, "publishForEver").ready(t)
	if err := <-got; err != nil {
		t.Fatal(err)
	}
	if n := topicStatistics(t, b, "topic").Wake.Count(); n != 1 {
		t.Fatalf("%d wake-ups were timed, want 1", n)
	}
}
