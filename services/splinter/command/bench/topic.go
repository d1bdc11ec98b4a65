package bench

import (
	"encoding/binary"
	"fmt"
	"time"

	"runa/services/rmp"
	"runa/services/splinter"
)

// The topics of the bench: subscribers that are behind hold their publisher up,
// as a full socket does, so all of them get all messages.
var topicOptions = splinter.TopicOptions{Depth: 1024, Policy: splinter.Block}

func topicName(subscribers int) string { return fmt.Sprintf("bench/%d", subscribers) }

func (p *peer) subscribeBus(subscribers, messages int) (uint64, int, error) {
	topic, err := p.bus.Topic(topicName(subscribers), topicOptions)
	if err != nil {
		return 0, 0, err
	}
	waiting := make(chan *splinter.Subscription, subscribers)
	for range subscribers {
		s, err := topic.Subscribe(splinter.SubscribeOptions{})
		if err != nil {
			return 0, 0, err
		}
		defer s.Close()
		waiting <- s
	}
	fmt.Fprintln(p.out, "ok 0 0")
	return together(subscribers, func() (func() (int, error), error) {
		s := <-waiting
		// On a machine so busy that a subscriber does not run for BlockLimit the oldest
		// messages are dropped for it, never the last one.
		return func() (received int, err error) {
			for last := false; !last; received++ {
				m, err := s.Receive(p.ctx)
				if err != nil {
					return received, err
				}
				last = m.MsgID == uint64(messages)
				m.Release()
			}
			return received, nil
		}, nil
	})
}

// publisher publishes frames with messageSize bytes, numbered from 1.
func (b *bench) publisher(topic *splinter.Topic) (func() error, error) {
	trace := [16]byte{2}
	binary.LittleEndian.PutUint64(trace[8:], now()) // who numbers anew needs another
	frame, err := rmp.New(rmp.SchemaToken, time.Now(), trace, 0, make([]byte, messageSize))
	return func() error {
		frame.MsgID++
		return topic.Publish(b.ctx, frame)
	}, err
}

func (b *bench) busPublisher(subscribers int) (func() error, func(), error) {
	topic, err := b.bus.bus.Topic(topicName(subscribers), topicOptions)
	if err != nil {
		return nil, nil, err
	}
	publish, err := b.publisher(topic)
	return publish, func() {}, err
}

// calls: what publishing alone costs the caller, without waking or waiting for
// anybody: the only subscriber is this process, and it reads between the batches.
// The loan's payload is not written, as publishing it in place does not either.
func (b *bench) calls() ([]measurement, error) {
	topic, err := b.bus.bus.Topic("bench/calls", splinter.TopicOptions{Depth: 1024, Bytes: 8 << 20, Policy: splinter.Block})
	if err != nil {
		return nil, err
	}
	s, err := topic.Subscribe(splinter.SubscribeOptions{})
	if err != nil {
		return nil, err
	}
	b.atEnd(func() { s.Close() })
	publish, err := b.publisher(topic)
	if err != nil {
		return nil, err
	}
	header := rmp.Header{SchemaID: rmp.SchemaToken, CreatedAtMs: uint64(time.Now().UnixMilli()), TTLMs: 3600_000, TraceID: [16]byte{3}}
	lend := func() error {
		loan, err := topic.Loan(64 << 10)
		if err != nil {
			return err
		}
		header.MsgID++
		return loan.Publish(b.ctx, header)
	}
	batches := func(size int, call func() error) func(n int) (time.Duration, error) {
		return func(n int) (elapsed time.Duration, err error) {
			for done := 0; done < n; done += size {
				begin := time.Now()
				for range min(size, n-done) {
					if err := call(); err != nil {
						return 0, err
					}
				}
				elapsed += time.Since(begin)
				for range min(size, n-done) {
					m, err := s.Receive(b.ctx)
					if err != nil {
						return 0, err
					}
					m.Release()
				}
			}
			return elapsed, nil
		}
	}
	return []measurement{
		{names: []string{"publish 64 B, call"}, contender: "splinter", run: b.adaptive(batches(512, publish))},
		{names: []string{"loan 64 KiB, call"}, contender: "splinter", run: b.adaptive(batches(32, lend))},
	}, nil
}
