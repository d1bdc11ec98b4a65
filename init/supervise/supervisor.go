package supervise

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"runa/init/control"
	"runa/init/lifecycle"
	"runa/init/manifest"
	"runa/services/hint"
)

// Errors of requests.
var (
	ErrUnknown      = errors.New("no such service")
	ErrShuttingDown = errors.New("the system is going down")
)

// Options are what a supervisor is made of besides its services.
type Options struct {
	System System
	Log    hclog.Logger // nil: no log
	// OnChange is told every change of a service in order, in a goroutine of
	// its own (such as: set the bus key gilgul/service/NAME).
	OnChange func(Change)
	// ForgetBusKey removes a key before a service starts that is ready by bus;
	// WaitBusKey waits until it is there. Without a bus both are nil, and such
	// services fail to start.
	ForgetBusKey func(key string) error
	WaitBusKey   func(ctx context.Context, key string) error
}

// Change is a service's new state.
type Change struct {
	Time     time.Time
	Service  string
	State    string // lifecycle.Phase as text
	Reason   string
	PID      int
	Restarts int
	Lost     uint64 // changes this subscriber missed just before
}

// BusKey is the key on which a service says that it is ready.
func BusKey(service string) string { return "service/" + service + "/ready" }

// Supervisor runs services. Make it with New, run it once with Run.
type Supervisor struct {
	options Options
	order   []*service // each after what it needs
	byName  map[string]*service
	inbox   chan func() // run one after another by Run
	done    chan struct{}
	allUp   chan struct{}
	atRest  chan struct{}
	changes broadcast

	// Owned by Run's goroutine:
	context  context.Context
	data     dataState
	shutting bool
	up, rest sync.Once
}

type dataState struct {
	known bool
	err   error
}

// service is one service as the supervisor's goroutine sees it.
type service struct {
	manifest.Service
	rules     lifecycle.Rules
	state     lifecycle.State
	since     time.Time
	pid       int
	life      int  // counts spawns; tells late reports from news
	leftover  bool // processes of its last life that cannot be killed
	nextStart time.Time
	timers    map[lifecycle.Timer]func() // cancel
	cancelBus context.CancelFunc
}

// New makes a supervisor of services sorted by manifest.Order.
func New(services []manifest.Service, o Options) *Supervisor {
	if o.Log == nil {
		o.Log = hclog.NewNullLogger()
	}
	s := &Supervisor{
		options: o, byName: map[string]*service{}, inbox: make(chan func()),
		done: make(chan struct{}), allUp: make(chan struct{}), atRest: make(chan struct{}),
	}
	for _, m := range services {
		one := &service{Service: m, rules: rulesOf(m), since: o.System.Now(), timers: map[lifecycle.Timer]func(){}, cancelBus: func() {}}
		s.order = append(s.order, one)
		s.byName[m.Name] = one
	}
	return s
}

// Run starts all services and looks after them until Shutdown has ended them
// (nil) or the context ends; then it kills all of them at once.
func (s *Supervisor) Run(ctx context.Context) error {
	defer close(s.done)
	defer s.changes.close()
	if s.options.OnChange != nil {
		feed, _ := s.changes.subscribe()
		go func() {
			for change := range feed {
				s.options.OnChange(change)
			}
		}()
	}
	s.context = ctx
	for _, one := range s.order {
		s.feed(one, lifecycle.Event{Kind: lifecycle.StartRequested})
	}
	for {
		s.settle()
		select {
		case f := <-s.inbox:
			f()
		case <-s.atRest:
			return nil
		case <-ctx.Done():
			s.killAll()
			return ctx.Err()
		}
	}
}

func (s *Supervisor) killAll() {
	for _, one := range s.order {
		one.cancelBus()
		for _, cancel := range one.timers {
			cancel()
		}
		s.options.System.Kill(one.Name)
	}
}

// post has f run by Run's goroutine and does not wait for it; after Run has
// ended it does nothing and returns false.
func (s *Supervisor) post(f func()) bool {
	select {
	case s.inbox <- f:
		return true
	case <-s.done:
		return false
	}
}

// do has f run by Run's goroutine and waits for it.
func (s *Supervisor) do(f func()) bool {
	ran := make(chan struct{})
	if !s.post(func() { defer close(ran); f() }) {
		return false
	}
	<-ran
	return true
}

// AllReady is closed when, for the first time, every service is ready or done.
func (s *Supervisor) AllReady() <-chan struct{} { return s.allUp }

// Events returns a stream of all changes from now on. A reader that is too slow
// loses the oldest and is told how many. cancel ends the stream.
func (s *Supervisor) Events() (events <-chan Change, cancel func()) { return s.changes.subscribe() }

// DataReady tells that /data is mounted (nil) or why it is not. Services with
// data: true wait for it.
func (s *Supervisor) DataReady(err error) {
	s.post(func() { s.data = dataState{true, err} })
}

// Start starts a service, and what it needs if that is stopped.
func (s *Supervisor) Start(name string) error {
	return s.request(name, func(one *service) error {
		if s.shutting {
			return fmt.Errorf("start %s: %w", name, ErrShuttingDown)
		}
		s.startWithNeeds(one)
		return nil
	})
}

func (s *Supervisor) startWithNeeds(one *service) {
	for _, need := range one.Needs {
		if n := s.byName[need]; n.state.Phase == lifecycle.Defined || n.state.Phase == lifecycle.Failed {
			s.startWithNeeds(n)
		}
	}
	s.feed(one, lifecycle.Event{Kind: lifecycle.StartRequested})
}

// Stop stops a service; those that need it keep running and say so.
func (s *Supervisor) Stop(name string) error {
	return s.request(name, func(one *service) error {
		s.feed(one, lifecycle.Event{Kind: lifecycle.StopRequested})
		return nil
	})
}

// Restart stops a service and starts it again.
func (s *Supervisor) Restart(name string) error {
	return s.request(name, func(one *service) error {
		if s.shutting {
			return fmt.Errorf("restart %s: %w", name, ErrShuttingDown)
		}
		s.feed(one, lifecycle.Event{Kind: lifecycle.RestartRequested})
		return nil
	})
}

func (s *Supervisor) request(name string, act func(*service) error) error {
	one, there := s.byName[name]
	if !there {
		return hint.New(fmt.Errorf("%w: %q", ErrUnknown, name), "the services are: %s", strings.Join(s.names(), ", "))
	}
	err := fmt.Errorf("ask the supervisor: %w", ErrShuttingDown)
	s.do(func() { err = act(one) })
	return err
}

func (s *Supervisor) names() []string {
	var names []string
	for _, one := range s.order {
		names = append(names, one.Name)
	}
	return names
}

// Shutdown ends all services in reverse order of their needs, each within its
// time-out. When the context ends first, all that is left is killed at once. It
// returns when nothing runs; the error names what could not be ended.
func (s *Supervisor) Shutdown(ctx context.Context) error {
	select {
	case s.inbox <- func() { s.shutting = true }:
	case <-s.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("end all services: the supervisor does not answer: %w", ctx.Err())
	}
	select {
	case <-s.done:
	case <-ctx.Done():
		s.post(func() {
			for _, one := range s.order {
				s.feed(one, lifecycle.Event{Kind: lifecycle.StopRequested})
				s.options.System.Kill(one.Name)
			}
		})
		<-s.done
	}
	var left []string
	for _, one := range s.order {
		if one.leftover {
			left = append(left, one.Name)
		}
	}
	if len(left) > 0 {
		return fmt.Errorf("end all services: %s cannot be killed", strings.Join(left, ", "))
	}
	return nil
}

// Status tells the state of every service, in the order of their needs.
func (s *Supervisor) Status() []control.ServiceStatus {
	all := make([]control.ServiceStatus, 0, len(s.order))
	collect := func() {
		for _, one := range s.order {
			all = append(all, control.ServiceStatus{
				Name: one.Name, State: one.state.Phase.String(), Reason: one.state.Reason, PID: one.pid,
				Since: one.since, Restarts: one.state.Restarts, NextStart: one.nextStart, Needs: one.Needs,
			})
		}
	}
	if !s.do(collect) {
		collect() // Run has ended: nothing changes any more
	}
	for i := range all {
		if all[i].PID != 0 {
			all[i].MemoryBytes = s.options.System.Memory(all[i].Name)
		}
	}
	return all
}
