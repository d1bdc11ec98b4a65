package control

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
)

func TestAThousandWhoAskAtOnceCostTwo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		computed, release := 0, make(chan struct{})
		s := shared[int]{compute: func() (int, error) { <-release; computed++; return computed, nil }}
		var waiting sync.WaitGroup
		ask := func(want int) {
			waiting.Go(func() {
				if got, err := s.get(t.Context()); got != want || err != nil {
					t.Errorf("got %d, %v, want %d", got, err, want)
				}
			})
			synctest.Wait()
		}
		ask(1)
		for range 1000 {
			ask(2) // what is being computed now may be older than the question
		}
		close(release)
		waiting.Wait()
	})
}

func TestWhoGoesAwayDoesNotWaitForASlowAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := shared[int]{compute: func() (int, error) { <-release; return 1, nil }}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { _, err := s.get(ctx); done <- err }()
		synctest.Wait()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		close(release)
	})
}

func TestAPanicIsAnErrorForThoseWhoAsked(t *testing.T) {
	s := shared[int]{compute: func() (int, error) { panic("a defect") }}
	for range 2 {
		if _, err := s.get(t.Context()); err == nil {
			t.Error("no error")
		}
	}
}

func TestOfOneUserAFewRequestsAreWithTheBackend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gates
		ctx, cancel := context.WithCancel(t.Context())
		inside, refused := make(chan func(), 1000), make(chan error, 1000)
		enter := func(user uint32) {
			leave, err := g.enter(ctx, user)
			if err != nil {
				refused <- err
				return
			}
			inside <- leave
		}
		for range 100 {
			go enter(1000)
		}
		synctest.Wait()
		if n := len(inside); n != requestsAtOnce {
			t.Errorf("%d requests are inside", n)
		}
		go enter(0)
		synctest.Wait()
		if n := len(inside); n != requestsAtOnce+1 {
			t.Error("another user was kept out")
		}
		(<-inside)()
		synctest.Wait()
		if n := len(inside); n != requestsAtOnce+1 {
			t.Error("nobody took the place that was given back")
		}
		cancel()
		synctest.Wait()
		if n := len(refused); n != 100-requestsAtOnce-1 {
			t.Errorf("%d were told that they wait in vain", n)
		}
		for len(inside) > 0 {
			(<-inside)()
		}
		if n := len(g.byUser); n != 0 {
			t.Errorf("%d gates are kept for nobody", n)
		}
	})
}
