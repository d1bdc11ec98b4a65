package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path"
	"time"

	"runa/init/contain"
	"runa/services/hint"
)

// Bounds of what a client may cost.
const (
	maxHeaderBytes = 8 << 10
	maxBodyBytes   = 4 << 10
	maxLines       = 1_000_000
)

// timeouts bound how long a client may take; tests have shorter ones.
type timeouts struct {
	read  time.Duration // for a whole request
	write time.Duration // for an answer, or one line of a log
}

// settings are what differs between a real server and one under test.
type settings struct {
	identify func(*net.UnixConn) (Peer, error)
	bounds   bounds
	timeouts timeouts
	now      func() time.Time
}

func usualSettings() settings {
	return settings{
		identify: PeerOf, bounds: usualBounds,
		timeouts: timeouts{read: 5 * time.Second, write: 10 * time.Second},
		now:      time.Now,
	}
}

// Serve answers on the listener until the context ends; then it closes the
// listener and every connection. identify is PeerOf; a gilgul of an ordinary
// user has one that takes that user for the owner and all but root for strangers.
func Serve(ctx context.Context, l *net.UnixListener, backend Backend, identify func(*net.UnixConn) (Peer, error)) error {
	usual := usualSettings()
	usual.identify = identify
	return serve(ctx, l, backend, usual)
}

func serve(ctx context.Context, l *net.UnixListener, backend Backend, s settings) error {
	return serveAt(ctx, newPeerListener(l, s), backend, s)
}

func serveAt(ctx context.Context, listener *peerListener, backend Backend, s settings) error {
	server := newServer(ctx, backend, s)
	defer listener.spares.close()
	defer context.AfterFunc(ctx, func() { server.Close() })()
	err := server.Serve(listener)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	server.Close()
	return fmt.Errorf("serve the control socket: %w", err)
}

// newServer makes a server; its connections are peerConns.
func newServer(ctx context.Context, backend Backend, s settings) *http.Server {
	server := &http.Server{
		Handler:        newHandler(backend, s),
		ReadTimeout:    s.timeouts.read,
		WriteTimeout:   s.timeouts.write,
		MaxHeaderBytes: maxHeaderBytes,
		ErrorLog:       discardLog,
		BaseContext:    func(net.Listener) context.Context { return ctx },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, peerKey{}, c)
		},
	}
	// A connection is for one request: one that idles would hold a place.
	server.SetKeepAlivesEnabled(false)
	return server
}

func newHandler(backend Backend, s settings) http.Handler {
	h := newHandlers(backend, s)
	mux := http.NewServeMux()
	read := func(pattern, what string, next http.HandlerFunc) {
		mux.HandleFunc(pattern, contained(allow(Peer.mayRead, what, next)))
	}
	change := func(pattern, what string, next http.HandlerFunc) {
		mux.HandleFunc(pattern, contained(allow(Peer.mayChange, what, next)))
	}
	read("GET /v1/status", "see the status", h.showStatus)
	read("GET /v1/faults", "see the faults", h.gated(h.faults))
	read("GET /v1/logs", "read logs", h.logs)
	read("GET /v1/events", "see events", h.events)
	read("GET /v1/services/{name}/explain", "see the status", h.gated(h.explain))
	read("GET /v1/net", "see the status", h.showNet)
	change("POST /v1/services/{name}/update", "update services", h.gated(h.update))
	change("POST /v1/services/{name}/{action}", "start or stop services", h.gated(h.service))
	change("POST /v1/power/{action}", "switch the machine off", h.power)
	change("GET /v1/net/explain", "allow a network", h.gated(h.explainNet))
	change(takesBody, "allow a network", h.gated(h.allowNet))
	change("POST /v1/net/off", "switch a network off", h.gated(h.netOff))
	mux.HandleFunc("POST /v1/faults/{kind}", contained(allow(Peer.isRoot, "do a fault", h.gated(h.sabotage))))
	mux.HandleFunc("/", unknown)
	return exact(mux)
}

func unknown(w http.ResponseWriter, r *http.Request) {
	fail(w, hint.New(fmt.Errorf("%.20s %.80q: %w", r.Method, r.URL.Path, ErrNotFound), "this gilgul speaks /v1 only"))
}

// exact refuses paths that the mux would answer with a redirection.
func exact(mux http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked := r.URL.EscapedPath(); asked != path.Clean("/"+asked) || r.Method == http.MethodConnect {
			unknown(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// contained keeps a panic to the request that met it, and has it reported.
func contained(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		err := contain.Call("answer "+r.Method+" "+r.Pattern, func() error { next(w, r); return nil })
		if err != nil {
			fail(w, err) // of no effect where an answer has begun
		}
	}
}

// allow lets only those through whom the rule knows, and bounds the body.
func allow(rule func(Peer) bool, what string, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !rule(peerOf(r)) {
			err := fmt.Errorf("%s: %w", what, ErrForbidden)
			fail(w, hint.New(err, "log in as the owner of this machine"))
			return
		}
		// Behind a body that nobody reads it would go unseen that the client is gone.
		if r.ContentLength != 0 && r.Pattern != takesBody {
			fail(w, fmt.Errorf("body of the request: %w: none expected", ErrInvalid))
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBodyBytes)
		next(w, r)
	}
}

// takesBody is the one request with a body.
const takesBody = "POST /v1/net/allow"

// peerOf returns who asks; a stranger if that is not known.
func peerOf(r *http.Request) Peer {
	if conn, ok := r.Context().Value(peerKey{}).(*peerConn); ok {
		return conn.peer
	}
	return Peer{UID: strangers, GID: strangers}
}

func finish(w http.ResponseWriter, err error) {
	if err != nil {
		fail(w, err)
		return
	}
	answer(w, http.StatusOK, struct{}{})
}

// give answers with a value, or with why there is none.
func give(w http.ResponseWriter, value any, err error) {
	if err != nil {
		fail(w, err)
		return
	}
	answer(w, http.StatusOK, value)
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
	{ErrConflict, http.StatusConflict},
	{ErrBusy, http.StatusServiceUnavailable},
	{context.Canceled, http.StatusServiceUnavailable}, // the client is gone, or gilgul ends
}

func answer(w http.ResponseWriter, code int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(value) // a client that is gone needs no answer
}
