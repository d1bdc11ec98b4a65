package supervise

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"runa/init/contain"
	"runa/init/control"
	"runa/init/lifecycle"
	"runa/init/manifest"
)

// Errors of requests.
var (
	ErrUnknown      = errors.New("no such service")
	ErrShuttingDown = errors.New("the system is going down")
	ErrBusy         = errors.New("its version or its state is being changed just now")
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
	Class    string // lifecycle.Class of the newest failure, "" when it is forgotten
	Rung     string // lifecycle.Rung taken for it
	PID      int
	Restarts int
	Version  string // "" is the program of the image
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
	hurry    bool     // shutting down, and no work is waited for
	jobs     int      // works on states and versions that are under way
	untold   []func() // logs and tells what happened in this step
	faults   map[lifecycle.Class]uint64
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
	version   string
	life      int  // counts spawns; tells late reports from news
	leftover  bool // processes of its last life that cannot be killed
	nextStart time.Time
	timers    map[lifecycle.Timer]func() // cancel
	cancelBus context.CancelFunc

	probe      int      // number of the newest probe; answers to earlier ones are late
	question   int      // number of the newest question to the policy program
	working    bool     // a work on its state or version is under way
	works      []func() // and these wait for its end
	aside      Aside    // the state that is set aside, if one is
	clearing   bool     // it starts when nothing that needs it runs
	updating   bool
	complaints complaints
	story      story
}

// New makes a supervisor of services sorted by manifest.Order.
func New(services []manifest.Service, o Options) *Supervisor {
	if o.Log == nil {
		o.Log = hclog.NewNullLogger()
	}
	s := &Supervisor{
		options: o, byName: map[string]*service{}, inbox: make(chan func()),
		done: make(chan struct{}), allUp: make(chan struct{}), atRest: make(chan struct{}),
		faults: map[lifecycle.Class]uint64{},
	}
	needed := neededOf(services)
	for _, m := range services {
		one := &service{
			Service: m, rules: rulesOf(m, needed[m.Name]), since: o.System.Now(),
			timers: map[lifecycle.Timer]func(){}, cancelBus: func() {},
		}
		s.order = append(s.order, one)
		s.byName[m.Name] = one
	}
	return s
}

// Run starts all services and looks after them until Shutdown has ended them
// (nil) or the context ends; then it kills all of them at once. A defect of its
// own in one step does not keep it from the next.
func (s *Supervisor) Run(ctx context.Context) error {
	defer close(s.done)
	defer s.changes.close()
	if s.options.OnChange != nil {
		feed, _ := s.changes.subscribe()
		contain.Go("tell changes of services", func() {
			for change := range feed {
				s.options.OnChange(change)
			}
		})
	}
	s.context = ctx
	s.step(func() {
		for _, one := range s.order {
			s.feed(one, lifecycle.Event{Kind: lifecycle.StartRequested})
		}
	})
	for {
		select {
		case f := <-s.inbox:
			s.step(f)
		case <-s.atRest:
			return nil
		case <-ctx.Done():
			s.killAll()
			return ctx.Err()
		}
	}
}

// step does one thing and what follows of it; then, when all processes that
// were to be made are asked for, it tells about it.
func (s *Supervisor) step(f func()) {
	_ = contain.Call("look after the services", func() error {
		f()
		s.settle()
		return nil
	})
	_ = contain.Call("tell what happened to the services", func() error { s.tellAll(); return nil })
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

// AllReady is closed when, for the first time, every service is ready (if only
// in part) or done.
func (s *Supervisor) AllReady() <-chan struct{} { return s.allUp }

// Events returns a stream of all changes from now on. A reader that is too slow
// loses the oldest and is told how many. cancel ends the stream.
func (s *Supervisor) Events() (events <-chan Change, cancel func()) { return s.changes.subscribe() }

// look runs f, which reads the supervisor's state, in Run's goroutine, or here
// when that has ended and nothing changes any more.
func (s *Supervisor) look(f func()) {
	if !s.do(f) {
		f()
	}
}

// Status tells the state of every service, in the order of their needs.
func (s *Supervisor) Status() []control.ServiceStatus {
	all := make([]control.ServiceStatus, 0, len(s.order))
	s.look(func() {
		for _, one := range s.order {
			all = append(all, one.status())
		}
	})
	for i := range all {
		if all[i].PID == 0 {
			continue
		}
		usage := s.options.System.Usage(all[i].Name)
		all[i].MemoryBytes, all[i].OpenFiles, all[i].Processes, all[i].CPU = usage.MemoryBytes, usage.OpenFiles, usage.Processes, usage.CPU
	}
	return all
}

func (one *service) status() control.ServiceStatus {
	return control.ServiceStatus{
		Name: one.Name, State: one.state.Phase.String(), Reason: one.state.Reason, PID: one.pid,
		Since: one.since, Restarts: one.state.Restarts, NextStart: one.nextStart, Needs: one.Needs,
		Class: string(one.state.Class), Rung: string(one.state.Rung), Failures: one.state.Failures,
		Version: one.version, Probation: one.state.Probation,
	}
}

// Faults counts the failures seen since the start by class; every class is in it.
func (s *Supervisor) Faults() map[string]uint64 {
	counts := map[string]uint64{}
	s.look(func() {
		for _, class := range lifecycle.Classes() {
			counts[string(class)] = s.faults[class]
		}
	})
	return counts
}
