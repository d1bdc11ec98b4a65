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
	trace   [16]byte
	request rmp.Generate
	task    func(*engine) error // instead of request: what is done when nobody is being answered
	tokens  outbox
	notices chan rmp.Notice // what finds no room is dropped
	ended   chan outcome    // one outcome, after the last token
	moved   chan struct{}   // holds one signal that the job's place in the queue is another
}

func newJob(ctx context.Context, id string, trace [16]byte) *job {
	return &job{
		ctx: ctx, id: id, trace: trace, tokens: outbox{added: make(chan struct{}, 1)}, notices: make(chan rmp.Notice, 4),
		ended: make(chan outcome, 1), moved: make(chan struct{}, 1),
	}
}

// outbox holds the tokens of an answer until they are sent, so that computing
// never waits for a reader. The context bounds how many there can be.
type outbox struct {
	mu     sync.Mutex
	tokens []rmp.Token
	added  chan struct{} // holds one signal that there are some
}

func (o *outbox) put(t rmp.Token) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.tokens = append(o.tokens, t)
	select {
	case o.added <- struct{}{}:
	default:
	}
}

// take empties the box.
func (o *outbox) take() []rmp.Token {
	o.mu.Lock()
	defer o.mu.Unlock()
	tokens := o.tokens
	o.tokens = nil
	return tokens
}

// outcome ends a job: err nil says done holds.
type outcome struct {
	done rmp.Done
	err  error
}

func (j *job) background() bool { return j.request.Priority == rmp.PriorityBackground }

// tell gives the asker a remark if they have read those before.
func (j *job) tell(code, text string) {
	select {
	case j.notices <- rmp.Notice{Code: code, Text: text}:
	default:
	}
}

// queue holds the jobs that wait: those of persons first, then those in the
// background, each by age.
type queue struct {
	limit int
	mu    sync.Mutex
	jobs  []*job
	added chan struct{} // holds one signal that a job may be there
}

func newQueue(limit int) *queue {
	return &queue{limit: limit, added: make(chan struct{}, 1)}
}

// push puts a job behind those that go before it and returns how many wait; it
// reports false when limit jobs wait already.
func (q *queue) push(j *job) (waiting int, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.jobs) >= q.limit {
		return len(q.jobs), false
	}
	at := len(q.jobs)
	for !j.background() && at > 0 && q.jobs[at-1].background() {
		at--
	}
	q.jobs = slices.Insert(q.jobs, at, j)
	q.changed(at + 1)
	q.wake()
	return len(q.jobs), true
}

// wake makes the computing goroutine look around.
func (q *queue) wake() {
	select {
	case q.added <- struct{}{}:
	default:
	}
}

// changed tells the jobs from an index on that they stand elsewhere; mu is held.
func (q *queue) changed(from int) {
	for _, j := range q.jobs[from:] {
		select {
		case j.moved <- struct{}{}:
		default:
		}
	}
}

// place is a job's place, 1 for the next, and how many wait; 0 if it does not.
func (q *queue) place(j *job) (place, waiting int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Index(q.jobs, j) + 1, len(q.jobs)
}

// length is how many jobs wait.
func (q *queue) length() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.jobs)
}

// first is the job that is next, nil for none.
func (q *queue) first() *job {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.jobs) == 0 {
		return nil
	}
	return q.jobs[0]
}

// remove takes a job out; it reports false if the job doesn't wait any more.
func (q *queue) remove(j *job) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.Index(q.jobs, j)
	if i < 0 {
		return false
	}
	q.jobs = slices.Delete(q.jobs, i, i+1)
	q.changed(i)
	return true
}
