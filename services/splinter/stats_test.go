package splinter

import (
	"fmt"
	"os"
	"testing"
	"time"
)

// topicStatistics are those of one topic.
func topicStatistics(t *testing.T, b *Bus, name string) TopicStatistics {
	t.Helper()
	s, err := b.Statistics()
	if err != nil {
		t.Fatal(err)
	}
	for _, topic := range s.Topics {
		if topic.Name == name {
			return topic
		}
	}
	t.Fatalf("no topic %q in %+v", name, s.Topics)
	return TopicStatistics{}
}

func TestStatisticsSayWhoDidWhat(t *testing.T) {
	b, ctx := newBus(t, Options{}), limit(t)
	start(t, b, "echo").ready(t)
	c, err := b.Dial(ctx, "test")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Send(ctx, textFrame(t, 1, "text")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Receive(ctx); err != nil {
		t.Fatal(err)
	}
	topic := newTopic(t, b, "topic", TopicOptions{Depth: 4, Policy: DropOldest})
	s := subscribe(t, topic, SubscribeOptions{})
	for i := range uint64(10) {
		publish(t, topic, i, "text")
	}
	wantMessage(t, ctx, s, 6, "text")
	mustSet(t, b, "key", "value")
	wantValue(t, b, "key", "value")

	statistics, err := b.Statistics()
	if err != nil {
		t.Fatal(err)
	}
	if n := len(statistics.Components); n != 1 || len(statistics.Components[0].PIDs) != 2 {
		t.Fatalf("components %+v; want one with two processes", statistics.Components)
	}
	k := statistics.Components[0].Counters
	// A notice of the drops may be among the published, and the echo count its frame later.
	if k.Published < 10 || k.Received != 1 || k.Sets != 1 || k.Gets != 1 || k.Frames == 0 {
		t.Errorf("counters %+v", k)
	}
	if d := statistics.Components[0].Drops; d["overwritten"] != 6 {
		t.Errorf("drops %v", d)
	}
	if got := topicStatistics(t, b, "topic"); got.Published != 10 || got.Kept != 4 || got.Depth != 3 || got.Drops["overwritten"] != 6 ||
		len(got.Subscribers) != 1 || got.Subscribers[0].Behind != 3 || got.Subscribers[0].PID != os.Getpid() ||
		len(got.Publishers) != 1 || got.Publishers[0].Messages != 10 || got.Publishers[0].Bytes != got.Bytes {
		t.Errorf("topic %+v", got)
	}
	if got := statistics.Connections; len(got) != 1 || got[0].Name != "test" || got[0].Client != os.Getpid() ||
		got[0].ToServer == 0 || got[0].ToServer != got[0].ToClient || got[0].WaitServer != 0 {
		t.Errorf("connections %+v", got)
	}
}

func TestCountsOutliveTheirProcessesAndPlacesAreUsedAgain(t *testing.T) {
	b := newBus(t, Options{})
	for i := range componentLimit + 10 {
		c := b.component(uint32(i) % componentLimit)
		if i < componentLimit-1 { // as if that many components had come and gone
			c.owner.Store(2<<pidBits - 1)
			c.uid = uint32(i)
			c.counters.values[counterSets].Store(1)
		}
	}
	for i := range 3 {
		other := again(t, b)
		other.self += uint64(i+1) << pidBits // of another number: not alive, and not this handle
		other.become(uint32(5000+i), 1)
		other.openComponent("")
		if other.channels.component.owner.Load() != other.self {
			t.Fatalf("component %d has no place", i)
		}
	}
	info, err := b.Info()
	if err != nil || info.Counters.Sets != componentLimit-1 {
		t.Fatalf("%d sets, %v; want %d", info.Counters.Sets, err, componentLimit-1)
	}
}

func TestQuantilesOfAHistogram(t *testing.T) {
	var h histogram
	for range 90 {
		h.add(int64(5 * time.Microsecond))
	}
	for range 10 {
		h.add(int64(3 * time.Millisecond))
	}
	h.add(0)
	h.add(1 << 62)
	got := h.read()
	if got.Count() != 102 {
		t.Fatalf("%d were counted", got.Count())
	}
	for q, bounds := range map[float64][2]time.Duration{
		0: {0, 2}, 0.5: {4096, 8192}, 0.95: {2 << 20, 4 << 20}, 1: {1 << 31, 1 << 32},
	} {
		if d := got.Quantile(q); d < bounds[0] || d > bounds[1] {
			t.Errorf("quantile %v is %v, want %v", q, d, fmt.Sprint(bounds))
		}
	}
	if (Histogram{}).Quantile(0.5) != 0 {
		t.Error("the median of nothing")
	}
}
