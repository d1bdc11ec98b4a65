package assembly

import (
	"context"
	"sync"

	"runa/init/control"
	"runa/init/guardedbus"
	"runa/init/supervise"
)

// eventsKept is how many changes are kept for who asks later.
const eventsKept = 512

// events keeps the newest changes. Who follows and is too slow loses the oldest
// and is told how many.
type events struct {
	mu    sync.Mutex
	kept  []control.Event
	first uint64        // number of kept[0] since the start
	more  chan struct{} // closed and replaced when one is added
}

func newEvents() *events { return &events{more: make(chan struct{})} }

func (e *events) add(one control.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.kept) == eventsKept {
		e.kept = append(e.kept[:0], e.kept[1:]...)
		e.first++
	}
	e.kept = append(e.kept, one)
	close(e.more)
	e.more = make(chan struct{})
}

// since returns what is kept from the given number on, the number of the first
// of it, and a channel that is closed when there is more.
func (e *events) since(number uint64) ([]control.Event, uint64, <-chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	number = max(number, e.first)
	return append([]control.Event(nil), e.kept[number-e.first:]...), number, e.more
}

// changed is told every change of a service in order.
func (s *Services) changed(c supervise.Change) {
	s.bus.Changed(c.Service, guardedbus.State{State: c.State, Reason: c.Reason, PID: c.PID, Restarts: c.Restarts})
	s.events.add(control.Event{
		Time: c.Time, Service: c.Service, State: c.State, Reason: c.Reason, Class: c.Class, Rung: c.Rung,
		PID: c.PID, Restarts: c.Restarts, Version: c.Version, Lost: c.Lost,
	})
}

// Events hands over the kept changes and, with follow, every new one until the
// context ends or each fails.
func (s *Services) Events(ctx context.Context, follow bool, each func(control.Event) error) error {
	var next uint64
	for {
		list, from, more := s.events.since(next)
		for i, one := range list {
			if i == 0 && next > 0 {
				one.Lost += from - next
			}
			if err := each(one); err != nil {
				return err
			}
		}
		next = from + uint64(len(list))
		if !follow {
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
