package supervised

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"time"

	"runa/services/rmp"
	"runa/services/splinter"
)

// ErrNotWell means that the service answered, and that it does not do its work.
var ErrNotWell = errors.New("it answers that it is not well")

// Ping asks the service that listens under the name whether it does its work.
// It waits for the answer until ctx ends.
func Ping(ctx context.Context, bus *splinter.Bus, name string) error {
	if err := ping(ctx, bus, name); err != nil {
		return fmt.Errorf("ping %s: %w", name, err)
	}
	return nil
}

func ping(ctx context.Context, bus *splinter.Bus, name string) error {
	var trace [16]byte
	rand.Read(trace[:])
	question, err := rmp.New(rmp.SchemaCtrlRequest, time.Now(), trace, 1, rmp.CtrlRequest{Action: rmp.ActionPing})
	if err != nil {
		return err
	}
	stream, err := bus.Request(ctx, name, question)
	if err != nil {
		return err
	}
	defer stream.Close()
	answer, err := stream.Receive(ctx)
	if errors.Is(err, io.EOF) {
		return errors.New("it closed the connection without an answer")
	}
	if err != nil {
		return err
	}
	var response rmp.CtrlResponse
	if answer.SchemaID != rmp.SchemaCtrlResponse {
		return fmt.Errorf("it answered with %s", answer.Type)
	}
	if err := answer.Unmarshal(&response); err != nil {
		return fmt.Errorf("its answer: %w", err)
	}
	if !response.OK {
		return fmt.Errorf("%w: %s", ErrNotWell, oneLine(response.Reason, LineLimit))
	}
	return nil
}

// Answer is the answer to a control request; ill is why the service does not do
// its work, empty if it does. What is no request that services answer gets a
// response that says so. The answer's trace is the question's.
func Answer(question rmp.Frame, now time.Time, number uint64, ill string) (rmp.Frame, error) {
	var request rmp.CtrlRequest
	response := rmp.CtrlResponse{OK: ill == "", Reason: ill}
	if err := question.Unmarshal(&request); err != nil || request.Action != rmp.ActionPing {
		response = rmp.CtrlResponse{Reason: "the action is none that is known here"}
	}
	return rmp.New(rmp.SchemaCtrlResponse, now, question.TraceID, number, response)
}
