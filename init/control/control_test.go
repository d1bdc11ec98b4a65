package control

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"runa/services/hint"
)

var someStatus = Status{
	Version: "0.1", Kernel: "6.12", Uptime: 90 * time.Second, ReadyAfter: 1500 * time.Millisecond,
	Services: []ServiceStatus{{
		Name: "splinfer", State: "backoff", Reason: "exited with status 1 after 12 ms", Since: time.Unix(100, 0).UTC(), Restarts: 3,
		NextStart: time.Unix(104, 0).UTC(), MemoryBytes: 5 << 20, Needs: []string{"splinter"},
	}},
	Data:       DataStatus{Mounted: true, Device: "/dev/vda3", SizeBytes: 1 << 30, FreeBytes: 1 << 29},
	Interfaces: []InterfaceStatus{{Name: "eth0", Kind: "ethernet"}},
	Problems:   []Problem{{What: "manifest", Why: "x.yaml:1:1: exec is missing", Hint: "add it"}},
}

// fake is a gilgul with one service, "splinfer".
type fake struct {
	did     chan string
	tail    chan LogLine // what a follower gets
	readers atomic.Int32
}

func (f *fake) Status() Status { return someStatus }

func (f *fake) Logs(ctx context.Context, service string, lines int, follow bool, each func(LogLine) error) error {
	if service != "" && service != "splinfer" {
		return hint.New(fmt.Errorf("log of %q: %w", service, ErrNotFound), "see: runa status")
	}
	for i := range lines {
		if err := each(LogLine{Service: "splinfer", Text: fmt.Sprint("line ", i)}); err != nil {
			return err
		}
	}
	f.readers.Add(1)
	defer f.readers.Add(-1)
	for follow {
		select {
		case line := <-f.tail:
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
	switch name {
	case "splinfer":
		f.did <- action + " " + name
		return nil
	case "broken":
		return errors.New("it broke")
	}
	return hint.New(fmt.Errorf("service %q: %w", name, ErrNotFound), "see: runa status")
}

func (f *fake) Power(action string) error { f.did <- "power " + action; return nil }

var root = Peer{UID: 0}

// start runs a server on a real socket; peer is who all clients seem to be, or
// nil for who they are.
func start(t *testing.T, peer *Peer, limit timeouts) (*fake, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "run", "control.sock")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{did: make(chan string, 1), tail: make(chan LogLine)}
	identify := PeerOf
	if peer != nil {
		identify = func(*net.UnixConn) (Peer, error) { return *peer, nil }
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- serve(ctx, l, f, identify, limit) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("the server ended with %v", err)
		}
	})
	return f, path
}

func TestStatusArrivesAsItWasGiven(t *testing.T) {
	_, path := start(t, &root, usualTimeouts)
	got, err := NewClient(path).Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, someStatus) {
		t.Fatalf("got  %+v\nwant %+v", got, someStatus)
	}
}

func TestServicesAndPowerAreAskedOfTheBackend(t *testing.T) {
	f, path := start(t, &root, usualTimeouts)
	c := NewClient(path)
	for _, action := range []string{Start, Stop, Restart} {
		if err := c.Service(t.Context(), "splinfer", action); err != nil {
			t.Fatal(err)
		}
		if got := <-f.did; got != action+" splinfer" {
			t.Errorf("got %q", got)
		}
	}
	for _, action := range []string{PowerOff, Reboot} {
		if err := c.Power(t.Context(), action); err != nil {
			t.Fatal(err)
		}
		if got := <-f.did; got != "power "+action {
			t.Errorf("got %q", got)
		}
	}
}

func TestRefusalsKeepTheirKindWordsAndHint(t *testing.T) {
	_, path := start(t, &root, usualTimeouts)
	c := NewClient(path)
	for _, x := range []struct {
		err        error
		kind       error
		text, hint string
	}{
		{c.Service(t.Context(), "ghost", Start), ErrNotFound, `service "ghost": not found`, "see: runa status"},
		{c.Service(t.Context(), "splinfer", "explode"), ErrNotFound, `action "explode" on a service: not found`, "use start, stop or restart"},
		{c.Service(t.Context(), "../x", "start"), ErrNotFound, `service "../x": not found`, "see: runa status"},
		{c.Service(t.Context(), "broken", Start), nil, "it broke", ""},
		{c.Power(t.Context(), "sideways"), ErrNotFound, `power action "sideways": not found`, "use off or reboot"},
		{c.Logs(t.Context(), "ghost", 1, false, nil), ErrNotFound, `log of "ghost": not found`, "see: runa status"},
		{c.Logs(t.Context(), "", -1, false, nil), ErrInvalid, `lines="-1": not understood: a number up to 1000000 expected`, ""},
		{c.do(t.Context(), "/v2/status"), ErrNotFound, "POST /v2/status: not found", "this gilgul speaks /v1 only"},
	} {
		if x.err == nil || x.err.Error() != x.text || hint.Of(x.err) != x.hint || x.kind != nil && !errors.Is(x.err, x.kind) {
			t.Errorf("got %v (hint %q), want %s (hint %q)", x.err, hint.Of(x.err), x.text, x.hint)
		}
	}
}

func TestWhoMayAskWhat(t *testing.T) {
	for _, x := range []struct {
		name         string
		peer         Peer
		read, change bool
	}{
		{"root", Peer{UID: 0}, true, true},
		{"the owner", Peer{UID: OwnerUID, GID: OwnerUID}, true, true},
		{"a service", Peer{UID: 102, GID: GroupGID}, true, false},
		{"a stranger", Peer{UID: 1001, GID: 1001}, false, false},
	} {
		t.Run(x.name, func(t *testing.T) {
			f, path := start(t, &x.peer, usualTimeouts)
			c := NewClient(path)
			check := func(what string, allowed bool, err error) {
				t.Helper()
				if allowed && err != nil || !allowed && (!errors.Is(err, ErrForbidden) || hint.Of(err) == "") {
					t.Errorf("%s: %v", what, err)
				}
			}
			_, err := c.Status(t.Context())
			check("status", x.read, err)
			check("logs", x.read, c.Logs(t.Context(), "", 1, false, func(LogLine) error { return nil }))
			check("stop", x.change, c.Service(t.Context(), "splinfer", Stop))
			if len(f.did) != 0 {
				<-f.did
			}
			check("power", x.change, c.Power(t.Context(), PowerOff))
			if (len(f.did) == 1) != x.change {
				t.Error("the backend was asked, or was not")
			}
		})
	}
}

func TestTheKernelSaysWhoAsks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	conn, err := l.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	got, err := PeerOf(conn)
	want := Peer{uint32(os.Getuid()), uint32(os.Getgid()), int32(os.Getpid())}
	if err != nil || got != want {
		t.Fatalf("got %+v, %v; want %+v", got, err, want)
	}
}

func TestLogsAreStreamedLineByLine(t *testing.T) {
	f, path := start(t, &root, usualTimeouts)
	enough := errors.New("enough")
	var got []string
	go func() { f.tail <- LogLine{Service: "splinfer", Text: "new", Lost: 7} }()
	err := NewClient(path).Logs(t.Context(), "splinfer", 2, true, func(line LogLine) error {
		got = append(got, fmt.Sprint(line.Text, line.Lost))
		if line.Lost > 0 {
			return enough
		}
		return nil
	})
	if want := []string{"line 00", "line 10", "new7"}; !errors.Is(err, enough) || !reflect.DeepEqual(got, want) {
		t.Fatalf("got %q, %v; want %q", got, err, want)
	}
	if err := NewClient(path).Logs(t.Context(), "", 0, false, nil); err != nil {
		t.Errorf("an empty log: %v", err)
	}
}

func TestAFollowerThatGivesUpEndsWithItsContext(t *testing.T) {
	f, path := start(t, &root, usualTimeouts)
	ctx, cancel := context.WithCancel(t.Context())
	err := NewClient(path).Logs(ctx, "", 1, true, func(LogLine) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	for f.readers.Load() != 0 { // the server notices without anything being written
		time.Sleep(time.Millisecond)
	}
}

func TestAFollowerMayWaitLongerThanARequestMayTake(t *testing.T) {
	limit := timeouts{read: 20 * time.Millisecond, write: 20 * time.Millisecond, idle: time.Minute}
	f, path := start(t, &root, limit)
	go func() {
		time.Sleep(3 * limit.read)
		f.tail <- LogLine{Text: "late"}
	}()
	enough := errors.New("enough")
	err := NewClient(path).Logs(t.Context(), "", 0, true, func(line LogLine) error { return enough })
	if !errors.Is(err, enough) {
		t.Fatalf("the stream ended with %v", err)
	}
}

func TestNobodyCanKeepOthersFromAsking(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	var uid atomic.Uint32
	uid.Store(4711)
	identify := func(*net.UnixConn) (Peer, error) { return Peer{UID: uid.Load()}, nil }
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, l, &fake{}, identify) }()
	defer func() { cancel(); <-done }()
	var flood []net.Conn
	for range 3 * connectionsPerUser {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		flood = append(flood, c)
	}
	// The last one is over the bound: it is closed without an answer.
	if _, err := flood[len(flood)-1].Read(make([]byte, 1)); err == nil {
		t.Error("a connection over the bound was served")
	}
	uid.Store(0)
	if _, err := NewClient(path).Status(t.Context()); err != nil {
		t.Errorf("root was kept out: %v", err)
	}
}

func TestOversizedRequestsAreRefused(t *testing.T) {
	_, path := start(t, &root, usualTimeouts)
	for name, request := range map[string]string{
		"headers": "GET /v1/status HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 64<<10) + "\r\n\r\n",
		"garbage": strings.Repeat("\x00\xff", 1000) + "\r\n\r\n",
	} {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		go io.WriteString(c, request)
		response, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err == nil && response.StatusCode < 400 {
			t.Errorf("%s: answered %s", name, response.Status)
		}
	}
}

func TestASocketThatIsNotThereIsSaidWithAHint(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none")
	_, err := NewClient(path).Status(t.Context())
	if !errors.Is(err, os.ErrNotExist) || !strings.HasPrefix(err.Error(), "ask gilgul at "+path) || hint.Of(err) == "" {
		t.Fatal(err)
	}
}

func TestListenReplacesTheSocketOfAnEarlierGilgul(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	for range 2 {
		l, err := Listen(path)
		if err != nil {
			t.Fatal(err)
		}
		l.SetUnlinkOnClose(false)
		defer l.Close()
	}
}
