package splinter

import (
	"context"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"runa/services/rmp"
)

func benchBus(b *testing.B) *Bus {
	b.Helper()
	bus, err := Create(b.TempDir()+"/bus", Options{Heap: 32 << 20})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { bus.Close() })
	return bus
}

// drain reads until the subscription is closed and says how many came.
func drain(s *Subscription) chan int {
	done := make(chan int)
	go func() {
		n := 0
		for {
			m, err := s.Receive(context.Background())
			if err != nil {
				done <- n
				return
			}
			n++
			m.Release()
		}
	}()
	return done
}

func benchmarkPublish(b *testing.B, subscribers int) {
	bus := benchBus(b)
	topic := newTopic(b, bus, "bench", TopicOptions{Depth: 1024})
	var all []*Subscription
	for range subscribers {
		s := subscribe(b, topic, SubscribeOptions{})
		drain(s)
		all = append(all, s)
	}
	f := binaryFrame(b, 64)
	b.ReportAllocs()
	defer processorTime(b)()
	for b.Loop() {
		f.MsgID++
		if err := topic.Publish(context.Background(), f); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	for _, s := range all {
		if d := s.Dropped().Total(); d > 0 {
			b.Logf("%d of %d were dropped", d, b.N)
		}
		s.Close()
	}
}

func binaryFrame(b *testing.B, size int) rmp.Frame {
	f, err := rmp.New(rmp.SchemaToken, time.Now(), [16]byte{1}, 0, make([]byte, size))
	if err != nil {
		b.Fatal(err)
	}
	f.TTLMs = 1 << 40
	return f
}

func BenchmarkPublishToOne(b *testing.B)   { benchmarkPublish(b, 1) }
func BenchmarkPublishToEight(b *testing.B) { benchmarkPublish(b, 8) }
func BenchmarkPublishToNone(b *testing.B)  { benchmarkPublish(b, 0) }

// processorTime reports the processor time of an operation beside its duration:
// it says more on a machine that does other things too.
func processorTime(b *testing.B) func() {
	b.Helper()
	spent := func() time.Duration {
		var usage unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
			b.Fatal(err)
		}
		return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	}
	begin := spent()
	return func() { b.ReportMetric(float64(spent()-begin)/float64(b.N), "cpu-ns/op") }
}

// One goroutine publishes and receives in turn: the sum of both costs, no waking.
func BenchmarkPublishAndReceive(b *testing.B) {
	bus := benchBus(b)
	topic := newTopic(b, bus, "bench", TopicOptions{})
	s := subscribe(b, topic, SubscribeOptions{})
	f := binaryFrame(b, 64)
	b.ReportAllocs()
	defer processorTime(b)()
	for b.Loop() {
		f.MsgID++
		if err := topic.Publish(context.Background(), f); err != nil {
			b.Fatal(err)
		}
		m, err := s.Receive(context.Background())
		if err != nil {
			b.Fatal(err)
		}
		m.Release()
	}
}

func BenchmarkLoan64KPublish(b *testing.B) {
	bus := benchBus(b)
	topic := newTopic(b, bus, "bench", TopicOptions{Depth: 64, Bytes: 8 << 20})
	s := subscribe(b, topic, SubscribeOptions{})
	drain(s)
	h := binaryFrame(b, 0).Header
	b.ReportAllocs()
	defer processorTime(b)()
	for b.Loop() {
		h.MsgID++
		l, err := topic.Loan(64 << 10)
		if err != nil {
			b.Fatal(err)
		}
		l.Bytes()[0] = 1
		if err := l.Publish(context.Background(), h); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	s.Close()
}
