package gilgul

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"

	"github.com/hashicorp/go-hclog"

	"runa/init/supervise"
	"runa/services/splinter"
)

// busService is the service that makes the bus. What it makes can be opened
// when it is ready, and anew after each of its lives.
const busService = "splinter"

// bus is gilgul's place on the bus: it publishes each service's state under
// gilgul/service/NAME and hears who is ready. Gilgul must do without it: no
// step of a service's life fails because the bus does.
type bus struct {
	path   string
	log    hclog.Logger
	grants map[uint32]splinter.Rights // by uid, given anew whenever the bus is opened

	mu       sync.Mutex
	open     *splinter.Bus
	opened   chan struct{} // closed and replaced when open was replaced
	prepared bool          // opened before its service counted as ready
}

func newBus(path string, log hclog.Logger, grants map[uint32]splinter.Rights) *bus {
	return &bus{path: path, log: log, grants: grants, opened: make(chan struct{})}
}

var errNoBus = errors.New("the bus is not there yet")

// changed is told every change of a service's state, in order.
func (b *bus) changed(c supervise.Change) {
	if c.Service == busService && c.State == "ready" && !b.wasPrepared() {
		b.reopen() // a manifest by which the bus is ready without saying so
	}
	value, err := json.Marshal(map[string]any{
		"state": c.State, "reason": c.Reason, "pid": c.PID, "restarts": c.Restarts,
	})
	if err != nil {
		b.log.Error("a service's state can't be published", "service", c.Service, "reason", err)
		return
	}
	err = b.use(func(s *splinter.Bus) error { return s.Set("gilgul/service/"+c.Service, value) })
	if err != nil && !errors.Is(err, errNoBus) {
		b.log.Warn("a service's state is not on the bus", "service", c.Service, "reason", err)
	}
}

// wasPrepared says whether prepare has opened the bus of this life of its service.
func (b *bus) wasPrepared() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	prepared := b.prepared
	b.prepared = false
	return prepared
}

func (b *bus) reopen() {
	var fresh *splinter.Bus
	err := guard(func() (err error) {
		if fresh, err = splinter.Open(b.path); err == nil {
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
	b.mu.Unlock()
	if old != nil {
		_ = guard(old.Close)
	}
}

// use runs do with the open bus.
func (b *bus) use(do func(*splinter.Bus) error) error {
	b.mu.Lock()
	open := b.open
	b.mu.Unlock()
	if open == nil {
		return errNoBus
	}
	return guard(func() error { return do(open) })
}

// guard runs what touches the bus's file. That belongs to a service: one that
// cuts it off makes reading it a fault, which must not be the end of PID 1.
func guard(do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("use the bus: its file is damaged: %v", p)
		}
	}()
	return do()
}

// forget removes a key that an earlier life of a service left.
func (b *bus) forget(key string) error {
	err := b.use(func(s *splinter.Bus) error { return s.Unset(key) })
	if errors.Is(err, splinter.ErrNotFound) {
		return nil
	}
	return err
}

// wait returns when the key is on the bus.
func (b *bus) wait(ctx context.Context, key string) error {
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
