package splinter

import (
	"bytes"
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

func TestDropOldestKeepsTheNewestAndNeverWaits(t *testing.T) {
	b, ctx := newBus(t, Options{}), limit(t)
	topic := newTopic(t, b, "topic", TopicOptions{Depth: 8, Policy: DropOldest})
	slow, quick := subscribe(t, topic, SubscribeOptions{}), subscribe(t, topic, SubscribeOptions{})
	for i := range uint64(100) {
		publish(t, topic, i, "text")
		wantMessage(t, ctx, quick, i, "text")
	}
	if d := slow.Dropped(); d[rmp.DropOverwritten] != 92 || d.Total() != 92 {
		t.Fatalf("dropped %v, want 92 overwritten", d)
	}
	for i := uint64(92); i < 100; i++ {
		wantMessage(t, ctx, slow, i, "text")
	}
	if d := quick.Dropped(); d.Total() != 0 {
		t.Fatalf("the quick one lost %v", d)
	}
}

func TestAFullSubscriberBlocksItsPublisherOnceAndNobodyElse(t *testing.T) {
	b, ctx := newBus(t, Options{}), limit(t)
	topic := newTopic(t, b, "topic", TopicOptions{Depth: 8})
	full, quick := subscribe(t, topic, SubscribeOptions{}), subscribe(t, topic, SubscribeOptions{})
	for i := range uint64(8) {
		publish(t, topic, i, "text")
		wantMessage(t, ctx, quick, i, "text")
	}
	published := make(chan time.Duration)
	go func() {
		begin := time.Now()
		publish(t, topic, 8, "one too many")
		published <- time.Since(begin)
	}()
	wantMessage(t, ctx, quick, 8, "one too many") // while the publisher waits
	if waited := <-published; waited < BlockLimit {
		t.Fatalf("the publisher waited %v, want %v", waited, BlockLimit)
	}
	if d := full.Dropped(); d[rmp.DropBackpressure] != 1 || d.Total() != 1 {
		t.Fatalf("dropped %v, want one for back-pressure", d)
	}
	// Nobody waits for it again until it reads.
	begin := time.Now()
	for i := uint64(9); i < 1009; i++ {
		publish(t, topic, i, "text")
		wantMessage(t, ctx, quick, i, "text")
	}
	if took := time.Since(begin); took > 500*BlockLimit {
		t.Fatalf("1000 messages took %v", took)
	}
	for i := uint64(1001); i < 1009; i++ {
		wantMessage(t, ctx, full, i, "text")
	}
	if d := quick.Dropped(); d.Total() != 0 {
		t.Fatalf("the quick one lost %v", d)
	}
}

func TestAPublisherGoesOnAsSoonAsTheFullSubscriberReads(t *testing.T) {
	patient(t)
	b, ctx := newBus(t, Options{}), limit(t)
	topic := newTopic(t, b, "topic", TopicOptions{Depth: 2})
	s := subscribe(t, topic, SubscribeOptions{})
	go func() {
		for i := range uint64(2000) {
			publish(t, topic, i, "text")
		}
	}()
	for i := range uint64(2000) {
		wantMessage(t, ctx, s, i, "text")
	}
	if d := s.Dropped(); d.Total() != 0 {
		t.Fatalf("dropped %v", d)
	}
}

func TestBytesBoundATopicAsDepthDoes(t *testing.T) {
	b, ctx := newBus(t, Options{}), limit(t)
	topic := newTopic(t, b, "topic", TopicOptions{Depth: 1000, Bytes: 100_000, Policy: DropOldest})
	s := subscribe(t, topic, SubscribeOptions{})
	text := string(bytes.Repeat([]byte("x"), 9_800))
	for i := range uint64(100) {
		publish(t, topic, i, text)
	}
	if used := b.header().heapUsed.Load(); used > 12*16384 {
		t.Fatalf("100 kB of messages take %d bytes", used)
	}
	if behind := s.Behind(); behind != 10 {
		t.Fatalf("%d messages wait, want 10", behind)
	}
	for i := uint64(90); i < 100; i++ {
		wantMessage(t, ctx, s, i, text)
	}
	if err := topic.Publish(ctx, topicFrame(t, 0, string(make([]byte, 200_000)))); !errors.Is(err, ErrTooLarge) {
		t.Fatalf("a frame over the limit: %v, want ErrTooLarge", err)
	}
}

func TestWhatIsReadInPlaceStaysUntilItsRelease(t *testing.T) {
	b, ctx := newBus(t, Options{}), limit(t)
	topic := newTopic(t, b, "topic", TopicOptions{Depth: 2, Policy: DropOldest})
	s := subscribe(t, topic, SubscribeOptions{})
	var held []Message
	for i := range byte(8) { // more than can be pinned: those are copied
		if err := lend(ctx, topic, uint64(i), bytes.Repeat([]byte{i}, 4000)); err != nil {
			t.Fatal(err)
		}
		m, err := s.Receive(ctx)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, m)
	}
	for i := range byte(100) {
		if err := lend(ctx, topic, 100+uint64(i), bytes.Repeat([]byte{100 + i}, 4000)); err != nil {
			t.Fatal(err)
		}
	}
	for i, m := range held {
		got, err := m.Binary()
		if err != nil || !bytes.Equal(got, bytes.Repeat([]byte{byte(i)}, 4000)) {
			t.Fatalf("message %d has changed under its reader: %d bytes, %v", i, len(got), err)
		}
		m.Release()
		m.Release() // does nothing
	}
	for range 2 {
		m, err := s.Receive(ctx)
		if err != nil {
			t.Fatal(err)
		}
		m.Release()
	}
	s.Close()
	wantHeap(t, topic, 2)
}

// wantHeap checks that the heap holds what the topic keeps and nothing more.
func wantHeap(t *testing.T, topic *Topic, blocks int) {
	t.Helper()
	taken := 0
	topic.bus.walkHeap(func(_ uint32, _ int, descriptor uint64, _ bool) bool {
		if descriptor&takenBit != 0 {
			taken++
		}
		return true
	})
	if taken != blocks {
		t.Fatalf("%d blocks are taken, want %d", taken, blocks)
	}
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

func TestAFullHeapTakesBackWhatEverybodyHasRead(t *testing.T) {
	b, ctx := newBus(t, Options{Heap: 1 << 20}), limit(t)
	topic := newTopic(t, b, "topic", TopicOptions{Depth: 64, Bytes: 8 << 20})
	s := subscribe(t, topic, SubscribeOptions{})
	for i := range uint64(100) {
		if err := lend(ctx, topic, i, make([]byte, 60_000)); err != nil {
			t.Fatal(err)
		}
		m, err := s.Receive(ctx)
		if err != nil {
			t.Fatal(err)
		}
		m.Release()
	}
	var err error
	for i := uint64(100); err == nil && i < 200; i++ {
		err = lend(ctx, topic, i, make([]byte, 60_000))
	}
	if !errors.Is(err, ErrFull) {
		t.Fatalf("a heap full of what nobody has read: %v, want ErrFull", err)
	}
	if err := b.Set("key", []byte("value")); err != nil {
		t.Fatalf("a small value beside it: %v", err)
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

func TestAFullBusOfTopicsAndATopicFullOfSubscribersSaySo(t *testing.T) {
	b := newBus(t, Options{})
	for i := range topicLimit {
		newTopic(t, b, fmt.Sprint("topic", i), TopicOptions{Depth: 8})
	}
	if _, err := b.Topic("another", TopicOptions{Depth: 8}); !errors.Is(err, ErrFull) {
		t.Fatalf("one topic more: %v, want ErrFull", err)
	}
	topic := newTopic(t, b, "topic0", TopicOptions{})
	for range 2 {
		var all []*Subscription
		for range subscriberLimit {
			all = append(all, subscribe(t, topic, SubscribeOptions{}))
		}
		if _, err := topic.Subscribe(SubscribeOptions{}); !errors.Is(err, ErrFull) {
			t.Fatalf("one subscriber more: %v, want ErrFull", err)
		}
		for _, s := range all {
			s.Close()
		}
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
