package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"runa/init/control"
)

// watcher gathers what gilgul tells of its services since the last harm.
type watcher struct {
	mu     sync.Mutex
	events []control.Event
	broken error // the stream has ended

	began time.Time // of the harm; set by the one goroutine that does harm
}

// follow begins to gather.
func follow(ctx context.Context, client *control.Client) *watcher {
	w := &watcher{}
	go func() {
		err := client.Events(ctx, "", true, func(e control.Event) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.events = append(w.events, e)
			return nil
		})
		w.mu.Lock()
		defer w.mu.Unlock()
		w.broken = fmt.Errorf("the events have ended: %w", err)
	}()
	return w
}

// forget drops what was gathered, before a harm.
func (w *watcher) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = nil
	w.began = time.Now()
}

// now says that the harm is done now; what it took to prepare it does not count.
func (w *watcher) now() { w.began = time.Now() }

// detected is the first event since the harm in which gilgul names what is wrong.
func (w *watcher) detected(service string) (control.Event, bool) {
	return w.first(service, w.began, isDefect)
}

// healed is the first event after the detection in which the service is ready.
func (w *watcher) healed(service string) (control.Event, bool) {
	seen, ok := w.detected(service)
	if !ok {
		return control.Event{}, false
	}
	return w.first(service, seen.Time, func(e control.Event) bool { return e.State == "ready" && e != seen })
}

func isDefect(e control.Event) bool {
	return e.Class != "" && e.State != "ready" || e.State == "degraded" || e.State == "failed"
}

func (w *watcher) first(service string, after time.Time, is func(control.Event) bool) (control.Event, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.events {
		if e.Service == service && !e.Time.Before(after) && is(e) {
			return e, true
		}
	}
	return control.Event{}, false
}

// climbed says whether gilgul took the given step of the ladder for the service.
func (w *watcher) climbed(service, rung string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(w.events, func(e control.Event) bool { return e.Service == service && e.Rung == rung })
}

// whole is an error if the stream of events has ended or has lost some.
func (w *watcher) whole() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.events {
		if e.Lost > 0 {
			return fmt.Errorf("%d events were lost", e.Lost)
		}
	}
	return w.broken
}

// of tells a service's events in one line.
func (w *watcher) of(service string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var words []string
	for _, e := range w.events {
		if e.Service == service {
			words = append(words, fmt.Sprintf("%s %s (%s: %s)", e.Time.Sub(w.began).Round(time.Millisecond), e.State, e.Class, e.Reason))
		}
	}
	return "[" + strings.Join(words, "; ") + "]"
}
