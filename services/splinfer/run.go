package splinfer

import (
	"context"
	"errors"
	"sync"

	"runa/services/splinfer/hook"
	"runa/services/splinter"
	"runa/services/supervised"
)

// ListenerName is the name clients dial on the bus.
const ListenerName = "splinfer"

// ModelKey is the bus key that holds the default model's name once splinfer is
// ready; it is empty while that model can't be used.
const ModelKey = "service/splinfer/model"

// Run serves on the bus at path until ctx ends. When the default model is
// loaded, or known to be unusable, it sets ModelKey and tells gilgul that it is
// ready, and degraded if need be; then it says that it lives while it computes.
func Run(ctx context.Context, path string, o Options, gilgul *supervised.Supervised) error {
	bus, err := splinter.OpenWith(path, splinter.Options{Component: gilgul.Service()})
	if err != nil {
		return err
	}
	defer bus.Close()
	state := &condition{bus: bus, gilgul: gilgul}
	o.Usable = func(model string, cause error) {
		if err := state.change(model, cause); err != nil {
			o.Log.Warn("what became of the default model can't be told", "reason", err.Error())
		}
	}
	if o.HookName != "" {
		o.Hook = hook.Sidecar(func(ctx context.Context) (hook.Conn, error) {
			conn, err := bus.Dial(ctx, o.HookName)
			if err != nil {
				return nil, err // not conn: a nil *Conn is no nil hook.Conn
			}
			return conn, nil
		}, hook.Options{Now: o.Now})
	}
	service, err := New(o)
	if err != nil {
		return err
	}
	listener, err := bus.Listen(ListenerName)
	if err != nil {
		return err
	}
	defer listener.Close()
	accept := func(ctx context.Context) (connection, error) {
		conn, err := listener.Accept(ctx)
		if err != nil {
			return nil, err // not conn: a nil *Conn is no nil connection
		}
		return conn, nil
	}
	var beating sync.WaitGroup
	defer beating.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	beating.Go(func() {
		if err := gilgul.Beating(ctx, bus, service.Alive()); err != nil {
			cancel() // the bus is closed: nobody can be served any more
		}
	})
	return service.Serve(ctx, accept, state.ready)
}

// condition is what gilgul and the bus were told of the default model.
type condition struct {
	bus    *splinter.Bus
	gilgul *supervised.Supervised

	mu    sync.Mutex
	begun bool // it was said that splinfer is ready
	cause error
}

// ready tells for the first time.
func (c *condition) ready(model string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.bus.Set(ModelKey, []byte(model)); err != nil {
		return err
	}
	if err := c.gilgul.Ready(); err != nil {
		return err
	}
	c.begun = true
	if c.cause != nil {
		return c.degraded()
	}
	return nil
}

// change tells what is new once splinfer was ready.
func (c *condition) change(model string, cause error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cause = cause
	if !c.begun {
		return nil
	}
	err := c.bus.Set(ModelKey, []byte(model))
	if cause != nil {
		return errors.Join(err, c.degraded())
	}
	return errors.Join(err, c.gilgul.Well())
}

// degraded names the model's file and what is wrong with it, never a request.
func (c *condition) degraded() error {
	return c.gilgul.Degraded("the default model can't be used: " + c.cause.Error())
}
