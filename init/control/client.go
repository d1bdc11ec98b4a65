package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"

	"runa/services/hint"
)

// Client asks a gilgul. It may be used from many goroutines.
type Client struct {
	path string
	http http.Client
}

// NewClient returns a client of the control socket at path.
func NewClient(path string) *Client {
	c := &Client{path: path}
	c.http.Transport = &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		},
		DisableKeepAlives: true,
	}
	return c
}

// Status returns what gilgul knows of the system.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var status Status
	body, err := c.ask(ctx, http.MethodGet, "/v1/status")
	if err != nil {
		return status, err
	}
	defer body.Close()
	if err := json.NewDecoder(body).Decode(&status); err != nil {
		return status, fmt.Errorf("read gilgul's answer: %w", err)
	}
	return status, nil
}

// Logs hands the newest lines of a service (of all if service is "") to each
// and, if follow, every new one until ctx ends, gilgul ends, or each fails.
func (c *Client) Logs(ctx context.Context, service string, lines int, follow bool, each func(LogLine) error) error {
	query := url.Values{"lines": {strconv.Itoa(lines)}, "follow": {strconv.FormatBool(follow)}}
	if service != "" {
		query.Set("service", service)
	}
	body, err := c.ask(ctx, http.MethodGet, "/v1/logs?"+query.Encode())
	if err != nil {
		return err
	}
	defer body.Close()
	for decoder := json.NewDecoder(body); ; {
		var line LogLine
		switch err := decoder.Decode(&line); {
		case errors.Is(err, io.EOF):
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return fmt.Errorf("read the log from gilgul: %w", err)
		}
		if err := each(line); err != nil {
			return err
		}
	}
}

// Service does one of Start, Stop and Restart.
func (c *Client) Service(ctx context.Context, name, action string) error {
	return c.do(ctx, "/v1/services/"+url.PathEscape(name)+"/"+url.PathEscape(action))
}

// Power asks for PowerOff or Reboot; it returns when gilgul has begun.
func (c *Client) Power(ctx context.Context, action string) error {
	return c.do(ctx, "/v1/power/"+url.PathEscape(action))
}

func (c *Client) do(ctx context.Context, path string) error {
	body, err := c.ask(ctx, http.MethodPost, path)
	if err != nil {
		return err
	}
	return body.Close()
}

// ask sends a request and returns the body of a success.
func (c *Client) ask(ctx context.Context, method, path string) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://gilgul"+path, nil)
	if err != nil {
		return nil, fmt.Errorf("ask gilgul: %w", err)
	}
	response, err := c.http.Do(request)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err // the address in it says nothing to a person
		}
		return nil, hint.New(fmt.Errorf("ask gilgul at %s: %w", c.path, err), "is gilgul running here? RUNA_CONTROL names its socket")
	}
	if response.StatusCode == http.StatusOK {
		return response.Body, nil
	}
	defer response.Body.Close()
	return nil, refusal(response)
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
