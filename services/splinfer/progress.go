package splinfer

import (
	"context"
	"sync/atomic"
	"time"
)

// progress is what the computing goroutine leaves behind while it works, for
// others to see whether it does: it can be asked nothing itself, and what asks it
// must not wait for it. The zero value is that of one that has not begun.
type progress struct {
	steps    atomic.Uint64 // tokens, pieces of prompts, beginnings and ends of jobs
	waiting  atomic.Bool   // for a job
	deadline atomic.Int64  // of the step under way, ns since 1970
}

// The slowest machine that is served: what takes longer stands still. libllama
// tells nothing during one call, and only this goroutine makes any.
const (
	stepAllowance  = 5 * time.Second        // for any step
	tokenAllowance = 500 * time.Millisecond // for each token of a step
	loadRate       = 10 << 20               // bytes of a model in a second
)

// begin says that a step begins which may take the allowance beside stepAllowance.
func (p *progress) begin(now time.Time, allowance time.Duration) {
	p.deadline.Store(now.Add(stepAllowance + allowance).UnixNano())
	p.steps.Add(1)
}

// wait says that there is nothing to do but to wait for a job.
func (p *progress) wait() {
	p.waiting.Store(true)
	p.steps.Add(1)
}

// work says that a job is there.
func (p *progress) work(now time.Time) {
	p.begin(now, 0)
	p.waiting.Store(false)
}

func decodeAllowance(tokens int) time.Duration { return time.Duration(tokens) * tokenAllowance }

func loadAllowance(bytes uint64) time.Duration {
	return time.Duration(bytes/loadRate) * time.Second
}

// Alive returns a function that says whether the service has done a step since
// it was last called, is within the time of one, or has nothing to do. It is for
// one goroutine.
func (s *Service) Alive() func() bool {
	seen := uint64(0)
	return func() bool {
		steps := s.progress.steps.Load()
		alive := steps != seen || s.works()
		seen = steps
		return alive
	}
}

// works says whether the service has nothing to do or is within the time of a step.
func (s *Service) works() bool {
	if s.progress.waiting.Load() {
		return s.queue.length() == 0
	}
	return s.o.Now().UnixNano() < s.progress.deadline.Load()
}

// standstill is how long a ping looks for a step before it says that none is
// done, every pingLook.
const (
	standstill = 3 * time.Second
	pingLook   = 5 * time.Millisecond
)

// ill is why the service does not do its work, empty if it does. It is asked by
// the goroutines of connections and returns as soon as it sees that work is done.
func (s *Service) ill(ctx context.Context) string {
	seen := s.progress.steps.Load()
	limit, look := time.NewTimer(standstill), time.NewTicker(pingLook)
	defer limit.Stop()
	defer look.Stop()
	for !s.works() && s.progress.steps.Load() == seen {
		select {
		case <-look.C:
		case <-limit.C:
			return "its computation stands still"
		case <-ctx.Done():
			return "it is ending"
		}
	}
	return ""
}
