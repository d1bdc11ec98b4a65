package control

import (
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
)

func TestEventsAreStreamedOneByOne(t *testing.T) {
	f := newFake()
	c := NewClient(start(t, f, testSettings(root)))
	next := Event{Service: "splinfer", State: "ready", PID: 7}
	go func() { f.news <- next }()
	enough := errors.New("enough")
	var got []Event
	err := c.Events(t.Context(), "", true, func(event Event) error {
		if got = append(got, event); event.PID == next.PID {
			return enough
		}
		return nil
	})
	if want := append(someEvents[:2:2], next); !errors.Is(err, enough) || !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v, %v\nwant %+v", got, err, want)
	}
}

func TestEventsOfOneServiceSayHowManyWereLostBeforeThem(t *testing.T) {
	f := newFake()
	c := NewClient(start(t, f, testSettings(root)))
	go func() {
		f.news <- Event{Service: "splinfer", Lost: 3}
		f.news <- Event{Service: "splinter", Lost: 4}
	}()
	enough := errors.New("enough")
	var lost []uint64
	err := c.Events(t.Context(), "splinter", true, func(event Event) error {
		if event.Service != "splinter" {
			t.Errorf("got an event of %s", event.Service)
		}
		if lost = append(lost, event.Lost); event.Lost > 0 {
			return enough
		}
		return nil
	})
	if want := []uint64{0, 2 + 3 + 4}; !errors.Is(err, enough) || !reflect.DeepEqual(lost, want) {
		t.Fatalf("got %v, %v, want %v", lost, err, want)
	}
}

func TestAFollowerThatGoesAwayIsNoticedWhateverItWroteBefore(t *testing.T) {
	for name, behind := range map[string]string{"nothing": "", "a byte": "x", "much": strings.Repeat("x", 2*maxIdleTalk)} {
		t.Run(name, func(t *testing.T) {
			f := newFake()
			path, listener := startListening(t, f, testSettings(root))
			c := dialPatiently(t, path)
			io.WriteString(c, "GET /v1/events?follow=true HTTP/1.1\r\nHost: x\r\n\r\n")
			await(t, "it follows", func() bool { return f.readers.Load() == 1 })
			io.WriteString(c, behind)
			c.Close()
			await(t, "it is gone", func() bool {
				listener.door.mu.Lock()
				defer listener.door.mu.Unlock()
				return f.readers.Load() == 0 && len(listener.door.inside) == 0
			})
		})
	}
}
