package assembly

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"runa/init/control"
	"runa/init/logring"
)

func TestLinesOfTheLogReachWhoAsks(t *testing.T) {
	s := &Services{config: Config{Logs: logring.NewSet(logring.Options{})}}
	s.config.Logs.Ring("splinfer").Add("ready")
	var got []control.LogLine
	err := s.Logs(t.Context(), "splinfer", 10, false, func(l control.LogLine) error { got = append(got, l); return nil })
	if err != nil || len(got) != 1 || got[0].Text != "ready" || time.Since(got[0].Time) > time.Minute {
		t.Errorf("got %v, %v", got, err)
	}
	if err := s.Logs(t.Context(), "nobody", 10, false, nil); !errors.Is(err, control.ErrNotFound) {
		t.Errorf("an unknown service: %v", err)
	}
}

func TestWhoFollowsEventsGetsEachOnceAndIsToldOfLostOnes(t *testing.T) {
	s := &Services{events: newEvents()}
	for i := range eventsKept + 3 {
		s.events.add(control.Event{Service: "x", PID: i})
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	next, lost := 3, uint64(0)
	err := s.Events(ctx, true, func(e control.Event) error {
		if e.PID != next {
			return fmt.Errorf("got event %d, want %d", e.PID, next)
		}
		lost += e.Lost
		switch next++; next {
		case eventsKept + 3: // all that was kept: now it falls behind
			for i := range eventsKept + 10 {
				s.events.add(control.Event{Service: "x", PID: eventsKept + 3 + i})
			}
			next += 10
		case 2*eventsKept + 13:
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) || lost != 10 {
		t.Errorf("%d lost, %v", lost, err)
	}
}
