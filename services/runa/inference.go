package runa

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"runa/services/hint"
	"runa/services/rmp"
	"runa/services/splinter"
)

// listener is the name under which splinfer answers on the bus; modelKey holds
// the default model's name and is set anew each time splinfer has become ready.
const (
	listener = "splinfer"
	modelKey = "service/splinfer/model"
)

// errModelStopped means that splinfer went away between question and answer.
var errModelStopped = errors.New("the model stopped in the middle of its answer and is being restarted; ask again")

// inference asks the inference service over the bus.
type inference struct {
	bus     *splinter.Bus
	now     func() time.Time
	trace   func() [16]byte
	message uint64 // the last message's id
}

// openInference opens the bus. Where gilgul runs and has not made it yet, because
// the machine has only just started, it waits for it.
func openInference(ctx context.Context, e Environment) (*inference, error) {
	bus, err := splinter.Open(e.Bus)
	if _, noGilgul := os.Stat(e.Control); errors.Is(err, fs.ErrNotExist) && noGilgul == nil {
		bounded, cancel := context.WithTimeout(ctx, e.Patience)
		defer cancel()
		e.waitingNote()()
		if awaitFile(bounded, e.Bus) == nil {
			bus, err = splinter.Open(e.Bus)
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = hint.New(err, "the bus is made by the service splinter: see `runa status` and `runa logs splinter`")
	}
	if err != nil {
		return nil, err
	}
	return &inference{bus: bus, now: e.Now, trace: e.Trace}, nil
}

// awaitFile sleeps until there is a file at path, in a folder that exists.
func awaitFile(ctx context.Context, path string) error {
	descriptor, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return fmt.Errorf("wait for %s: %w", path, err)
	}
	events := os.NewFile(uintptr(descriptor), "inotify")
	defer events.Close()
	defer context.AfterFunc(ctx, func() { events.SetReadDeadline(time.Unix(1, 0)) })()
	if _, err := unix.InotifyAddWatch(descriptor, filepath.Dir(path), unix.IN_CREATE|unix.IN_MOVED_TO); err != nil {
		return fmt.Errorf("wait for %s: %w", path, err)
	}
	buffer := make([]byte, 4096)
	for {
		if _, err := os.Stat(path); err == nil {
			return nil
		}
		if _, err := events.Read(buffer); err != nil {
			return fmt.Errorf("wait for %s: %w", path, err)
		}
	}
}

func (i *inference) Close() error { return i.bus.Close() }

// awaitModel waits until splinfer is ready and returns its default model's
// name, which is empty when no model can be used. It calls waiting once if it
// has to wait.
func (i *inference) awaitModel(ctx context.Context, patience time.Duration, waiting func()) (string, error) {
	connection, err := i.dial(ctx, patience, waiting)
	if err != nil {
		return "", err
	}
	connection.Close()
	name, _, err := i.bus.Get(modelKey)
	if errors.Is(err, splinter.ErrNotFound) {
		bounded, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		waiting()
		if name, _, err = i.bus.Wait(bounded, modelKey, 0); err != nil {
			return "", noAnswer(ctx, bounded, patience, err)
		}
	}
	if err != nil {
		return "", fmt.Errorf("read the model's name from the bus: %w", err)
	}
	return string(name), nil
}

// dial connects to splinfer. If it is not there (it is loading its model, or
// being restarted) dial sleeps until splinfer says that it is ready, at most for
// patience. The key's version is read before each try, so that no change
// between the try and the sleep is missed.
func (i *inference) dial(ctx context.Context, patience time.Duration, waiting func()) (*splinter.Conn, error) {
	bounded, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		_, version, err := i.bus.Get(modelKey)
		if err != nil && !errors.Is(err, splinter.ErrNotFound) {
			return nil, fmt.Errorf("read %s from the bus: %w", modelKey, err)
		}
		connection, err := i.bus.Dial(bounded, listener)
		if err == nil {
			return connection, nil
		}
		if errors.Is(err, splinter.ErrNoListener) {
			waiting()
			waiting = func() {}
			_, _, err = i.bus.Wait(bounded, modelKey, version)
		}
		if err != nil {
			return nil, noAnswer(ctx, bounded, patience, err)
		}
	}
}

// noAnswer says why there is no connection: ctx ended, or the part of it that
// is bounded by patience, or it cannot be made at all.
func noAnswer(ctx, bounded context.Context, patience time.Duration, err error) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case bounded.Err() != nil:
		return hint.New(fmt.Errorf("reach the model: no answer on the bus from %s within %v", listener, patience),
			"see `runa status` and `runa logs %s`", listener)
	}
	return fmt.Errorf("reach the model: %w", err)
}

// generate asks for an answer and gives its pieces to word as they come. If ctx
// ends, splinfer is told by the closed connection and ctx's error returned.
func (i *inference) generate(ctx context.Context, connection *splinter.Conn, request rmp.Generate, word func(string)) (rmp.Done, error) {
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
			var token rmp.Token
			if err := frame.Unmarshal(&token); err != nil {
				return rmp.Done{}, fmt.Errorf("read the model's answer: %w", err)
			}
			word(token.Text)
		case rmp.SchemaDone:
			var done rmp.Done
			if err := frame.Unmarshal(&done); err != nil {
				return rmp.Done{}, fmt.Errorf("read the end of the model's answer: %w", err)
			}
			return done, nil
		default:
			return rmp.Done{}, unexpected(frame)
		}
	}
}

// models asks which models there are.
func (i *inference) models(ctx context.Context, connection *splinter.Conn) (rmp.Models, error) {
	if err := i.send(ctx, connection, rmp.SchemaModelsRequest, rmp.ModelsRequest{}); err != nil {
		return rmp.Models{}, err
	}
	frame, err := i.receive(ctx, connection)
	if err != nil {
		return rmp.Models{}, err
	}
	var models rmp.Models
	if frame.SchemaID != rmp.SchemaModels {
		return models, unexpected(frame)
	}
	if err := frame.Unmarshal(&models); err != nil {
		return models, fmt.Errorf("read the list of models: %w", err)
	}
	return models, nil
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
	err = errors.New(report.Message)
	if report.Hint != "" {
		err = hint.New(err, "%s", report.Hint)
	}
	return rmp.Frame{}, err
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
