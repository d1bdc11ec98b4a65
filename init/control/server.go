package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"runa/services/hint"
)

// Bounds of what a client may cost.
const (
	connectionsPerUser = 32
	maxHeaderBytes     = 8 << 10
	maxBodyBytes       = 4 << 10
	maxLines           = 1_000_000
)

// timeouts bound how long a client may take; tests have shorter ones.
type timeouts struct {
	read  time.Duration // for a whole request
	write time.Duration // for an answer, or one line of a log
	idle  time.Duration // between requests
}

var usualTimeouts = timeouts{read: 5 * time.Second, write: 10 * time.Second, idle: time.Minute}

// Listen makes the control socket, replacing one that an earlier gilgul left.
// Everybody may connect: who may ask what is decided by who they are.
func Listen(path string) (*net.UnixListener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("make the control socket: %w", err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("replace the control socket: %w", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("make the control socket: %w", err)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		l.Close()
		return nil, fmt.Errorf("open the control socket to users: %w", err)
	}
	return l, nil
}

// Serve answers on the listener until the context ends; then it closes the
// listener and every connection. identify is PeerOf except in tests.
func Serve(ctx context.Context, l *net.UnixListener, backend Backend, identify func(*net.UnixConn) (Peer, error)) error {
	return serve(ctx, l, backend, identify, usualTimeouts)
}

func serve(ctx context.Context, l *net.UnixListener, backend Backend, identify func(*net.UnixConn) (Peer, error), limit timeouts) error {
	server := &http.Server{
		Handler:        handler(backend, limit),
		ReadTimeout:    limit.read,
		WriteTimeout:   limit.write,
		IdleTimeout:    limit.idle,
		MaxHeaderBytes: maxHeaderBytes,
		ErrorLog:       discardLog,
		BaseContext:    func(net.Listener) context.Context { return ctx },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, peerKey{}, c.(*peerConn).peer)
		},
	}
	defer context.AfterFunc(ctx, func() { server.Close() })()
	err := server.Serve(&peerListener{UnixListener: l, identify: identify, open: map[uint32]int{}})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("serve the control socket: %w", err)
}

func handler(backend Backend, limit timeouts) http.Handler {
	h := handlers{backend, limit}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", allow(Peer.MayRead, "see the status", h.status))
	mux.HandleFunc("GET /v1/logs", allow(Peer.MayRead, "read logs", h.logs))
	mux.HandleFunc("POST /v1/services/{name}/{action}", allow(Peer.MayChange, "start or stop services", h.service))
	mux.HandleFunc("POST /v1/power/{action}", allow(Peer.MayChange, "switch the machine off", h.power))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, hint.New(fmt.Errorf("%s %s: %w", r.Method, r.URL.Path, ErrNotFound), "this gilgul speaks /v1 only"))
	})
	return mux
}

// allow lets only those through whom the rule knows, and bounds the body.
func allow(rule func(Peer) bool, what string, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		peer, _ := r.Context().Value(peerKey{}).(*Peer)
		if peer == nil || !rule(*peer) {
			err := fmt.Errorf("%s: %w", what, ErrForbidden)
			fail(w, hint.New(err, "log in as the owner of this machine"))
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBodyBytes)
		next(w, r)
	}
}

type handlers struct {
	backend Backend
	limit   timeouts
}

func (h handlers) status(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, h.backend.Status())
}

func (h handlers) service(w http.ResponseWriter, r *http.Request) {
	name, action := r.PathValue("name"), r.PathValue("action")
	switch action {
	case Start, Stop, Restart:
		finish(w, h.backend.Service(name, action))
	default:
		fail(w, hint.New(fmt.Errorf("action %q on a service: %w", action, ErrNotFound), "use start, stop or restart"))
	}
}

func (h handlers) power(w http.ResponseWriter, r *http.Request) {
	switch action := r.PathValue("action"); action {
	case PowerOff, Reboot:
		finish(w, h.backend.Power(action))
	default:
		fail(w, hint.New(fmt.Errorf("power action %q: %w", action, ErrNotFound), "use off or reboot"))
	}
}

func (h handlers) logs(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	lines, err := parseQuery(query.Get("lines"), 100, strconv.Atoi)
	if err != nil || lines < 0 || lines > maxLines {
		fail(w, fmt.Errorf("lines=%q: %w: a number up to %d expected", query.Get("lines"), ErrInvalid, maxLines))
		return
	}
	follow, err := parseQuery(query.Get("follow"), false, strconv.ParseBool)
	if err != nil {
		fail(w, fmt.Errorf("follow=%q: %w: true or false expected", query.Get("follow"), ErrInvalid))
		return
	}
	out := &lineWriter{w: w, controller: http.NewResponseController(w), timeout: h.limit.write, follow: follow}
	if follow {
		// The request is read; its deadline would end the stream, not the client.
		if err := out.controller.SetReadDeadline(time.Time{}); err != nil {
			fail(w, fmt.Errorf("follow the log: %w", err))
			return
		}
	}
	err = h.backend.Logs(r.Context(), query.Get("service"), lines, follow, out.line)
	switch {
	case out.begun:
		// What was sent is sent; the client sees the stream end.
	case err != nil:
		fail(w, err)
	default:
		out.begin()
	}
}

func parseQuery[T any](text string, missing T, parse func(string) (T, error)) (T, error) {
	if text == "" {
		return missing, nil
	}
	return parse(text)
}

// lineWriter streams log lines; each has its own deadline, so that a client
// that stopped reading is let go.
type lineWriter struct {
	w          http.ResponseWriter
	controller *http.ResponseController
	timeout    time.Duration
	follow     bool
	begun      bool
}

func (l *lineWriter) begin() {
	l.begun = true
	l.w.Header().Set("Content-Type", "application/jsonl")
	l.w.WriteHeader(http.StatusOK)
}

func (l *lineWriter) line(line LogLine) error {
	if !l.begun {
		l.begin()
	}
	if err := l.controller.SetWriteDeadline(time.Now().Add(l.timeout)); err != nil {
		return err
	}
	if err := json.NewEncoder(l.w).Encode(line); err != nil {
		return err
	}
	if !l.follow {
		return nil
	}
	return l.controller.Flush()
}

func finish(w http.ResponseWriter, err error) {
	if err != nil {
		fail(w, err)
		return
	}
	answer(w, http.StatusOK, struct{}{})
}

func fail(w http.ResponseWriter, err error) {
	code := http.StatusInternalServerError
	for _, known := range failures {
		if errors.Is(err, known.err) {
			code = known.code
		}
	}
	answer(w, code, Failure{Error: err.Error(), Hint: hint.Of(err)})
}

var failures = []struct {
	err  error
	code int
}{
	{ErrNotFound, http.StatusNotFound},
	{ErrForbidden, http.StatusForbidden},
	{ErrInvalid, http.StatusBadRequest},
}

func answer(w http.ResponseWriter, code int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(value) // a client that is gone needs no answer
}
