package main

import (
	"cmp"
	"context"
	"errors"
	"time"

	"runa/services/splinter"
	"runa/services/supervised"
)

// service is one life of faulty.
type service struct {
	name  string
	beat  time.Duration // how often gilgul wants to see that it lives
	bus   *splinter.Bus
	told  *supervised.Supervised
	state *state
	hearing
	worker worker
}

// defaultBeat is the period without a manifest that names one.
const defaultBeat = time.Second

func open(env func(string) string) (*service, error) {
	told, err := supervised.FromEnvironment(env)
	if err != nil {
		return nil, err
	}
	if told.Service() == "" {
		return nil, errors.New("RUNA_SERVICE is not set: a service is started by gilgul, which sets it")
	}
	path := env("RUNA_BUS")
	if path == "" {
		path = splinter.DefaultPath
	}
	bus, err := splinter.Open(path)
	if err != nil {
		return nil, err
	}
	return &service{name: told.Service(), beat: cmp.Or(told.Period(), defaultBeat), bus: bus, told: told}, nil
}

func (s *service) key(what string) string { return "service/" + s.name + "/" + what }

// serve lives until ctx ends or an order ends it.
func (s *service) serve(ctx context.Context, forks int) error {
	// Orders are heard from here on: one that is given once this life is ready
	// is never missed, and one given to the life before never obeyed.
	_, obeyed, err := s.bus.Get(s.key("order"))
	if err != nil && !errors.Is(err, splinter.ErrNotFound) {
		return err
	}
	if s.state, err = openState("."); err != nil {
		return err
	}
	next, err := s.takeNext()
	if err != nil {
		return err
	}
	switch next {
	case "never-ready":
		<-ctx.Done()
		return nil
	case "false-ready":
		return s.lie(ctx)
	}
	if err := s.answerPings(ctx); err != nil {
		return err
	}
	failed := make(chan error, 2)
	s.worker.began = make(chan struct{})
	go func() { failed <- s.worker.run(ctx, s) }()
	select {
	case <-s.worker.began:
	case err := <-failed:
		return err
	}
	if err := s.told.Ready(); err != nil {
		return err
	}
	if next == "dies-when-ready" {
		return errors.New("this version ends as soon as it is ready")
	}
	go func() { failed <- s.obey(ctx, obeyed, harms{service: s, forks: forks}) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return nil
	}
}

// takeNext returns what this life is to do itself at its start and takes the
// order away, so that the life after it is a good one.
func (s *service) takeNext() (string, error) {
	if born != "" {
		return born, nil
	}
	value, _, err := s.bus.Get(s.key("next"))
	if errors.Is(err, splinter.ErrNotFound) || err == nil && len(value) == 0 {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return string(value), s.bus.Set(s.key("next"), nil)
}

// lie says that it is ready, and its heart beats, but it does nothing of what it
// is there for.
func (s *service) lie(ctx context.Context) error {
	if err := s.told.Ready(); err != nil {
		return err
	}
	for {
		if err := s.told.Beat(s.bus); err != nil {
			return err
		}
		select {
		case <-time.After(s.beat / 4):
		case <-ctx.Done():
			return nil
		}
	}
}

// obey waits for orders after the version that was there at the start.
func (s *service) obey(ctx context.Context, after uint64, h harms) error {
	for {
		order, version, err := s.bus.Wait(ctx, s.key("order"), after)
		if err != nil {
			return err
		}
		after = version
		if err := h.do(ctx, string(order)); err != nil {
			return err
		}
	}
}

// probe asks the service whether it works: its count has to go on.
func (s *service) probe(ctx context.Context) error {
	_, version, err := s.bus.Get(s.key("work"))
	if err != nil {
		return err
	}
	_, _, err = s.bus.Wait(ctx, s.key("work"), version)
	return err
}
