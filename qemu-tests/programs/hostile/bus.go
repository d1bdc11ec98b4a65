package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"runa/services/rmp"
	"runa/services/splinter"
)

// attempt is something that must be refused. do returns the refusal, or nil if
// there was none.
type attempt struct {
	name string
	do   func() error
}

// onTheBus are attempts of a service without any right on the bus.
func onTheBus(bus *splinter.Bus) []attempt {
	return []attempt{
		{"bus-key-of-another", func() error { return bus.Set("service/splinfer/ready", []byte("lies")) }},
		{"bus-key-removed", func() error { return bus.Unset("service/splinter/heartbeat") }},
		{"bus-key-read", func() error { _, _, err := bus.Get("service/splinfer/model"); return err }},
		{"bus-topic-publish", func() error { return publish(bus, "rlp/sys/drops") }},
		{"bus-topic-subscribe", func() error { return subscribe(bus, "rlp/sys/evictions") }},
		{"bus-name-of-another", func() error { _, err := bus.Listen("splinfer"); return err }},
		{"bus-dial", func() error { return dial(bus, "splinfer") }},
		{"bus-grant", func() error {
			return bus.Grant(uint32(os.Getuid()), splinter.Rights{Read: []string{"key:*"}, Write: []string{"key:*"}})
		}},
	}
}

func publish(bus *splinter.Bus, name string) error {
	topic, err := bus.Topic(name, splinter.TopicOptions{})
	if err != nil {
		return err
	}
	frame, err := rmp.New(rmp.SchemaCtrlRequest, time.Now(), [16]byte{1}, 1, rmp.CtrlRequest{Action: rmp.ActionPing})
	if err != nil {
		return fmt.Errorf("%w: %w", errUntried, err)
	}
	return topic.Publish(context.Background(), frame)
}

func subscribe(bus *splinter.Bus, name string) error {
	topic, err := bus.Topic(name, splinter.TopicOptions{})
	if err != nil {
		return err
	}
	_, err = topic.Subscribe(splinter.SubscribeOptions{})
	return err
}

func dial(bus *splinter.Bus, name string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, err := bus.Dial(ctx, name)
	return err
}

// errUntried means that an attempt could not be made.
var errUntried = errors.New("it could not be tried")
