// Package netguard keeps the appliance off every network: it takes each
// interface down at boot and again whenever anybody brings one up. Only where a
// person has consented, to one interface and for a stated time, does it bring
// that one up, and it takes it down when the time is over.
//
// # What a reader may rely on
//
// Consent lives in memory only, so a reboot undoes it. It ends when its time is
// over, when it is revoked, when the interface is removed, and when Watch ends
// or meets a defect of its own: an interface that nobody watches over stays
// down. The decision and the change that follows from it are one step, so an
// end and a renewal at the same moment leave the interface as the later of them
// wants it. The consent is to the interface, not to its name: another one that
// gets the name has none.
//
// # What it must never do
//
// It must never bring up the loopback or an interface without consent, and
// never give up: what can't be taken down is tried again until it is down.
package netguard

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"runa/init/contain"
)

// Interface is one network interface of the machine.
type Interface struct {
	Index int
	Name  string
	Kind  string // the kernel's word: device, loopback, dummy, ...
	Up    bool   // administratively up: it could send
	Gone  bool   // it was removed; only in what Watch tells
}

// loopback is the kind of the interface lo.
const loopback = "loopback"

// Kernel is what the guard asks of the kernel.
type Kernel interface {
	Interfaces() ([]Interface, error)
	Up(Interface) error
	// Down takes an interface down. One that is gone is down.
	Down(Interface) error
	// Describe tells what hardware an interface is, as far as that is known.
	Describe(Interface) Hardware
	// Watch calls begun once nothing will be missed any more, and then change
	// each time an interface changes, both from within. It returns nil when
	// messages may have been lost or ctx is done.
	Watch(ctx context.Context, begun func(), change func(Interface)) error
}

// Guard watches over the interfaces. Its methods may be called from any
// goroutine.
type Guard struct {
	kernel Kernel
	log    hclog.Logger

	// act is held while an interface is changed, together with the decision.
	act sync.Mutex

	mu       sync.Mutex
	watching bool
	retrying bool
	consents map[int]*consent // by the interface's index
}

// New makes a guard; it does nothing until DownAll or Watch.
func New(kernel Kernel, log hclog.Logger) *Guard {
	return &Guard{kernel: kernel, log: log, consents: map[int]*consent{}}
}

// Interfaces lists the interfaces, sorted by name.
func (g *Guard) Interfaces() ([]Interface, error) {
	list, err := g.kernel.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list network interfaces: %w", err)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Name < list[j].Name })
	return list, nil
}

// DownAll takes down every interface that is up without consent, the loopback
// among them.
func (g *Guard) DownAll() error {
	list, err := g.Interfaces()
	if err != nil {
		return err
	}
	var failed []error
	for _, i := range list {
		failed = append(failed, g.check(i))
	}
	return errors.Join(failed...)
}

// check takes an interface down if it is up and may not be.
func (g *Guard) check(i Interface) error {
	if i.Gone {
		g.forget(i)
		return nil
	}
	if !i.Up {
		return nil
	}
	g.act.Lock()
	defer g.act.Unlock()
	if g.allowed(i) {
		return nil
	}
	if err := g.down(i); err != nil {
		return err
	}
	g.log.Warn("a network interface was up and was taken down", "interface", i.Name, "kind", i.Kind)
	return nil
}

// down takes an interface down; act is held.
func (g *Guard) down(i Interface) error {
	if err := g.kernel.Down(i); err != nil {
		return fmt.Errorf("take network interface %s down: %w", i.Name, err)
	}
	return nil
}

// retry is the pause between two tries when the kernel refuses; breath is the one
// before a watch that lost messages begins anew, so that a kernel which always
// loses some doesn't get all of a processor.
const (
	retry  = time.Second
	breath = 5 * time.Millisecond
)

// Watch takes down whatever comes up without consent until ctx is done. When
// messages were lost it looks at every interface again. A defect of its own
// ends every consent; then it goes on.
func (g *Guard) Watch(ctx context.Context) {
	defer g.leave()
	for ctx.Err() == nil {
		err := contain.Call("guard the network", func() error {
			return g.kernel.Watch(ctx, g.begun, g.changed)
		})
		var defect *contain.Panic
		if errors.As(err, &defect) {
			g.revokeAll("the guard of the network had a defect")
		}
		wait := breath
		if err != nil {
			g.log.Error("the network can't be watched", "reason", err)
			wait = retry
		}
		pause(ctx, wait)
	}
}

// begun is called when the watch has begun: what came up before is seen here.
func (g *Guard) begun() {
	g.mu.Lock()
	g.watching = true
	g.mu.Unlock()
	g.settle()
}

func (g *Guard) changed(i Interface) {
	if err := g.check(i); err != nil {
		g.log.Error("the network is not off", "reason", err)
		g.settleLater()
	}
}

// leave is the end of the watch: without it there is no consent.
func (g *Guard) leave() {
	g.mu.Lock()
	g.watching = false
	g.mu.Unlock()
	g.revokeAll("the guard of the network has ended")
}

// settle takes down what must be, and goes on trying until that is done.
func (g *Guard) settle() {
	err := contain.Call("take network interfaces down", g.DownAll)
	if err != nil {
		g.log.Error("the network is not off", "reason", err)
		g.settleLater()
	}
}

func (g *Guard) settleLater() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.retrying {
		return
	}
	g.retrying = true
	time.AfterFunc(retry, func() {
		g.mu.Lock()
		g.retrying = false
		g.mu.Unlock()
		g.settle()
	})
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
