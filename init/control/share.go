package control

import (
	"context"
	"sync"

	"runa/init/contain"
)

// shared computes one value for all who ask at the same time, so that a
// thousand who ask cost little more than one. Who asks gets a value whose
// computation began after that.
type shared[T any] struct {
	compute func() (T, error)

	mu      sync.Mutex
	running bool
	next    *batch[T] // those who wait for the next computation
}

type batch[T any] struct {
	done  chan struct{}
	value T
	err   error
}

func (s *shared[T]) get(ctx context.Context) (T, error) {
	b := s.join()
	select {
	case <-b.done:
		return b.value, b.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

func (s *shared[T]) join() *batch[T] {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next == nil {
		s.next = &batch[T]{done: make(chan struct{})}
	}
	if !s.running {
		s.running = true
		contain.Go("answer what was asked at the control socket", s.run)
	}
	return s.next
}

// run computes until nobody waits.
func (s *shared[T]) run() {
	for b := s.take(); b != nil; b = s.take() {
		b.err = contain.Call("tell the status", func() (err error) {
			b.value, err = s.compute()
			return err
		})
		close(b.done)
	}
}

func (s *shared[T]) take() *batch[T] {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.next
	s.next = nil
	s.running = b != nil
	return b
}

// requestsAtOnce is how many requests of one user may be with the backend; more
// wait. It bounds what is left behind by clients that went away while
// the backend was slow.
const requestsAtOnce = 8

// gates bound the requests of each user that are with the backend.
type gates struct {
	mu     sync.Mutex
	byUser map[uint32]*gate
}

type gate struct {
	places chan struct{}
	users  int // inside or waiting
}

// enter waits for a place until ctx ends; leave gives it back.
func (g *gates) enter(ctx context.Context, user uint32) (leave func(), err error) {
	one := g.take(user)
	select {
	case one.places <- struct{}{}:
		return func() {
			<-one.places
			g.giveBack(user)
		}, nil
	case <-ctx.Done():
		g.giveBack(user)
		return nil, ctx.Err()
	}
}

func (g *gates) take(user uint32) *gate {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.byUser == nil {
		g.byUser = map[uint32]*gate{}
	}
	one := g.byUser[user]
	if one == nil {
		one = &gate{places: make(chan struct{}, requestsAtOnce)}
		g.byUser[user] = one
	}
	one.users++
	return one
}

func (g *gates) giveBack(user uint32) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if one := g.byUser[user]; one != nil {
		if one.users--; one.users == 0 {
			delete(g.byUser, user)
		}
	}
}
