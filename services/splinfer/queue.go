package splinfer

import (
	"context"
	"slices"
	"sync"

	"runa/services/rmp"
)

// job is one request on its way through the queue and the computing goroutine.
type job struct {
	ctx     context.Context // ends when the asker goes away
	id      string          // for logs
	request rmp.Generate
	tokens  chan rmp.Token // room for a whole answer, so that computing never waits for a reader
	ended   chan outcome   // one outcome, after the last token
}

// outcome ends a job: err nil says done holds.
type outcome struct {
	done rmp.Done
	err  error
}

// queue holds the jobs that wait, oldest first.
type queue struct {
	limit int
	mu    sync.Mutex
	jobs  []*job
	added chan struct{} // holds one signal that a job may be there
}

func newQueue(limit int) *queue {
	return &queue{limit: limit, added: make(chan struct{}, 1)}
}

// push puts a job at the end and returns how many wait before it; it reports
// false when limit jobs wait already.
func (q *queue) push(j *job) (before int, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.jobs) >= q.limit {
		return len(q.jobs), false
	}
	q.jobs = append(q.jobs, j)
	select {
	case q.added <- struct{}{}:
	default:
	}
	return len(q.jobs) - 1, true
}

// length is how many jobs wait.
func (q *queue) length() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.jobs)
}

// remove takes a job out whose asker went away; it reports false if the job
// doesn't wait any more.
func (q *queue) remove(j *job) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.Index(q.jobs, j)
	if i < 0 {
		return false
	}
	q.jobs = slices.Delete(q.jobs, i, i+1)
	return true
}

// pop waits for a job and takes the oldest; nil means ctx has ended.
func (q *queue) pop(ctx context.Context) *job {
	for {
		q.mu.Lock()
		if len(q.jobs) > 0 && ctx.Err() == nil {
			j := q.jobs[0]
			q.jobs = slices.Delete(q.jobs, 0, 1)
			q.mu.Unlock()
			return j
		}
		q.mu.Unlock()
		select {
		case <-q.added:
		case <-ctx.Done():
			return nil
		}
	}
}
