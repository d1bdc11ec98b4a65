package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"runa/services/hint"
)

// call asks for one value.
func call[T any](ctx context.Context, c *Client, method, path string, body []byte) (value T, err error) {
	response, err := c.ask(ctx, method, path, body)
	if err != nil {
		return value, err
	}
	defer response.Close()
	if err := json.NewDecoder(response).Decode(&value); err != nil {
		if ctx.Err() != nil {
			return value, ctx.Err()
		}
		return value, fmt.Errorf("read gilgul's answer: %w", err)
	}
	return value, nil
}

// stream asks for lines of JSON and hands each on.
func stream[T any](ctx context.Context, c *Client, path string, each func(T) error) error {
	body, err := c.ask(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	defer body.Close()
	for decoder := json.NewDecoder(body); ; {
		var line T
		switch err := decoder.Decode(&line); {
		case errors.Is(err, io.EOF):
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return fmt.Errorf("read what gilgul sends: %w", err)
		}
		if err := each(line); err != nil {
			return err
		}
	}
}

func (c *Client) do(ctx context.Context, path string) error {
	body, err := c.ask(ctx, http.MethodPost, path, nil)
	if err != nil {
		return err
	}
	return body.Close()
}

// ask sends a request and returns the body of a success. Where gilgul had too
// much to do to take the request, it is sent again for some time.
func (c *Client) ask(ctx context.Context, method, path string, body []byte) (io.ReadCloser, error) {
	limit := time.Now().Add(c.patience)
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, 200*time.Millisecond) {
		answer, err := c.once(ctx, method, path, body)
		if err == nil || ctx.Err() != nil || !worthAnother(method, err) || time.Now().After(limit) {
			return answer, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// worthAnother reports whether gilgul certainly did nothing, or nothing that
// it may not do twice, because it had too much to do.
func worthAnother(method string, err error) bool {
	var cut *cutError
	switch {
	case errors.Is(err, ErrBusy), errors.Is(err, unix.EAGAIN): // EAGAIN: the queue was full all the time
		return true
	case errors.As(err, &cut):
		return method == http.MethodGet
	}
	return false
}

// cutError means that gilgul closed the connection without an answer.
type cutError struct{ err error }

func (e *cutError) Error() string {
	return "the connection was closed without an answer: " + e.err.Error()
}

func (e *cutError) Unwrap() error { return e.err }

// once sends a request over a connection of its own.
func (c *Client) once(ctx context.Context, method, path string, body []byte) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://gilgul"+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("ask gilgul: %w", err)
	}
	conn, err := c.dial(ctx)
	if err != nil {
		return nil, c.unanswered(ctx, err, "is gilgul running here? RUNA_CONTROL names its socket")
	}
	request.Close = true
	answer := &answerBody{conn: conn, stop: context.AfterFunc(ctx, func() { conn.Close() })}
	// A request that could not be written whole may have been refused before.
	unsent := request.Write(conn)
	response, err := http.ReadResponse(bufio.NewReader(conn), request)
	if err != nil {
		answer.Close()
		return nil, c.unanswered(ctx, &cutError{errors.Join(unsent, err)}, "there may be too many who ask; try again")
	}
	answer.Reader = response.Body
	if response.StatusCode == http.StatusOK {
		return answer, nil
	}
	defer answer.Close()
	return nil, refusal(response)
}

func (c *Client) unanswered(ctx context.Context, err error, advice string) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return hint.New(fmt.Errorf("ask gilgul at %s: %w", c.path, err), "%s", advice)
}

// answerBody is the body of an answer, with its connection.
type answerBody struct {
	io.Reader
	conn net.Conn
	stop func() bool
}

func (a *answerBody) Close() error {
	a.stop()
	return a.conn.Close()
}

func (c *Client) dial(ctx context.Context) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", c.path)
	if errors.Is(err, unix.EAGAIN) {
		return c.standInLine(ctx)
	}
	return conn, err
}

// standInLine connects when the socket's queue is full. A connect(2) that blocks
// is woken when there is a place; one that does not block, as Go's, would have
// to be lucky.
func (c *Client) standInLine(ctx context.Context) (net.Conn, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	file := os.NewFile(uintptr(fd), c.path)
	defer file.Close()
	// How long connect waits at most (unix(7)); ctx is looked at in between.
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{Usec: 500_000}); err != nil {
		return nil, os.NewSyscallError("setsockopt", err)
	}
	limit := time.Now().Add(c.patience)
	for {
		err := unix.Connect(fd, &unix.SockaddrUnix{Name: c.path})
		switch {
		case err == nil:
			return net.FileConn(file)
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR), time.Now().After(limit):
			return nil, os.NewSyscallError("connect", err)
		}
	}
}

// refusal turns a Failure back into an error of this package.
func refusal(response *http.Response) error {
	var failure Failure
	if err := json.NewDecoder(io.LimitReader(response.Body, 1<<16)).Decode(&failure); err != nil || failure.Error == "" {
		return fmt.Errorf("gilgul answered %s", response.Status)
	}
	err := error(&remoteError{text: failure.Error})
	for _, known := range failures {
		if response.StatusCode == known.code {
			err = &remoteError{failure.Error, known.err}
			break
		}
	}
	if failure.Hint != "" {
		err = hint.New(err, "%s", failure.Hint)
	}
	return err
}

// remoteError is an error of gilgul's, word for word, of a kind known here.
type remoteError struct {
	text string
	kind error
}

func (e *remoteError) Error() string { return e.text }
func (e *remoteError) Unwrap() error { return e.kind }
