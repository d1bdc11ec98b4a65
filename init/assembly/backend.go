package assembly

import (
	"context"
	"errors"
	"fmt"

	"runa/init/control"
	"runa/init/logring"
	"runa/init/supervise"
	"runa/services/hint"
)

// This file answers what is asked at the control socket about services
// (control.Backend); what is asked about the machine is answered by who has one.

// Logs hands over kept lines and, with follow, new ones.
func (s *Services) Logs(ctx context.Context, service string, lines int, follow bool, each func(control.LogLine) error) error {
	send := func(l logring.Line) error {
		return each(control.LogLine{Time: l.Time, Service: l.Service, Text: l.Text, Lost: l.Lost})
	}
	if follow {
		return asControl(s.config.Logs.Follow(ctx, service, lines, send))
	}
	kept, err := s.config.Logs.Last(service, lines)
	if err != nil {
		return asControl(err)
	}
	for _, l := range kept {
		if err := send(l); err != nil {
			return err
		}
	}
	return nil
}

// asControl gives errors the meaning the protocol has for them.
func asControl(err error) error {
	for _, known := range []struct{ from, to error }{
		{logring.ErrNoLog, control.ErrNotFound},
		{supervise.ErrUnknown, control.ErrNotFound},
		{supervise.ErrBusy, control.ErrConflict},
		{supervise.ErrShuttingDown, control.ErrConflict},
	} {
		if errors.Is(err, known.from) {
			return fmt.Errorf("%w: %w", known.to, err)
		}
	}
	return err
}

// Service starts, stops or restarts one service.
func (s *Services) Service(name, action string) error {
	s.config.Log.Info("a person asks", "service", name, "action", action)
	switch action {
	case control.Start:
		return asControl(s.Supervisor.Start(name))
	case control.Stop:
		return asControl(s.Supervisor.Stop(name))
	case control.Restart:
		return asControl(s.Supervisor.Restart(name))
	}
	return hint.New(fmt.Errorf("%w: action %q", errors.ErrUnsupported, action), "use start, stop or restart")
}

// Explain tells what happened to a service, why, and what was done.
func (s *Services) Explain(service string) (control.Explanation, error) {
	e, err := s.Supervisor.Explain(service)
	return e, asControl(err)
}

// Update gives a service a new program, on probation.
func (s *Services) Update(service, program string) error {
	s.config.Log.Info("a person asks", "service", service, "action", "update")
	return asControl(s.Supervisor.Update(service, program))
}

// Faults counts what went wrong since the start, by class.
func (s *Services) Faults() map[string]uint64 { return s.Supervisor.Faults() }
