package gilgul

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"runa/init/contain"
	"runa/init/control"
	"runa/init/netguard"
	"runa/services/hint"
)

// This file lets a test do to gilgul what it must survive. It needs the kernel
// argument gilgul.faults=1, which only who boots the machine can give, and root.

// faultsOption is the name of that argument.
const faultsOption = "gilgul.faults"

// The faults that can be asked for.
const (
	panicNetguard      = "panic-netguard"
	panicControl       = "panic-control"
	exhaustDescriptors = "exhaust-descriptors"
)

// exhaustedFor is how long the descriptor table stays full.
const exhaustedFor = 3 * time.Second

// Sabotage does a fault of gilgul's own.
func (m *machine) Sabotage(kind string) error {
	if !m.faultsAllowed() {
		return hint.New(fmt.Errorf("do a fault: %w", control.ErrForbidden), "boot with %s=1, on a machine made for tests", faultsOption)
	}
	m.log.Warn("a fault was asked for", "kind", kind)
	switch kind {
	case panicNetguard:
		m.trip <- struct{}{}
		return nil
	case panicControl:
		panic("it was asked for")
	case exhaustDescriptors:
		contain.Go("hold all descriptors", holdDescriptors)
		return nil
	}
	return hint.New(fmt.Errorf("fault %q: %w", kind, control.ErrNotFound), "there are %s, %s, %s", panicNetguard, panicControl, exhaustDescriptors)
}

func (m *machine) faultsAllowed() bool {
	value, _ := m.line.Value(faultsOption)
	return value == "1"
}

// holdDescriptors opens files until no descriptor is left, and waits.
func holdDescriptors() {
	var held []*os.File
	for {
		f, err := os.Open(os.DevNull)
		if err != nil {
			break
		}
		held = append(held, f)
	}
	time.Sleep(exhaustedFor)
	for _, f := range held {
		f.Close()
	}
}

var errTripped = errors.New("it was asked for")

// trippedKernel is a kernel whose watch panics when it is asked to.
type trippedKernel struct {
	netguard.Kernel
	trip <-chan struct{}
}

// Watch is the kernel's own until the trip.
func (k trippedKernel) Watch(ctx context.Context, begun func(), change func(netguard.Interface)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var tripped atomic.Bool
	contain.Go("wait for a fault", func() {
		select {
		case <-k.trip:
			tripped.Store(true)
			cancel()
		case <-ctx.Done():
		}
	})
	err := k.Kernel.Watch(ctx, begun, change)
	if tripped.Load() {
		panic(errTripped)
	}
	return err
}

// kernelNetwork is the network that is guarded.
func (m *machine) kernelNetwork() netguard.Kernel {
	if m.faultsAllowed() {
		return trippedKernel{netguard.Rtnetlink{}, m.trip}
	}
	return netguard.Rtnetlink{}
}
