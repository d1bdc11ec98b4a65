package splinter

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"runa/services/rmp"
)

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
