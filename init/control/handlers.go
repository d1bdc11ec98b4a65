package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"time"
	"unicode"

	"runa/services/hint"
)

type handlers struct {
	settings
	backend Backend
	status  shared[[]byte] // Status as JSON
	net     shared[[]byte] // NetStatus as JSON
	gates   gates
	tokens  tokens
	turn    chan struct{} // who has it computes a line of a stream
}

func newHandlers(backend Backend, s settings) *handlers {
	return &handlers{
		settings: s, backend: backend,
		status: shared[[]byte]{compute: func() ([]byte, error) { return json.Marshal(backend.Status()) }},
		net: shared[[]byte]{compute: func() ([]byte, error) {
			status := backend.Status()
			return json.Marshal(NetStatus{Interfaces: status.Interfaces, Consents: status.Consents})
		}},
		tokens: tokens{now: s.now},
		turn:   make(chan struct{}, 1),
	}
}

// gated bounds how many requests of one user are with the backend at once.
func (h *handlers) gated(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		leave, err := h.gates.enter(r.Context(), peerOf(r).account())
		if err != nil {
			fail(w, err)
			return
		}
		defer leave()
		next(w, r)
	}
}

func (h *handlers) showStatus(w http.ResponseWriter, r *http.Request) {
	status, err := h.status.get(r.Context())
	give(w, json.RawMessage(status), err)
}

func (h *handlers) showNet(w http.ResponseWriter, r *http.Request) {
	network, err := h.net.get(r.Context())
	give(w, json.RawMessage(network), err)
}

func (h *handlers) faults(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, h.backend.Faults())
}

func (h *handlers) sabotage(w http.ResponseWriter, r *http.Request) {
	finish(w, h.backend.Sabotage(r.PathValue("kind")))
}

func (h *handlers) explain(w http.ResponseWriter, r *http.Request) {
	explanation, err := h.backend.Explain(r.PathValue("name"))
	give(w, explanation, err)
}

func (h *handlers) service(w http.ResponseWriter, r *http.Request) {
	name, action := r.PathValue("name"), r.PathValue("action")
	switch action {
	case Start, Stop, Restart:
		finish(w, h.backend.Service(name, action))
	default:
		fail(w, hint.New(fmt.Errorf("action %q on a service: %w", action, ErrNotFound), "use start, stop, restart or update"))
	}
}

// maxPath is the longest path that Linux takes, without the zero at its end.
const maxPath = 4095

func (h *handlers) update(w http.ResponseWriter, r *http.Request) {
	program := r.URL.Query().Get("program")
	if !filepath.IsAbs(program) || len(program) > maxPath || strings.ContainsFunc(program, unicode.IsControl) {
		fail(w, fmt.Errorf("program=%.80q: %w: the absolute path of a program expected", program, ErrInvalid))
		return
	}
	finish(w, h.backend.Update(r.PathValue("name"), filepath.Clean(program)))
}

func (h *handlers) power(w http.ResponseWriter, r *http.Request) {
	switch action := r.PathValue("action"); action {
	case PowerOff, Reboot:
		finish(w, h.backend.Power(action))
	default:
		fail(w, hint.New(fmt.Errorf("power action %q: %w", action, ErrNotFound), "use off or reboot"))
	}
}

func (h *handlers) explainNet(w http.ResponseWriter, r *http.Request) {
	iface, text := r.URL.Query().Get("interface"), r.URL.Query().Get("for")
	d, err := time.ParseDuration(text)
	if err != nil {
		fail(w, hint.New(fmt.Errorf("for=%.40q: %w: a time such as 30m expected", text, ErrInvalid), "write 90s, 30m or 1h"))
		return
	}
	if err := checkConsent(iface, d); err != nil {
		fail(w, err)
		return
	}
	explanation, err := h.backend.ExplainNet(iface, d)
	if err != nil {
		fail(w, err)
		return
	}
	explanation.Interface, explanation.For = iface, d
	explanation.Token = h.tokens.issue(offer{iface, d, peerOf(r).UID})
	answer(w, http.StatusOK, explanation)
}

func (h *handlers) allowNet(w http.ResponseWriter, r *http.Request) {
	var request NetRequest
	if err := decodeBody(r.Body, &request); err != nil {
		fail(w, err)
		return
	}
	if err := checkConsent(request.Interface, request.For); err != nil {
		fail(w, err)
		return
	}
	peer := peerOf(r)
	if !h.tokens.redeem(request.Token, offer{request.Interface, request.For, peer.UID}) {
		fail(w, hint.New(fmt.Errorf("allow %s: %w: this was not explained to you, or too long ago", request.Interface, ErrConflict),
			"runa net allow %s explains and asks", request.Interface))
		return
	}
	consent, err := h.backend.AllowNet(request.Interface, request.For, peer)
	give(w, consent, err)
}

func (h *handlers) netOff(w http.ResponseWriter, r *http.Request) {
	iface := r.URL.Query().Get("interface")
	if iface != "" {
		if err := checkInterface(iface); err != nil {
			fail(w, err)
			return
		}
	}
	finish(w, h.backend.NetOff(iface))
}

// checkConsent refuses what no backend needs to see.
func checkConsent(iface string, d time.Duration) error {
	if err := checkInterface(iface); err != nil {
		return err
	}
	if d < time.Second || d > MaxConsent {
		return hint.New(fmt.Errorf("for %v: %w: from 1 second to %d hours expected", d, ErrInvalid, int(MaxConsent.Hours())),
			"allow it again when the time is over")
	}
	return nil
}

// longestInterface is IFNAMSIZ without the zero at its end (linux/if.h).
const longestInterface = 15

func checkInterface(name string) error {
	odd := func(r rune) bool { return r == '/' || r == ':' || unicode.IsSpace(r) || !unicode.IsPrint(r) }
	if name == "" || len(name) > longestInterface || strings.ContainsFunc(name, odd) {
		return hint.New(fmt.Errorf("interface %.40q: %w: the name of an interface expected", name, ErrInvalid), "runa net lists them")
	}
	return nil
}

// decodeBody reads exactly one JSON value with known fields only.
func decodeBody(body io.Reader, into any) error {
	decoder := json.NewDecoder(body)
	decoder.DisallowUnknownFields()
	err := decoder.Decode(into)
	if err == nil {
		if _, more := decoder.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("more than one value")
		}
	}
	if err != nil {
		return fmt.Errorf("body of the request: %w: %w", ErrInvalid, err)
	}
	return nil
}
