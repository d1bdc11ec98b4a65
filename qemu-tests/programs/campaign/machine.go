package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"runa/init/control"
	"runa/services/splinter"
)

// machine is the machine that is hurt, as root in it sees it.
type machine struct {
	client   *control.Client
	bus      *splinter.Bus
	events   *watcher
	ledger   *ledger
	patience time.Duration // the bound of every wait; it decides nothing but when a failure is reported
	before   baseline
}

// openMachine waits until everything is ready and looks at what is there then:
// that is what it must look like after each fault.
func openMachine(ctx context.Context, obedient []string, patience time.Duration) (*machine, error) {
	m := &machine{client: control.NewClient(control.DefaultPath), patience: patience}
	if err := m.settle(ctx, "before the first fault", m.everybodyReady); err != nil {
		return nil, err
	}
	var err error
	if m.bus, err = splinter.Open(splinter.DefaultPath); err != nil {
		return nil, err
	}
	for _, name := range obedient {
		if _, err := m.service(ctx, name); err != nil {
			return nil, err
		}
	}
	m.events = follow(ctx, m.client)
	m.ledger = keepLedger(ctx, m.bus)
	m.before, err = m.look()
	return m, err
}

func (m *machine) close() { m.bus.Close() }

// pause is between two looks at something that is awaited.
const pause = 20 * time.Millisecond

// settle waits until look finds nothing wrong. What is wrong in passing, such as
// a dead process that nobody has reaped yet, may be; what stays is the error.
func (m *machine) settle(ctx context.Context, when string, look func(context.Context) error) error {
	deadline := time.Now().Add(m.patience)
	for {
		err := look(ctx)
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s, for %v: %w", when, m.patience, err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		}
	}
}

// calm is how long a service has been ready before it is hurt: long enough that
// a snapshot which gilgul takes of it has begun.
const calm = 1500 * time.Millisecond

// calmed is an error as long as the service has not forgotten what was done to it
// before: each fault shall be the first of a row, for which gilgul does the same.
func (m *machine) calmed(service string) func(context.Context) error {
	return func(ctx context.Context) error {
		s, err := m.service(ctx, service)
		if err == nil && (s.Failures != 0 || s.Probation || time.Since(s.Since) < calm) {
			err = fmt.Errorf("%s has %d failures, on probation %v, and is %s since %v", service, s.Failures, s.Probation, s.State, s.Since)
		}
		return err
	}
}

// hurt does one fault and waits until the machine has healed from it.
func (m *machine) hurt(ctx context.Context, f fault) (result, error) {
	if err := m.settle(ctx, "not calm", m.calmed(f.target)); err != nil {
		return result{}, err
	}
	before, err := m.client.Status(ctx)
	if err != nil {
		return result{}, err
	}
	m.events.forget()
	undo, err := injections[f.kind](ctx, m, f)
	began := m.events.began
	var seen control.Event
	if err == nil {
		seen, err = m.await(ctx, f.target, "detected", m.events.detected)
	}
	if undo != nil {
		err = errors.Join(err, undo())
	}
	if err != nil {
		return result{}, err
	}
	healed, err := m.await(ctx, f.target, "healed", m.events.healed)
	if err != nil {
		return result{}, err
	}
	if err := m.invariants(ctx, f, before); err != nil {
		return result{}, err
	}
	return result{fault: f, class: cmp.Or(seen.Class, seen.State), detected: seen.Time.Sub(began), recovered: healed.Time.Sub(began)}, nil
}

// await waits for an event of the service.
func (m *machine) await(ctx context.Context, service, what string, find func(string) (control.Event, bool)) (found control.Event, err error) {
	err = m.settle(ctx, "not "+what, func(context.Context) error {
		event, ok := find(service)
		if !ok {
			return fmt.Errorf("%s was not %s; its events are %s", service, what, m.events.of(service))
		}
		found = event
		return nil
	})
	return found, err
}

func (m *machine) service(ctx context.Context, name string) (control.ServiceStatus, error) {
	status, err := m.client.Status(ctx)
	if err != nil {
		return control.ServiceStatus{}, err
	}
	i := slices.IndexFunc(status.Services, func(s control.ServiceStatus) bool { return s.Name == name })
	if i < 0 {
		return control.ServiceStatus{}, fmt.Errorf("there is no service %s", name)
	}
	return status.Services[i], nil
}

// tell prints what helps to understand a failure: the state of each service and
// what gilgul logged last.
func (m *machine) tell(ctx context.Context, out io.Writer) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if status, err := m.client.Status(ctx); err == nil {
		for _, s := range status.Services {
			fmt.Fprintf(out, "%-12s %-9s pid %d, %d restarts, class %q, rung %q: %s\n", s.Name, s.State, s.PID, s.Restarts, s.Class, s.Rung, s.Reason)
		}
	}
	_ = m.client.Logs(ctx, "", 80, false, func(line control.LogLine) error {
		_, err := fmt.Fprintf(out, "log: %s: %s\n", line.Service, line.Text)
		return err
	})
}
