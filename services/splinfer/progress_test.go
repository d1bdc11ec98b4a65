package splinfer

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// bareService is one without a model, at a time that the test sets.
func bareService() (s *Service, now *time.Time) {
	now = new(time.Time)
	*now = time.Unix(1000, 0)
	s = &Service{queue: newQueue(4), o: Options{Now: func() time.Time { return *now }}.complete()}
	return s, now
}

func TestHavingNothingToDoCountsAsWork(t *testing.T) {
	s, now := bareService()
	s.progress.wait()
	alive := s.Alive()
	for range 5 {
		if !alive() {
			t.Fatal("a service that waits for a job is taken for dead")
		}
		*now = now.Add(time.Hour)
	}
}

func TestAJobThatNobodyTakesIsNoWork(t *testing.T) {
	s, _ := bareService()
	s.progress.wait()
	alive := s.Alive()
	alive()
	s.queue.push(&job{})
	if alive() {
		t.Error("it is said to work while a job waits and nobody computes")
	}
}

func TestAComputationLivesByItsStepsAndTheirTime(t *testing.T) {
	s, now := bareService()
	s.progress.work(*now)
	alive := s.Alive()
	alive()
	if !alive() {
		t.Error("a step that has just begun is no life")
	}
	*now = now.Add(2 * stepAllowance)
	if alive() {
		t.Error("a step that takes too long is life")
	}
	s.progress.begin(*now, decodeAllowance(512))
	*now = now.Add(4 * time.Minute)
	for range 2 {
		if !alive() {
			t.Error("512 tokens may take four minutes on the slowest machine")
		}
	}
	*now = now.Add(time.Minute)
	if alive() {
		t.Error("512 tokens in five minutes is life")
	}
	s.progress.begin(*now, 0)
	*now = now.Add(time.Hour)
	if !alive() {
		t.Error("a step since the last look is no life")
	}
	if alive() {
		t.Error("a step is counted twice")
	}
}

func TestAPingIsAnsweredByWhatTheComputationDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, now := bareService()
		s.progress.wait()
		began := time.Now()
		if ill := s.ill(t.Context()); ill != "" || time.Since(began) != 0 {
			t.Errorf("idle: %q after %v", ill, time.Since(began))
		}
		s.progress.work(*now)
		*now = now.Add(time.Hour)
		if ill := s.ill(t.Context()); ill != "its computation stands still" || time.Since(began) != standstill {
			t.Errorf("it stands still: %q after %v", ill, time.Since(began))
		}
		go func() {
			time.Sleep(time.Second)
			s.progress.steps.Add(1)
		}()
		if ill := s.ill(t.Context()); ill != "" {
			t.Errorf("a step came: %q", ill)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if ill := s.ill(ctx); ill == "" {
			t.Error("one that ends says that it is well")
		}
	})
}
