package supervise

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"runa/init/lifecycle"
	"runa/services/hint"
)

// DataReady tells that /data is mounted (nil) or why it is not. Services with
// data: true wait for it; one that runs as another version than /data holds is
// started again.
func (s *Supervisor) DataReady(err error) {
	s.post(func() {
		s.data = dataState{true, err}
		for _, one := range s.order {
			version, _ := s.options.System.Version(one.Name)
			if one.state.Process != lifecycle.Absent && version != one.version {
				s.feed(one, lifecycle.Event{Kind: lifecycle.RestartRequested, Reason: "its version " + version + " is there now"})
			}
		}
	})
}

// Start starts a service, and what it needs if that is stopped.
func (s *Supervisor) Start(name string) error {
	return s.request(name, "start", func(one *service) error {
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
	return s.request(name, "", func(one *service) error {
		s.feed(one, lifecycle.Event{Kind: lifecycle.StopRequested})
		return nil
	})
}

// Restart stops a service and starts it again.
func (s *Supervisor) Restart(name string) error {
	return s.request(name, "restart", func(one *service) error {
		s.feed(one, lifecycle.Event{Kind: lifecycle.RestartRequested})
		return nil
	})
}

// request runs act on a service in Run's goroutine; what (such as "start"), if
// it is not "", names what is refused while the system goes down.
func (s *Supervisor) request(name, what string, act func(*service) error) error {
	one, there := s.byName[name]
	if !there {
		return hint.New(fmt.Errorf("%w: %q", ErrUnknown, name), "the services are: %s", strings.Join(s.names(), ", "))
	}
	err := fmt.Errorf("ask the supervisor: %w", ErrShuttingDown)
	s.do(func() {
		if s.shutting && what != "" {
			err = fmt.Errorf("%s %s: %w", what, name, ErrShuttingDown)
			return
		}
		err = act(one)
	})
	return err
}

func (s *Supervisor) names() []string {
	var names []string
	for _, one := range s.order {
		names = append(names, one.Name)
	}
	return names
}

// Update gives a service a program, by its absolute path, as its next version
// and starts it, on probation. It returns when the version is installed; whether
// it passes its probation is told as events. The service is not touched when the
// program can't be installed.
func (s *Supervisor) Update(name, program string) error {
	if !filepath.IsAbs(program) {
		return hint.New(fmt.Errorf("update %s: %q is not an absolute path", name, program), "write the whole path of the program")
	}
	answer := make(chan error, 1)
	err := s.request(name, "update", func(one *service) error {
		if one.updating || one.state.Work != lifecycle.Idle {
			return hint.New(fmt.Errorf("update %s: %w", name, ErrBusy), "try again in a moment")
		}
		one.updating = true
		if one.rules.Snapshot > 0 && one.state.Phase == lifecycle.Ready {
			s.snapshot(one) // what the version before can work with
		}
		s.install(one, program, answer)
		return nil
	})
	if err != nil {
		return err
	}
	select {
	case err = <-answer:
	case <-s.done:
		err = ErrShuttingDown
	}
	if err != nil {
		return fmt.Errorf("update %s: %w", name, err)
	}
	return nil
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
		s.post(s.killInHurry)
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

func (s *Supervisor) killInHurry() {
	s.hurry = true
	for _, one := range s.order {
		s.feed(one, lifecycle.Event{Kind: lifecycle.StopRequested})
		s.options.System.Kill(one.Name)
	}
}
