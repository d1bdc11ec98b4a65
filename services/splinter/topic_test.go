package splinter

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"runa/services/rmp"
)

// topicFrame is alive now and has its own number.
func topicFrame(t testing.TB, id uint64, text string) rmp.Frame {
	t.Helper()
	f, err := rmp.New(rmp.SchemaToken, time.Now(), [16]byte{1}, id, rmp.Token{Text: text})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func newTopic(t testing.TB, b *Bus, name string, o TopicOptions) *Topic {
	t.Helper()
	topic, err := b.Topic(name, o)
	if err != nil {
		t.Fatal(err)
	}
	return topic
}

func subscribe(t testing.TB, topic *Topic, o SubscribeOptions) *Subscription {
	t.Helper()
	s, err := topic.Subscribe(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func publish(t testing.TB, topic *Topic, id uint64, text string) {
	t.Helper()
	if err := topic.Publish(t.Context(), topicFrame(t, id, text)); err != nil {
		t.Fatal(err)
	}
}

func wantMessage(t testing.TB, ctx context.Context, s *Subscription, id uint64, text string) {
	t.Helper()
	m, err := s.Receive(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Release()
	if m.MsgID != id || tokenText(t, m.Frame) != text {
		t.Fatalf("message %d came with %d bytes, want message %d with %d", m.MsgID, len(tokenText(t, m.Frame)), id, len(text))
	}
}

func wantNothing(t testing.TB, s *Subscription) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if m, err := s.Receive(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("%+v, %v; nothing was expected", m, err)
	}
}

// patient makes publishers wait for subscribers as long as it takes.
func patient(t *testing.T) {
	blockLimit = time.Hour
	t.Cleanup(func() { blockLimit = BlockLimit })
}

func TestEverySubscriberGetsEveryMessageInOneOrder(t *testing.T) {
	patient(t)
	b, ctx := newBus(t, Options{}), limit(t)
	topic := newTopic(t, b, "topic", TopicOptions{})
	var subscriptions []*Subscription
	for range 3 {
		subscriptions = append(subscriptions, subscribe(t, newTopic(t, again(t, b), "topic", TopicOptions{}), SubscribeOptions{}))
	}
	const publishers, each = 4, 500
	var publishing sync.WaitGroup
	for p := range publishers {
		publishing.Go(func() {
			mine := newTopic(t, b, "topic", TopicOptions{})
			for i := range each {
				f := topicFrame(t, uint64(i), fmt.Sprint(p))
				f.TraceID[1] = byte(p)
				if i%50 == 0 { // some are long
					f.Payload, _ = rmp.Marshal(rmp.Token{Text: fmt.Sprint(p), Index: uint32(i), LogProb: 1})
					f.Meta, _ = rmp.Marshal(map[string]any{"tags": make([]byte, 5000)})
				}
				if err := mine.Publish(ctx, f); err != nil {
					t.Error(err)
				}
			}
		})
	}
	orders := make([][]string, len(subscriptions))
	var receiving sync.WaitGroup
	for i, s := range subscriptions {
		receiving.Go(func() {
			next := map[byte]uint64{}
			for n := range publishers * each {
				m, err := s.Receive(ctx)
				if err != nil {
					t.Error(err)
					return
				}
				if m.Sequence != uint64(n) || m.MsgID != next[m.TraceID[1]] {
					t.Errorf("message %d of %d came as number %d after %d", m.MsgID, m.TraceID[1], m.Sequence, n)
				}
				next[m.TraceID[1]]++
				orders[i] = append(orders[i], fmt.Sprint(m.TraceID[1], m.MsgID))
				m.Release()
			}
		})
	}
	publishing.Wait()
	receiving.Wait()
	for i := range orders[1:] {
		if fmt.Sprint(orders[i+1]) != fmt.Sprint(orders[0]) {
			t.Fatal("two subscribers saw two orders")
		}
	}
	_ = topic
}

func TestHistoryIsForLateSubscribersWhoWantIt(t *testing.T) {
	b, ctx := newBus(t, Options{}), limit(t)
	topic := newTopic(t, b, "topic", TopicOptions{Depth: 4, History: 10})
	for i := range uint64(25) {
		publish(t, topic, i, "text")
	}
	late, later := subscribe(t, topic, SubscribeOptions{}), subscribe(t, topic, SubscribeOptions{History: true})
	wantNothing(t, late)
	for i := uint64(15); i < 25; i++ {
		wantMessage(t, ctx, later, i, "text")
	}
	wantNothing(t, later)
	publish(t, topic, 25, "new")
	wantMessage(t, ctx, late, 25, "new")
	wantMessage(t, ctx, later, 25, "new")
}

func lend(ctx context.Context, topic *Topic, id uint64, payload []byte) error {
	l, err := topic.Loan(len(payload))
	if err != nil {
		return err
	}
	copy(l.Bytes(), payload)
	return l.Publish(ctx, rmp.Header{SchemaID: rmp.SchemaToken, CreatedAtMs: uint64(time.Now().UnixMilli()), TTLMs: 30_000, MsgID: id})
}

func TestALoanIsPublishedOrDiscardedOnce(t *testing.T) {
	b, ctx := newBus(t, Options{}), limit(t)
	topic := newTopic(t, b, "topic", TopicOptions{})
	l, err := topic.Loan(100_000)
	if err != nil || len(l.Bytes()) != 100_000 {
		t.Fatal(len(l.Bytes()), err)
	}
	if err := l.Publish(ctx, rmp.Header{SchemaID: 4095, TTLMs: 1}); !errors.Is(err, rmp.ErrUnknownSchema) {
		t.Fatalf("an unknown schema: %v", err)
	}
	l.Truncate(50)
	h := topicFrame(t, 1, "").Header
	s := subscribe(t, topic, SubscribeOptions{})
	if err := l.Publish(ctx, h); err != nil {
		t.Fatal(err)
	}
	if err := l.Publish(ctx, h); !errors.Is(err, ErrSpent) || l.Bytes() != nil {
		t.Fatalf("again: %v, want ErrSpent", err)
	}
	l.Discard()
	m, err := s.Receive(ctx)
	if got, _ := m.Binary(); err != nil || len(got) != 50 {
		t.Fatalf("%d bytes came, %v", len(got), err)
	}
	m.Release()
	l, err = topic.Loan(10)
	if err != nil {
		t.Fatal(err)
	}
	l.Discard()
	l.Discard()
	wantHeap(t, topic, 1)
	if _, err := topic.Loan(2 << 20); !errors.Is(err, ErrTooLarge) {
		t.Fatalf("too long a loan: %v, want ErrTooLarge", err)
	}
}

func TestExpiredAndDuplicateFramesAreDroppedCountedAndTold(t *testing.T) {
	b, ctx := newBus(t, Options{}), limit(t)
	notices := subscribe(t, newTopic(t, b, DropsTopic, TopicOptions{}), SubscribeOptions{})
	topic := newTopic(t, b, "topic", TopicOptions{})
	s, other := subscribe(t, topic, SubscribeOptions{}), subscribe(t, topic, SubscribeOptions{})
	old := topicFrame(t, 7, "old")
	old.CreatedAtMs, old.TTLMs = 1000, 5
	for _, f := range []rmp.Frame{old, topicFrame(t, 8, "new"), topicFrame(t, 8, "again"), old} {
		if err := topic.Publish(ctx, f); err != nil {
			t.Fatal(err)
		}
	}
	publish(t, topic, 9, "last")
	for _, s := range []*Subscription{s, other} {
		wantMessage(t, ctx, s, 8, "new")
		wantMessage(t, ctx, s, 9, "last")
		if d := s.Dropped(); d[rmp.DropExpired] != 2 || d[rmp.DropDuplicate] != 1 || d.Total() != 3 {
			t.Fatalf("dropped %v, want 2 expired and 1 duplicate", d)
		}
	}
	told := map[string]uint64{}
	for told[rmp.DropExpired]+told[rmp.DropDuplicate] < 6 {
		m, err := notices.Receive(ctx)
		if err != nil {
			t.Fatal(err)
		}
		var notice rmp.DropNotice
		if err := m.Unmarshal(&notice); err != nil {
			t.Fatal(err)
		}
		if m.SchemaID != rmp.SchemaBusDropNotice || m.TTLMs != 5000 || notice.Topic != "topic" || notice.TraceID[0] != 1 {
			t.Fatalf("notice %+v of ttl %d", notice, m.TTLMs)
		}
		told[notice.Reason] += notice.Count
		m.Release()
	}
	if told[rmp.DropExpired] != 4 || told[rmp.DropDuplicate] != 2 {
		t.Fatalf("told of %v", told)
	}
}

func TestADropOfADropNoticeIsSilent(t *testing.T) {
	b := newBus(t, Options{})
	drops := newTopic(t, b, DropsTopic, TopicOptions{})
	s := subscribe(t, drops, SubscribeOptions{})
	for i := range uint64(200) {
		publish(t, drops, i, "")
	}
	if s.Dropped().Total() != 136 {
		t.Fatalf("dropped %v, want 136", s.Dropped())
	}
	if b.channels.noticer.running || len(b.channels.noticer.pending) > 0 {
		t.Fatal("a notice of a dropped notice is under way")
	}
}

func TestOptionsOfATopicThatIsThereMustAgree(t *testing.T) {
	b := newBus(t, Options{})
	o := TopicOptions{Depth: 10, Bytes: 1000, Policy: DropOldest, History: 3}
	newTopic(t, b, "topic", o)
	for _, fine := range []TopicOptions{o, {}, {Depth: 10, Policy: DropOldest}} {
		if got := newTopic(t, again(t, b), "topic", fine).Options(); got != o {
			t.Errorf("opened with %+v it has %+v", fine, got)
		}
	}
	for _, wrong := range []TopicOptions{{Depth: 10}, {Depth: 11, Policy: DropOldest}, {Policy: DropOldest, History: 4}, {Policy: DropOldest, Bytes: 1}} {
		if _, err := b.Topic("topic", wrong); !errors.Is(err, ErrOptions) {
			t.Errorf("with %+v: %v, want ErrOptions", wrong, err)
		}
	}
	if _, err := b.Topic("", o); !errors.Is(err, ErrName) {
		t.Errorf("no name: %v", err)
	}
	if _, err := b.Topic("negative", TopicOptions{Depth: -1}); err == nil {
		t.Error("a negative depth is taken")
	}
	if _, err := b.Topic("huge", TopicOptions{Depth: 1 << 20}); !errors.Is(err, ErrFull) {
		t.Errorf("more messages than the bus has: %v, want ErrFull", err)
	}
}

func TestClosingEndsWhatWaitsForATopic(t *testing.T) {
	b, ctx := newBus(t, Options{}), limit(t)
	topic := newTopic(t, b, "topic", TopicOptions{Depth: 1})
	other := again(t, b)
	one, two := subscribe(t, topic, SubscribeOptions{}), subscribe(t, newTopic(t, other, "topic", TopicOptions{}), SubscribeOptions{})
	ended := make(chan error, 2)
	for _, s := range []*Subscription{one, two} {
		go func() {
			_, err := s.Receive(ctx)
			ended <- err
		}()
	}
	one.Close()
	other.Close()
	for range 2 {
		if err := <-ended; !errors.Is(err, ErrClosed) {
			t.Fatalf("receive: %v, want ErrClosed", err)
		}
	}
	for i := range uint64(3) { // nobody has to wait for them
		begin := time.Now()
		publish(t, topic, i, "")
		if took := time.Since(begin); took >= BlockLimit {
			t.Fatalf("a publisher waited %v for nobody", took)
		}
	}
	if one.Dropped().Total() != 0 {
		t.Fatal("a closed subscription counts on")
	}
}
