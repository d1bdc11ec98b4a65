package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"runa/services/splinter"
)

// worker is what the harms can do to the one goroutine where the service works,
// and so where its heart beats from: a worker that stands still is seen,
// whatever the other goroutines do.
type worker struct {
	began   chan struct{} // closed once the first piece of work is done
	hanging atomic.Bool   // it stands still for ever
	slow    atomic.Bool   // it works, but not often enough
	saving  atomic.Bool   // it writes a file as well, until it could
}

// run works four times in each period until ctx ends.
func (w *worker) run(ctx context.Context, s *service) error {
	count, err := s.count()
	if err != nil {
		return err
	}
	if err := s.work(&count); err != nil {
		return err
	}
	close(w.began)
	for degraded := false; ; {
		pause := s.beat / 4
		if w.slow.Load() {
			pause = s.beat * 5
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
		if w.hanging.Load() {
			<-ctx.Done()
			return nil
		}
		if err := s.work(&count); err != nil {
			return err
		}
		if w.saving.Load() {
			degraded = s.save(degraded)
			w.saving.Store(degraded)
		}
	}
}

// work sets the count on the bus, acknowledges it and beats, in this order. A
// service that has gone deaf only beats.
func (s *service) work(count *uint64) error {
	if !s.deafened.Load() {
		*count++
		if err := s.bus.Set(s.key("work"), strconv.AppendUint(nil, *count, 10)); err != nil {
			return err
		}
		if err := s.state.acknowledge(*count); err != nil {
			return err
		}
	}
	return s.told.Beat(s.bus)
}

// count is where the last life stopped: what it acknowledged must be on the bus.
func (s *service) count() (uint64, error) {
	value, _, err := s.bus.Get(s.key("work"))
	if errors.Is(err, splinter.ErrNotFound) {
		return s.state.acknowledged, nil // the first life on this bus
	}
	if err != nil {
		return 0, err
	}
	count, err := strconv.ParseUint(string(value), 10, 64)
	if err == nil && count < s.state.acknowledged {
		err = fmt.Errorf("a write is lost: %d was acknowledged", s.state.acknowledged)
	}
	if err != nil {
		return 0, fmt.Errorf("the count %q on the bus: %w", value, err)
	}
	return count, nil
}

// save writes a file, as a service does that keeps something, and returns
// whether it works in part only: with a full disk it goes on and says so.
func (s *service) save(degraded bool) bool {
	err := s.state.save()
	full := errors.Is(err, syscall.ENOSPC)
	switch {
	case full && !degraded:
		complain(s.told.Degraded("it cannot save: no space is left on /data"))
	case err == nil && degraded:
		complain(s.told.Well())
	case err != nil && !full:
		complain(err)
	}
	return full
}

func complain(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
	}
}
