// Package guardedbus is gilgul's place on the bus: it publishes each service's
// state under gilgul/service/NAME, hears who is ready and who still lives, asks
// services whether they answer, and grants everybody their rights. Gilgul must
// do without it: no step of a service's life fails because the bus does, and
// nothing that a service does to the bus's file ends gilgul.
package guardedbus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"runa/init/contain"
	"runa/services/splinter"
)

// ErrNoBus is returned while there is no bus.
var ErrNoBus = errors.New("the bus is not there yet")

// Bus is gilgul's handle of one bus. Its methods may be called from any goroutine.
type Bus struct {
	path   string
	maker  string // the service that makes the bus
	log    hclog.Logger
	grants map[uint32]splinter.Rights // by uid, given anew whenever the bus is opened

	mu       sync.Mutex
	open     *splinter.Bus
	opened   chan struct{} // closed and replaced when open was replaced
	prepared bool          // opened before its service counted as ready
	up       bool          // its service is ready; what is said while it isn't may not be heard
	beats    map[string]*beat
}

// New returns the place on the bus at path, which the service called maker
// makes: it can be opened when that is ready, and anew after each of its lives.
func New(path, maker string, log hclog.Logger, grants map[uint32]splinter.Rights) *Bus {
	return &Bus{path: path, maker: maker, log: log, grants: grants, opened: make(chan struct{}), beats: map[string]*beat{}}
}

// State is what is published of a service.
type State struct {
	State    string `json:"state"`
	Reason   string `json:"reason"`
	PID      int    `json:"pid"`
	Restarts int    `json:"restarts"`
}

// patience is how long gilgul waits for a lock that another process holds.
const patience = 2 * time.Second

// Changed publishes a service's new state; it is told every change in order.
func (b *Bus) Changed(service string, s State) {
	if service == b.maker {
		b.mu.Lock()
		b.up = s.State == "ready" || s.State == "degraded"
		b.mu.Unlock()
	}
	if service == b.maker && s.State == "ready" && !b.wasPrepared() {
		b.reopen() // a manifest by which the bus is ready without saying so
	}
	value, err := json.Marshal(s)
	if err != nil {
		b.log.Error("a service's state can't be published", "service", service, "reason", err)
		return
	}
	err = b.use(func(s *splinter.Bus) error { return s.Set("gilgul/service/"+service, value) })
	if err != nil && !errors.Is(err, ErrNoBus) {
		b.log.Warn("a service's state is not on the bus", "service", service, "reason", err)
	}
}

// Prepare is called when a service says it is ready, before those that need it
// start: by then their rights must be there.
func (b *Bus) Prepare(service string) {
	if service != b.maker {
		return
	}
	b.reopen()
	b.mu.Lock()
	b.prepared = true
	b.mu.Unlock()
}

// wasPrepared says whether Prepare has opened the bus of this life of its service.
func (b *Bus) wasPrepared() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	prepared := b.prepared
	b.prepared = false
	return prepared
}

func (b *Bus) reopen() {
	var fresh *splinter.Bus
	err := contain.Call("open the bus", func() (err error) {
		if fresh, err = splinter.OpenWith(b.path, splinter.Options{Patience: patience, Component: "gilgul"}); err == nil {
			b.grant(fresh)
		}
		return err
	})
	if err != nil {
		b.log.Warn("the bus can't be opened", "reason", err)
		return
	}
	b.mu.Lock()
	old := b.open
	b.open = fresh
	close(b.opened)
	b.opened = make(chan struct{})
	clear(b.beats)
	b.mu.Unlock()
	if old != nil {
		_ = contain.Call("close the bus", old.Close)
	}
}

// Close gives the bus back.
func (b *Bus) Close() {
	b.mu.Lock()
	old := b.open
	b.open = nil
	b.mu.Unlock()
	if old != nil {
		_ = contain.Call("close the bus", old.Close)
	}
}

// use runs do with the open bus. The file belongs to a service: one that cuts
// it off, or holds a lock for ever, makes using it a panic, which contain turns
// into an error. Such a handle is given up and the bus opened anew.
func (b *Bus) use(do func(*splinter.Bus) error) error {
	b.mu.Lock()
	open := b.open
	b.mu.Unlock()
	if open == nil {
		return ErrNoBus
	}
	err := contain.Call("use the bus", func() error { return do(open) })
	var defect *contain.Panic
	if errors.As(err, &defect) {
		b.giveUp(open)
	}
	return err
}

// giveUp leaves a handle that can't be used any more to itself.
func (b *Bus) giveUp(broken *splinter.Bus) {
	b.mu.Lock()
	mine := b.open == broken
	if mine {
		b.open = nil
	}
	b.mu.Unlock()
	if mine {
		_ = contain.Call("give up the bus", func() error { broken.Abandon(); return nil })
		b.reopen()
	}
}

// ForgetKey removes a key that an earlier life of a service left.
func (b *Bus) ForgetKey(key string) error {
	err := b.use(func(s *splinter.Bus) error { return s.Unset(key) })
	if errors.Is(err, splinter.ErrNotFound) {
		return nil
	}
	return err
}

// WaitKey returns when the key is on the bus.
func (b *Bus) WaitKey(ctx context.Context, key string) error {
	for {
		b.mu.Lock()
		opened := b.opened
		b.mu.Unlock()
		err := b.use(func(s *splinter.Bus) error {
			_, _, err := s.Wait(ctx, key, 0)
			return err
		})
		if err == nil || ctx.Err() != nil {
			return err
		}
		// No bus yet, or the one waited on was replaced: wait on the next.
		select {
		case <-opened:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// testKey is set and read again by SelfTest.
const testKey = "gilgul/probe"

// SelfTest sets a key and reads it again. The work is bounded by the context,
// not the goroutine: a bus whose lock never comes free keeps it.
func (b *Bus) SelfTest(ctx context.Context) error {
	return b.within(ctx, func(s *splinter.Bus) error {
		if err := s.Set(testKey, []byte("1")); err != nil {
			return fmt.Errorf("set a key: %w", err)
		}
		if _, _, err := s.Get(testKey); err != nil {
			return fmt.Errorf("get the key that was set: %w", err)
		}
		return nil
	})
}

// within is use that is given up when the context ends.
func (b *Bus) within(ctx context.Context, do func(*splinter.Bus) error) error {
	done := make(chan error, 1)
	contain.Go("ask the bus", func() { done <- b.use(do) })
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("no answer in time: %w", ctx.Err())
	}
}
