// Package netguard keeps the appliance off every network: it takes each
// interface down at boot and again whenever anybody brings one up, and it tells
// what interfaces there are. It never brings an interface up.
package netguard

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"time"

	"github.com/hashicorp/go-hclog"
)

// Interface is one network interface of the machine.
type Interface struct {
	Index int
	Name  string
	Kind  string // the kernel's word: device, loopback, dummy, ...
	Up    bool   // administratively up: it could send
}

// Kernel is what the guard asks of the kernel.
type Kernel interface {
	Interfaces() ([]Interface, error)
	Down(Interface) error
	// Watch sends an interface each time it changes. The channel is closed
	// when messages may have been lost, or ctx is done.
	Watch(ctx context.Context) (<-chan Interface, error)
}

// Guard watches over the interfaces.
type Guard struct {
	kernel Kernel
	log    hclog.Logger
}

// New makes a guard; it does nothing until DownAll or Watch.
func New(kernel Kernel, log hclog.Logger) *Guard {
	return &Guard{kernel: kernel, log: log}
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

// DownAll takes down every interface that is up, the loopback among them.
func (g *Guard) DownAll() error {
	list, err := g.Interfaces()
	if err != nil {
		return err
	}
	var failed []error
	for _, i := range list {
		failed = append(failed, g.down(i))
	}
	return errors.Join(failed...)
}

func (g *Guard) down(i Interface) error {
	if !i.Up {
		return nil
	}
	if err := g.kernel.Down(i); err != nil {
		return fmt.Errorf("take network interface %s down: %w", i.Name, err)
	}
	g.log.Warn("a network interface was up and was taken down", "interface", i.Name, "kind", i.Kind)
	return nil
}

// retry is the pause between two tries to watch when the kernel refuses.
const retry = time.Second

// Watch takes down whatever comes up until ctx is done. When messages were
// lost it looks at every interface again.
func (g *Guard) Watch(ctx context.Context) {
	for ctx.Err() == nil {
		changes, err := g.kernel.Watch(ctx)
		if err != nil {
			g.log.Error("the network can't be watched", "reason", err)
			pause(ctx, retry)
			continue
		}
		// Only now: what came up before the watch began is seen by this.
		if err := g.DownAll(); err != nil {
			g.log.Error("the network is not off", "reason", err)
		}
		for i := range changes {
			if err := g.down(i); err != nil {
				g.log.Error("the network is not off", "reason", err)
			}
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
