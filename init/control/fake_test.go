package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"runa/services/hint"
)

// fake is a gilgul with one service, "splinfer", and one interface, "eth0".
type fake struct {
	did      chan string  // what was changed
	tail     chan LogLine // what a follower of logs gets
	news     chan Event   // what a follower of events gets
	readers  atomic.Int32
	statuses atomic.Int32
	tame     bool          // nothing breaks, and followers are let go at once
	slow     chan struct{} // if not nil, Status and Explain wait until it is closed
}

func newFake() *fake {
	return &fake{did: make(chan string, 100), tail: make(chan LogLine), news: make(chan Event)}
}

func (f *fake) Status() Status {
	f.statuses.Add(1)
	if f.slow != nil {
		<-f.slow
	}
	return someStatus
}

func (f *fake) Logs(ctx context.Context, service string, lines int, follow bool, each func(LogLine) error) error {
	if service != "" && service != "splinfer" {
		return hint.New(fmt.Errorf("log of %q: %w", service, ErrNotFound), "see: runa status")
	}
	for i := range lines {
		if err := each(LogLine{Service: "splinfer", Text: fmt.Sprint("line ", i)}); err != nil {
			return err
		}
	}
	if !follow {
		return nil
	}
	return tail(ctx, f, f.tail, each)
}

func (f *fake) Events(ctx context.Context, follow bool, each func(Event) error) error {
	for _, event := range someEvents {
		if err := each(event); err != nil {
			return err
		}
	}
	if !follow {
		return nil
	}
	return tail(ctx, f, f.news, each)
}

func tail[T any](ctx context.Context, f *fake, from <-chan T, each func(T) error) error {
	f.readers.Add(1)
	defer f.readers.Add(-1)
	for !f.tame {
		select {
		case line := <-from:
			if err := each(line); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (f *fake) Service(name, action string) error {
	switch {
	case name == "splinfer":
		f.note(action + " " + name)
		return nil
	case name == "broken" && !f.tame:
		return errors.New("it broke")
	}
	return noService(name)
}

func noService(name string) error {
	return hint.New(fmt.Errorf("service %q: %w", name, ErrNotFound), "see: runa status")
}

// note keeps what was done, as far as somebody reads it.
func (f *fake) note(what string) {
	select {
	case f.did <- what:
	default:
	}
}

func (f *fake) Power(action string) error { f.note("power " + action); return nil }

func (f *fake) Explain(service string) (Explanation, error) {
	if f.slow != nil {
		<-f.slow
	}
	switch {
	case service == "splinfer":
		return someExplanation, nil
	case service == "panics" && !f.tame:
		panic("a defect")
	}
	return Explanation{}, noService(service)
}

func (f *fake) Update(service, program string) error {
	if service != "splinfer" {
		return noService(service)
	}
	f.note("update " + service + " " + program)
	return nil
}

func (f *fake) ExplainNet(iface string, d time.Duration) (NetExplanation, error) {
	if iface != "eth0" {
		return NetExplanation{}, fmt.Errorf("interface %q: %w", iface, ErrNotFound)
	}
	return NetExplanation{Reachable: []string{"everything"}}, nil
}

func (f *fake) AllowNet(iface string, d time.Duration, peer Peer) (Consent, error) {
	f.note(fmt.Sprintf("allow %s for %v by %d", iface, d, peer.UID))
	since := time.Unix(100, 0).UTC()
	return Consent{Interface: iface, Since: since, Until: since.Add(d), By: fmt.Sprint("uid ", peer.UID)}, nil
}

func (f *fake) NetOff(iface string) error { f.note("off " + iface); return nil }

func (f *fake) Sabotage(string) error { return ErrForbidden }

func (f *fake) Faults() map[string]uint64 { return someStatus.Faults }

var root = Peer{UID: 0, PID: 1}

// testSettings are the usual ones; all clients seem to be peer.
func testSettings(peer Peer) settings {
	s := usualSettings()
	s.identify = func(*net.UnixConn) (Peer, error) { return peer, nil }
	return s
}

// start runs a server on a real socket until the test ends.
func start(t testing.TB, f *fake, s settings) (path string) {
	t.Helper()
	path, _ = startListening(t, f, s)
	return path
}

// startListening is start for tests that look at who is connected.
func startListening(t testing.TB, f *fake, s settings) (path string, listener *peerListener) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "run", "control.sock")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	listener = newPeerListener(l, s)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- serveAt(ctx, listener, f, s) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("the server ended with %v", err)
		}
	})
	return path, listener
}

// await waits until a condition holds; what a test waits for has no bound but
// the test's own.
func await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	limit := time.Now().Add(time.Minute)
	for !holds() {
		if time.Now().After(limit) {
			t.Fatalf("waited in vain until %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}
