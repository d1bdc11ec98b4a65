package splinfer

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"runa/services/hint"
	"runa/services/rmp"
	"runa/services/splinfer/hook"
	"runa/services/splinfer/llama"
	"runa/services/splinfer/persona"
)

// engine answers requests, many at once. Except for what others may read, all
// of it belongs to the computing goroutine.
type engine struct {
	o        Options
	library  *llama.Library
	folder   folder
	queue    *queue
	talks    *talks
	personas map[string]persona.Persona
	shelf    *shelf
	current  *loaded
	vectors  vectors
	name     atomic.Pointer[string] // of the current model, for others to read
	limits   limits                 // when it looked at the machine last
	threads  int                    // that compute now
	stats    stats                  // for others to read
	progress *progress              // what others see of the computing goroutine's work

	batch    llama.Batch
	drawing  []*turn      // memory of step
	clock    uint64       // of uses
	verdicts chan verdict // those of hooks that came later
	forgets  chan forget  // conversations that are to be deleted
	stopped  chan struct{}
	serving  context.Context // ends when the service stops: answers are left to be gone on with
	unusable error           // why the default model can't be used
	readRate float64
	lastSave time.Time
	lastSync time.Time
}

// verdict is one that a hook gave later; ok false says that the hook is gone.
type verdict struct {
	turn *turn
	hook.Verdict
	ok bool
}

// run computes until ctx ends and nobody is being answered any more.
func (e *engine) run(ctx context.Context) {
	e.serving = ctx
	for {
		e.hear()
		e.cancelled()
		if !e.ending() {
			e.adjust()
			e.seatAll()
		}
		e.saveSometimes()
		worked := e.vectors.step(e)
		if e.step() || worked {
			continue
		}
		if e.ending() && len(e.answering()) == 0 {
			return
		}
		e.wait()
	}
}

// ending says whether the service stops.
func (e *engine) ending() bool { return e.serving != nil && e.serving.Err() != nil }

// How long nothing happens at most: while answers wait for verdicts, and while
// there is nothing to do but to look at the machine now and then.
const (
	patience = time.Second
	idleLook = 10 * time.Second
)

// wait sleeps until there is something to do.
func (e *engine) wait() {
	idle := len(e.answering()) == 0
	if idle {
		e.progress.wait()
	}
	tick := time.NewTimer(patience)
	defer tick.Stop()
	switch {
	case idle && e.o.Pressure == nil:
		tick.Stop()
	case idle:
		tick.Reset(idleLook)
	}
	select {
	case <-e.queue.added:
	case v := <-e.verdicts:
		e.resume(v)
	case <-tick.C:
	case <-e.serving.Done():
	}
	e.progress.work(e.o.Now())
}

// hear takes the verdicts that have come.
func (e *engine) hear() {
	for {
		select {
		case v := <-e.verdicts:
			e.resume(v)
		case f := <-e.forgets:
			f.done <- e.forget(f.id)
		default:
			return
		}
	}
}

// cancelled ends the answers that nobody waits for any more, and all when the
// service stops.
func (e *engine) cancelled() {
	for _, t := range e.answering() {
		if e.ending() || t.job.ctx.Err() != nil {
			t.end(rmp.ReasonCancel, nil)
		}
	}
}

// seatAll begins what can be begun of what waits, in the order of the queue.
func (e *engine) seatAll() {
	for {
		j := e.queue.first()
		if j == nil {
			return
		}
		begun, err := e.begin(j)
		if !begun {
			return
		}
		e.queue.remove(j)
		if err != nil && !errors.Is(err, errRefused) {
			e.talks.discard(j.request.Conversation)
			j.ended <- outcome{err: err}
			e.o.Log.Warn("request refused", "request", j.id, "code", report(err).Code)
		}
	}
}

// begin begins a job. It reports false if the job has to wait, for a seat or for
// the end of answers of another model.
func (e *engine) begin(j *job) (bool, error) {
	e.progress.begin(e.o.Now(), 0)
	if j.ctx.Err() != nil {
		j.ended <- outcome{done: rmp.Done{Reason: rmp.ReasonCancel}}
		return true, nil
	}
	busy := len(e.answering()) > 0
	if j.task != nil {
		if busy {
			return false, nil
		}
		if err := j.task(e); err != nil {
			return true, err
		}
		j.ended <- outcome{}
		return true, nil
	}
	if busy && !e.free(j) {
		return false, nil
	}
	p, err := e.prepare(j)
	if err != nil {
		return true, err
	}
	if !e.serves(p.model, p.lora) {
		if busy {
			return false, nil
		}
		if e.current == nil || e.current.file.name != p.model {
			j.tell(rmp.NoticeLoading, "The model "+p.model+" is being loaded.")
		}
		err := e.use(p.model, p.lora)
		if j.request.Model == "" && j.request.Conversation == "" {
			e.judge(err)
		}
		if err != nil {
			return true, err
		}
	} else if j.request.Model == "" && j.request.Conversation == "" {
		e.judge(nil)
	}
	return true, e.start(j, p)
}

// judge learns whether the default model can be used, and tells when that has
// changed. A failure that has nothing to do with the model says nothing.
func (e *engine) judge(cause error) {
	var failure *Failure
	if cause != nil && !(errors.As(cause, &failure) && (failure.Code == rmp.CodeModelInvalid || failure.Code == rmp.CodeModelUnknown)) {
		return
	}
	if (cause == nil) == (e.unusable == nil) {
		return
	}
	e.unusable = cause
	if cause != nil {
		e.o.Log.Error("default model can't be used", "reason", cause.Error(), "hint", hint.Of(cause))
	}
	e.o.Usable(e.loadedName(), cause)
}

// step computes one batch: the next token of each answer, and a piece of one
// prompt. It reports false if there was nothing to compute.
func (e *engine) step() bool {
	e.closeUp()
	reading := e.fill()
	if e.batch.Len() == 0 {
		return false
	}
	turns := e.answering()
	e.progress.begin(e.o.Now(), decodeAllowance(e.batch.Len()))
	release := func() {}
	if len(turns) == 1 { // others would lose their step too
		release = abortWith(turns[0].job.ctx, e.current.context)
	}
	began := e.o.Now()
	err := e.current.context.DecodeBatch(&e.batch)
	release()
	took := e.o.Now().Sub(began)
	if err != nil {
		e.failed(turns, err)
		return true
	}
	e.measure(reading, took)
	drawing := e.drawing[:0]
	for _, t := range turns {
		if t.rows > 0 {
			t.took(t.rows)
		}
		if t.row >= 0 && t.wantsMore() {
			drawing = append(drawing, t)
		}
	}
	for _, t := range drawing {
		t.logits = e.current.context.LogitsAt(t.row)
	}
	together(drawing, (*turn).draw)
	for _, t := range drawing {
		t.choose()
	}
	clear(drawing)
	e.drawing = drawing
	return true
}

// together calls do once for each turn, on as many processors as there are.
func together(turns []*turn, do func(*turn)) {
	var next atomic.Int32
	work := func() {
		for i := next.Add(1) - 1; int(i) < len(turns); i = next.Add(1) - 1 {
			do(turns[i])
		}
	}
	var others sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(turns)) - 1 {
		others.Go(work)
	}
	work()
	others.Wait()
}

// failed ends the answers whose batch could not be computed.
func (e *engine) failed(turns []*turn, err error) {
	for _, t := range turns {
		switch {
		case t.rows == 0:
		case errors.Is(err, llama.ErrAborted):
			t.end(rmp.ReasonCancel, nil)
		default:
			t.end("", fmt.Errorf("compute the answer: %w", err))
		}
	}
}

// fill puts into the batch what is to be computed next and returns how many
// tokens of prompts are in it. With the prompt whose turn it is others are read, in
// pieces of the same length: llama.cpp computes those in one pass over the weights.
func (e *engine) fill() (reading int) {
	e.batch.Reset()
	var readers []*turn
	writing := 0
	for _, t := range e.answering() {
		t.row, t.rows = -1, 0
		if t.held != nil {
			continue
		}
		if next := t.next(2); len(next) == 1 {
			writing++
			t.add(next)
		} else {
			readers = append(readers, t)
		}
	}
	if len(readers) == 0 {
		return 0
	}
	slices.SortStableFunc(readers, (*turn).order)
	length, room := 0, e.piece(writing, len(readers))
	for i, t := range readers {
		if i == 0 {
			length = len(t.next(room))
		}
		if next := t.next(length); len(next) == length && reading+length <= room {
			t.add(next)
			reading += length
		}
	}
	return reading
}

// How long pieces of prompts may take: where others write their words wait for it
// as long, and where nobody does, whoever comes next. The more prompts are waiting
// the longer, up to a number: nobody waits less by reading them one by one.
const (
	pauseOfOthers = 100 * time.Millisecond // for each prompt
	pauseOfNobody = time.Second
	leastPiece    = 16 // tokens of each prompt
	mostTogether  = 8  // prompts that are counted
)

// piece is how many tokens of prompts are read at once.
func (e *engine) piece(writing, readers int) int {
	readers = min(readers, mostTogether)
	pause := pauseOfNobody
	if writing > 0 {
		pause = pauseOfOthers * time.Duration(readers)
	}
	most := min(e.o.MicroBatch, e.current.context.Batch()-writing)
	piece := 4 * leastPiece // nothing is known of this machine's speed
	if e.readRate > 0 {
		piece = max(int(e.readRate*pause.Seconds()), leastPiece*readers)
	}
	return max(min(piece, most), 2)
}

// measure learns how fast prompts are read.
func (e *engine) measure(reading int, took time.Duration) {
	if reading < leastPiece || took <= 0 {
		return
	}
	rate := float64(reading) / took.Seconds()
	if e.readRate == 0 {
		e.readRate = rate
	}
	e.readRate += (rate - e.readRate) / 4
}

// abortWith makes the context abort its computation when ctx ends; the
// returned function takes that back and must be called before the next use.
func abortWith(ctx context.Context, c *llama.Context) (release func()) {
	aborted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		c.Abort()
		close(aborted)
	})
	return func() {
		if !stop() {
			<-aborted
			c.Resume()
		}
	}
}

// stop saves what conversations have in memory and lets everything go.
func (e *engine) stop() {
	e.vectors.close()
	if e.current != nil {
		e.shelf.resize(0)
		e.talks.saves.Wait() // an earlier state that is on its way would keep a later one out
		for _, s := range e.current.seats {
			e.save(s)
		}
	}
	e.unload()
	if err := e.talks.close(); err != nil {
		e.o.Log.Warn("conversations may not be on the disk", "reason", err.Error())
	}
}
