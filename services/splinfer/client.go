package splinfer

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"runa/services/hint"
	"runa/services/rmp"
	"runa/services/supervised"
)

// connection is what the service needs of a channel on the bus.
type connection interface {
	Send(context.Context, rmp.Frame) error
	Receive(context.Context) (rmp.Frame, error)
	Close() error
	Done() <-chan struct{} // closed when the peer closed or died
}

// client is one connection while it is served.
type client struct {
	*Service
	conn    connection
	ctx     context.Context // ends with the connection or the service
	sending context.Context // ends with the connection, or a second after the service
}

// serveClient answers the requests of one client, one after another.
func (s *Service) serveClient(ctx context.Context, conn connection) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	sending, hangUp := context.WithCancel(context.WithoutCancel(ctx))
	defer hangUp()
	defer conn.Close()
	context.AfterFunc(ctx, func() { time.AfterFunc(time.Second, hangUp) })
	go func() {
		select {
		case <-conn.Done():
			hangUp()
			cancel()
		case <-sending.Done():
		}
	}()
	c := &client{Service: s, conn: conn, ctx: ctx, sending: sending}
	for {
		frame, err := conn.Receive(ctx)
		if err != nil {
			if !errors.Is(err, io.EOF) && ctx.Err() == nil {
				s.o.Log.Debug("connection lost", "reason", err.Error())
			}
			return
		}
		if err := c.answer(frame); err != nil {
			if sending.Err() == nil {
				s.o.Log.Warn("answer not delivered", "request", requestID(frame), "reason", err.Error())
			}
			return
		}
	}
}

func requestID(frame rmp.Frame) string {
	return fmt.Sprintf("%s-%d", hex.EncodeToString(frame.TraceID[:]), frame.MsgID)
}

// answer handles one request; its error means that the client can't be
// reached any more.
func (c *client) answer(frame rmp.Frame) error {
	switch frame.SchemaID {
	case rmp.SchemaGenerate:
		var request rmp.Generate
		if err := frame.Unmarshal(&request); err != nil {
			// err may quote the request.
			return c.refuse(frame, fail(rmp.CodeParameterInvalid, errors.New("read request: its body is not that of a generate request")))
		}
		return c.generate(frame, request)
	case rmp.SchemaEmbedRequest:
		return c.embed(frame)
	case rmp.SchemaModelsRequest:
		return c.reply(frame, rmp.SchemaModels, c.models())
	case rmp.SchemaModelAction:
		return c.act(frame)
	case rmp.SchemaStatsRequest:
		return c.reply(frame, rmp.SchemaStats, c.stats())
	case rmp.SchemaConversationsRequest:
		return c.conversations(frame)
	case rmp.SchemaCtrlRequest:
		answer, err := supervised.Answer(frame, c.o.Now(), c.message.Add(1), c.ill(c.ctx))
		if err != nil {
			return err
		}
		return c.conn.Send(c.sending, answer)
	}
	err := fmt.Errorf("read request: splinfer doesn't answer messages of type %s", frame.Type)
	return c.refuse(frame, fail(rmp.CodeParameterInvalid, err))
}

// generate queues a request and sends its tokens and its end.
func (c *client) generate(frame rmp.Frame, request rmp.Generate) error {
	j := newJob(c.ctx, requestID(frame), frame.TraceID)
	j.request = request
	return c.wait(frame, j)
}

// noQueue is how long a request waits before it is told that it does.
const noQueue = 100 * time.Millisecond

// wait queues a job and sends what comes of it until it ends.
func (c *client) wait(frame rmp.Frame, j *job) error {
	waiting, ok := c.queue.push(j)
	if !ok {
		err := fmt.Errorf("queue request: %d others are waiting already", waiting)
		return c.refuse(frame, fail(rmp.CodeBusy, hint.New(err, "try again in a moment")))
	}
	defer c.queue.remove(j)
	defer context.AfterFunc(c.ctx, c.queue.wake)() // so that an answer that only waits is ended too
	queued := time.NewTimer(noQueue)
	defer queued.Stop()
	var moved <-chan struct{} // nil until it is told that the job waits
	for {
		select {
		case <-j.tokens.added:
			if err := c.sendTokens(frame, j); err != nil {
				return err
			}
		case notice := <-j.notices:
			if err := c.reply(frame, rmp.SchemaNotice, notice); err != nil {
				return err
			}
		case <-queued.C:
			moved = j.moved
			if err := c.tellPlace(frame, j); err != nil {
				return err
			}
		case <-moved:
			if err := c.tellPlace(frame, j); err != nil {
				return err
			}
		case end := <-j.ended:
			return c.finish(frame, j, end)
		case <-c.stopped: // the job was never begun, or has just ended
			select {
			case end := <-j.ended:
				return c.finish(frame, j, end)
			default:
				return c.finish(frame, j, outcome{done: rmp.Done{Reason: rmp.ReasonCancel}})
			}
		case <-c.conn.Done():
			return io.ErrClosedPipe
		}
	}
}

// tellPlace says how many are before a job that waits.
func (c *client) tellPlace(frame rmp.Frame, j *job) error {
	place, waiting := c.queue.place(j)
	if place == 0 {
		return nil
	}
	return c.reply(frame, rmp.SchemaQueued, rmp.Queued{Position: uint32(place), Waiting: uint32(waiting)})
}

func (c *client) sendTokens(frame rmp.Frame, j *job) error {
	for _, token := range j.tokens.take() {
		if err := c.reply(frame, rmp.SchemaToken, token); err != nil {
			return err
		}
	}
	return nil
}

// finish sends the tokens and remarks that are still there and then the end.
func (c *client) finish(frame rmp.Frame, j *job, end outcome) error {
	if err := c.sendTokens(frame, j); err != nil {
		return err
	}
	for len(j.notices) > 0 {
		if err := c.reply(frame, rmp.SchemaNotice, <-j.notices); err != nil {
			return err
		}
	}
	if end.err != nil {
		return c.refuse(frame, end.err)
	}
	return c.reply(frame, rmp.SchemaDone, end.done)
}

func (c *client) refuse(request rmp.Frame, err error) error {
	return c.reply(request, rmp.SchemaErrorReport, report(err))
}

// reply sends one message under the request's trace id.
func (c *client) reply(request rmp.Frame, schema uint16, payload any) error {
	frame, err := rmp.New(schema, c.o.Now(), request.TraceID, c.message.Add(1), payload)
	if err != nil {
		return err
	}
	return c.conn.Send(c.sending, frame)
}
