package splinfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"runa/services/hint"
	"runa/services/rmp"
)

// unreadable is the answer to a request whose body is not what its type says. The
// decoder's own words may quote the request.
func unreadable(what string) error {
	return fail(rmp.CodeParameterInvalid, fmt.Errorf("read request: its body is not that of %s", what))
}

// embed queues a request for vectors and sends them.
func (c *client) embed(frame rmp.Frame) error {
	var request rmp.EmbedRequest
	if err := frame.Unmarshal(&request); err != nil {
		return c.refuse(frame, unreadable("an embed request"))
	}
	if len(request.Texts) == 0 {
		return c.refuse(frame, fail(rmp.CodeParameterInvalid, errors.New("read request: there is no text to embed")))
	}
	j := &vectorJob{ctx: c.ctx, request: request, ended: make(chan vectorOutcome, 1)}
	if !c.engine.vectors.push(j, c.o.Queue) {
		err := fmt.Errorf("queue request: %d others are waiting already", c.o.Queue)
		return c.refuse(frame, fail(rmp.CodeBusy, hint.New(err, "try again in a moment")))
	}
	c.queue.wake()
	select {
	case end := <-j.ended:
		if end.err != nil {
			return c.refuse(frame, end.err)
		}
		return c.reply(frame, rmp.SchemaEmbeddings, end.vectors)
	case <-c.stopped:
		return c.refuse(frame, fail(rmp.CodeBusy, errors.New("embed: the service ends")))
	case <-c.conn.Done():
		return io.ErrClosedPipe
	}
}

// act changes which models there are or are loaded.
func (c *client) act(frame rmp.Frame) error {
	var action rmp.ModelAction
	if err := frame.Unmarshal(&action); err != nil {
		return c.refuse(frame, unreadable("a request to change models"))
	}
	var err error
	switch action.Action {
	case rmp.ModelLoad, rmp.ModelUnload:
		err = c.load(frame, action)
	default:
		err = c.change(frame, action)
	}
	if err != nil {
		return c.refuse(frame, err)
	}
	return c.reply(frame, rmp.SchemaModels, c.models())
}

// load lets the computing goroutine load or unload when nobody is being answered.
func (c *client) load(frame rmp.Frame, action rmp.ModelAction) error {
	j := newJob(c.ctx, requestID(frame), frame.TraceID)
	j.task = func(e *engine) error {
		if action.Action == rmp.ModelUnload {
			e.unload()
			e.vectors.close()
			return nil
		}
		return e.use(action.Name, nil)
	}
	waiting, ok := c.queue.push(j)
	if !ok {
		err := fmt.Errorf("queue request: %d others are waiting already", waiting)
		return fail(rmp.CodeBusy, hint.New(err, "try again in a moment"))
	}
	defer c.queue.remove(j)
	select {
	case end := <-j.ended:
		return end.err
	case <-c.stopped:
		return fail(rmp.CodeBusy, errors.New("change models: the service ends"))
	case <-c.conn.Done():
		return io.ErrClosedPipe
	}
}

// tellEvery is how often progress is told at most.
const tellEvery = 200 * time.Millisecond

// change adds, requantizes or removes, and tells how far it is.
func (c *client) change(frame rmp.Frame, action rmp.ModelAction) error {
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	var mu sync.Mutex
	var told time.Time
	return c.actions.do(ctx, action, func(p rmp.Progress) {
		mu.Lock()
		defer mu.Unlock()
		if now := c.o.Now(); now.Sub(told) >= tellEvery {
			told = now
			if c.reply(frame, rmp.SchemaProgress, p) != nil {
				cancel()
			}
		}
	})
}

// stats are counts and speeds.
func (c *client) stats() rmp.Stats {
	s := c.engine.stats.report(c.o.Now())
	s.Waiting = uint32(c.queue.length())
	if all, err := c.engine.talks.list(); err == nil {
		s.Conversations = uint32(len(all))
	}
	return s
}

// conversations lists those that are kept, after deleting one.
func (c *client) conversations(frame rmp.Frame) error {
	var request rmp.ConversationsRequest
	if err := frame.Unmarshal(&request); err != nil {
		return c.refuse(frame, unreadable("a request for conversations"))
	}
	if request.Remove != "" {
		if err := c.remove(frame, request.Remove); err != nil {
			return c.refuse(frame, err)
		}
	}
	all, err := c.engine.talks.list()
	if err != nil {
		return c.refuse(frame, err)
	}
	return c.reply(frame, rmp.SchemaConversations, rmp.Conversations{Conversations: all})
}

// remove lets the computing goroutine forget a conversation.
func (c *client) remove(frame rmp.Frame, id string) error {
	forgotten := make(chan error, 1)
	select {
	case c.engine.forgets <- forget{id, forgotten}:
		c.queue.wake()
	case <-c.stopped:
		return fail(rmp.CodeBusy, errors.New("delete conversation: the service ends"))
	case <-c.conn.Done():
		return io.ErrClosedPipe
	}
	select {
	case err := <-forgotten:
		return err
	case <-c.stopped:
		return fail(rmp.CodeBusy, errors.New("delete conversation: the service ends"))
	}
}
