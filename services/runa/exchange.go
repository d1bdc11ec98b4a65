package runa

import (
	"context"
	"errors"
	"fmt"
	"io"

	"runa/services/hint"
	"runa/services/rmp"
	"runa/services/splinter"
)

// errModelStopped means that splinfer went away between question and answer.
var errModelStopped = errors.New("the model stopped in the middle of its answer and is being restarted; ask again")

// reported is an error that splinfer reports.
type reported struct{ rmp.Report }

func (r *reported) Error() string { return r.Message }

// codeOf returns the code of the report in err's chain, or "".
func codeOf(err error) string {
	var report *reported
	if errors.As(err, &report) {
		return report.Code
	}
	return ""
}

// attempted says what was tried, but where the service has said it.
func attempted(what string, err error) error {
	if codeOf(err) != "" {
		return err
	}
	return fmt.Errorf("%s: %w", oneLine(what), err)
}

// hearer hears what comes between a question and the end of its answer.
type hearer interface {
	token(rmp.Token)
	queued(rmp.Queued)
	notice(rmp.Notice)
}

// generate asks for an answer and gives what comes of it to who hears it. If ctx
// ends, splinfer is told by the closed connection and ctx's error returned.
func (i *inference) generate(ctx context.Context, connection *splinter.Conn, request rmp.Generate, who hearer) (rmp.Done, error) {
	if err := i.send(ctx, connection, rmp.SchemaGenerate, request); err != nil {
		return rmp.Done{}, err
	}
	for {
		frame, err := i.receive(ctx, connection)
		if err != nil {
			return rmp.Done{}, err
		}
		switch frame.SchemaID {
		case rmp.SchemaToken:
			err = hear(frame, who.token)
		case rmp.SchemaQueued:
			err = hear(frame, who.queued)
		case rmp.SchemaNotice:
			err = hear(frame, who.notice)
		case rmp.SchemaDone:
			return ended(frame)
		default:
			err = unexpected(frame)
		}
		if err != nil {
			return rmp.Done{}, err
		}
	}
}

// ended reads the end of an answer. This side never cancels and then listens,
// so an answer that was cancelled is one that splinfer gave up as it was stopped.
func ended(frame rmp.Frame) (rmp.Done, error) {
	var done rmp.Done
	if err := frame.Unmarshal(&done); err != nil {
		return done, fmt.Errorf("read the end of the model's answer: %w", err)
	}
	if done.Reason == rmp.ReasonCancel {
		return done, errModelStopped
	}
	return done, nil
}

func hear[T any](frame rmp.Frame, tell func(T)) error {
	var message T
	if err := frame.Unmarshal(&message); err != nil {
		return fmt.Errorf("read the model's answer: %w", err)
	}
	tell(message)
	return nil
}

// question is one that has one answer, of schema wants; on the way to it there
// may be progress.
type question struct {
	schema   uint16
	payload  any
	wants    uint16
	progress func(rmp.Progress) // may be nil
}

// ask reads the answer to q into answer.
func (i *inference) ask(ctx context.Context, connection *splinter.Conn, q question, answer any) error {
	if err := i.send(ctx, connection, q.schema, q.payload); err != nil {
		return err
	}
	for {
		frame, err := i.receive(ctx, connection)
		if err != nil {
			return err
		}
		switch {
		case frame.SchemaID == q.wants:
			if err := frame.Unmarshal(answer); err != nil {
				return fmt.Errorf("read the model service's answer: %w", err)
			}
			return nil
		case frame.SchemaID == rmp.SchemaProgress && q.progress != nil:
			if err := hear(frame, q.progress); err != nil {
				return err
			}
		default:
			return unexpected(frame)
		}
	}
}

// models asks which models there are.
func (i *inference) models(ctx context.Context, connection *splinter.Conn) (models rmp.Models, err error) {
	return models, i.ask(ctx, connection, question{
		schema: rmp.SchemaModelsRequest, payload: rmp.ModelsRequest{}, wants: rmp.SchemaModels,
	}, &models)
}

// conversations asks which conversations are kept, after one, if it is named,
// was removed.
func (i *inference) conversations(ctx context.Context, connection *splinter.Conn, remove string) ([]rmp.Conversation, error) {
	var kept rmp.Conversations
	err := i.ask(ctx, connection, question{
		schema: rmp.SchemaConversationsRequest, payload: rmp.ConversationsRequest{Remove: remove}, wants: rmp.SchemaConversations,
	}, &kept)
	return kept.Conversations, err
}

func (i *inference) send(ctx context.Context, connection *splinter.Conn, schema uint16, payload any) error {
	i.message++
	frame, err := rmp.New(schema, i.now(), i.trace(), i.message, payload)
	if err != nil {
		return fmt.Errorf("write the question: %w", err)
	}
	return lost(ctx, connection.Send(ctx, frame))
}

// receive returns the next frame; an error report of splinfer is an error.
func (i *inference) receive(ctx context.Context, connection *splinter.Conn) (rmp.Frame, error) {
	frame, err := connection.Receive(ctx)
	if err != nil {
		return rmp.Frame{}, lost(ctx, err)
	}
	if frame.SchemaID != rmp.SchemaErrorReport {
		return frame, nil
	}
	var report rmp.Report
	if err := frame.Unmarshal(&report); err != nil {
		return rmp.Frame{}, fmt.Errorf("read the model's error: %w", err)
	}
	if report.Hint == "" {
		return rmp.Frame{}, &reported{report}
	}
	return rmp.Frame{}, hint.New(&reported{report}, "%s", report.Hint)
}

// lost turns the ways in which a peer goes away into errModelStopped: it died,
// or it was stopped and closed the connection with the answer unfinished.
func lost(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, splinter.ErrPeerDied), errors.Is(err, splinter.ErrClosed), errors.Is(err, io.EOF):
		return errModelStopped
	}
	return fmt.Errorf("talk to the model: %w", err)
}

func unexpected(frame rmp.Frame) error {
	return fmt.Errorf("the model service answered with a message of type %s, which was not asked for", frame.Type)
}
