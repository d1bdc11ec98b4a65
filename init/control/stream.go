package control

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"runa/init/contain"
)

func (h *handlers) logs(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	lines, err := parseQuery(query.Get("lines"), 100, strconv.Atoi)
	if err != nil || lines < 0 || lines > maxLines {
		fail(w, fmt.Errorf("lines=%.40q: %w: a number up to %d expected", query.Get("lines"), ErrInvalid, maxLines))
		return
	}
	h.stream(w, r, func(ctx context.Context, follow bool, out *lineWriter) error {
		return h.backend.Logs(ctx, query.Get("service"), lines, follow, func(line LogLine) error { return out.line(line) })
	})
}

func (h *handlers) events(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	h.stream(w, r, func(ctx context.Context, follow bool, out *lineWriter) error {
		wanted, lost := query.Get("service"), uint64(0)
		return h.backend.Events(ctx, follow, func(event Event) error {
			// What was lost before an event of another service may have been wanted.
			lost += event.Lost
			if wanted != "" && wanted != event.Service {
				return nil
			}
			event.Lost, lost = lost, 0
			return out.line(event)
		})
	})
}

// stream answers with the lines that source gives to its writer.
func (h *handlers) stream(w http.ResponseWriter, r *http.Request, source func(context.Context, bool, *lineWriter) error) {
	text := r.URL.Query().Get("follow")
	follow, err := parseQuery(text, false, strconv.ParseBool)
	if err != nil {
		fail(w, fmt.Errorf("follow=%.40q: %w: true or false expected", text, ErrInvalid))
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	out := &lineWriter{
		w: w, controller: http.NewResponseController(w), timeout: h.timeouts.write,
		follow: follow, ctx: ctx, turn: h.turn,
	}
	if follow {
		// The request is read; its deadline would end the stream, not the client.
		if err := out.controller.SetReadDeadline(time.Time{}); err != nil {
			fail(w, fmt.Errorf("follow: %w", err))
			return
		}
		if conn, ok := r.Context().Value(peerKey{}).(*peerConn); ok {
			contain.Go("watch who follows a log", func() { awaitEnd(conn); cancel() })
		}
	}
	err = source(ctx, follow, out)
	switch {
	case out.begun:
		// What was sent is sent; the client sees the stream end.
	case err != nil:
		fail(w, err)
	default:
		out.begin()
	}
}

// maxIdleTalk is how much a follower may write after its request.
const maxIdleTalk = 64 << 10

// awaitEnd returns when a follower is gone. net/http notices that only of one
// who writes nothing after its request.
func awaitEnd(conn *peerConn) {
	io.CopyN(io.Discard, conn, maxIdleTalk)
}

func parseQuery[T any](text string, missing T, parse func(string) (T, error)) (T, error) {
	if text == "" {
		return missing, nil
	}
	return parse(text)
}

// lineWriter streams lines of JSON; each has its own deadline, so that a client
// that stopped reading is let go.
type lineWriter struct {
	w          http.ResponseWriter
	controller *http.ResponseController
	timeout    time.Duration
	follow     bool
	ctx        context.Context // ends when the client is gone
	turn       chan struct{}
	begun      bool
}

func (l *lineWriter) begin() {
	l.begun = true
	l.w.Header().Set("Content-Type", "application/jsonl")
	l.w.WriteHeader(http.StatusOK)
}

func (l *lineWriter) line(line any) error {
	text, err := l.encode(line)
	if err != nil {
		return err
	}
	if !l.begun {
		l.begin()
	}
	if err := l.controller.SetWriteDeadline(time.Now().Add(l.timeout)); err != nil {
		return err
	}
	if _, err := l.w.Write(append(text, '\n')); err != nil {
		return err
	}
	if !l.follow {
		return nil
	}
	return l.controller.Flush()
}

// encode waits for its turn: of a thousand streams one computes at a time, so
// that there is always time for the next connection.
func (l *lineWriter) encode(line any) ([]byte, error) {
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
		return json.Marshal(line)
	case <-l.ctx.Done():
		return nil, l.ctx.Err()
	}
}
