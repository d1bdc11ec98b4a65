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
	"testing"
	"time"

	"runa/services/hint"
)

var someStatus = Status{
	Version: "0.1", Kernel: "6.12", Uptime: 90 * time.Second, ReadyAfter: 1500 * time.Millisecond,
	Services: []ServiceStatus{{
		Name: "splinfer", State: "backoff", Reason: "exited with status 1 after 12 ms", Since: time.Unix(100, 0).UTC(), Restarts: 3,
		NextStart: time.Unix(104, 0).UTC(), MemoryBytes: 5 << 20, Needs: []string{"splinter"},
		Class: "exit", Rung: "back-off", Failures: 2, Version: "3f2a", Probation: true, OpenFiles: 9, Processes: 1, CPU: time.Second,
	}},
	Data:       DataStatus{Mounted: true, Device: "/dev/vda3", SizeBytes: 1 << 30, FreeBytes: 1 << 29},
	Interfaces: []InterfaceStatus{{Name: "eth0", Kind: "ethernet"}},
	Problems:   []Problem{{What: "manifest", Why: "x.yaml:1:1: exec is missing", Hint: "add it"}},

	NotConfined: []string{"this kernel has no Landlock"},
	Consents:    []Consent{{Interface: "eth0", Since: time.Unix(100, 0).UTC(), Until: time.Unix(160, 0).UTC(), By: "uid 1000"}},
	Faults:      map[string]uint64{"exit": 3, "hang": 1},
	Pressure:    Pressure{CPU: 12.5, Memory: 0.25},
}

var someEvents = []Event{
	{Time: time.Unix(99, 0).UTC(), Service: "splinter", State: "ready", PID: 40},
	{Time: time.Unix(100, 0).UTC(), Service: "splinfer", State: "backoff", Reason: "exited with status 1", Class: "exit", Rung: "back-off", Restarts: 3, Lost: 2},
}

var someExplanation = Explanation{
	Service: "splinfer", State: "backoff", What: "It ended.", Why: "It exited with status 1.", Done: "It is started again in 4 s.",
	Events: someEvents[1:],
}

func TestStatusArrivesAsItWasGiven(t *testing.T) {
	path := start(t, newFake(), testSettings(root))
	got, err := NewClient(path).Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, someStatus) {
		t.Fatalf("got  %+v\nwant %+v", got, someStatus)
	}
}

func TestWhatIsReadArrivesAsItWasGiven(t *testing.T) {
	c := NewClient(start(t, newFake(), testSettings(root)))
	check := func(got, want any, err error) {
		t.Helper()
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v\nwant %+v", got, err, want)
		}
	}
	faults, err := c.Faults(t.Context())
	check(faults, someStatus.Faults, err)
	explanation, err := c.Explain(t.Context(), "splinfer")
	check(explanation, someExplanation, err)
	network, err := c.Net(t.Context())
	check(network, NetStatus{someStatus.Interfaces, someStatus.Consents}, err)
}

func TestChangesAreAskedOfTheBackend(t *testing.T) {
	f := newFake()
	c := NewClient(start(t, f, testSettings(root)))
	check := func(want string, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if got := <-f.did; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	for _, action := range []string{Start, Stop, Restart} {
		check(action+" splinfer", c.Service(t.Context(), "splinfer", action))
	}
	for _, action := range []string{PowerOff, Reboot} {
		check("power "+action, c.Power(t.Context(), action))
	}
	check("update splinfer /new/one with space", c.Update(t.Context(), "splinfer", "/new/./one with space"))
	check("off ", c.NetOff(t.Context(), ""))
	check("off eth0", c.NetOff(t.Context(), "eth0"))
}

func TestRefusalsKeepTheirKindWordsAndHint(t *testing.T) {
	path := start(t, newFake(), testSettings(root))
	c := NewClient(path)
	for _, x := range []struct {
		err        error
		kind       error
		text, hint string
	}{
		{c.Service(t.Context(), "ghost", Start), ErrNotFound, `service "ghost": not found`, "see: runa status"},
		{c.Service(t.Context(), "splinfer", "explode"), ErrNotFound, `action "explode" on a service: not found`, "use start, stop, restart or update"},
		{c.Service(t.Context(), "../x", "start"), ErrNotFound, `service "../x": not found`, "see: runa status"},
		{c.Service(t.Context(), "broken", Start), nil, "it broke", ""},
		{c.Power(t.Context(), "sideways"), ErrNotFound, `power action "sideways": not found`, "use off or reboot"},
		{c.Update(t.Context(), "ghost", "/x"), ErrNotFound, `service "ghost": not found`, "see: runa status"},
		{c.Update(t.Context(), "splinfer", "x"), ErrInvalid, `program="x": not understood: the absolute path of a program expected`, ""},
		{explained(c, "ghost"), ErrNotFound, `service "ghost": not found`, "see: runa status"},
		{c.NetOff(t.Context(), "a/b"), ErrInvalid, `interface "a/b": not understood: the name of an interface expected`, "runa net lists them"},
		{c.Logs(t.Context(), "ghost", 1, false, nil), ErrNotFound, `log of "ghost": not found`, "see: runa status"},
		{c.Logs(t.Context(), "", -1, false, nil), ErrInvalid, `lines="-1": not understood: a number up to 1000000 expected`, ""},
		{c.Service(t.Context(), "..", Start), ErrNotFound, `service "..": not found`, "see: runa status"},
		{c.Service(t.Context(), "", Start), ErrNotFound, `POST "/v1/services//start": not found`, "this gilgul speaks /v1 only"},
		{c.do(t.Context(), "/v2/status"), ErrNotFound, `POST "/v2/status": not found`, "this gilgul speaks /v1 only"},
	} {
		if x.err == nil || x.err.Error() != x.text || hint.Of(x.err) != x.hint || x.kind != nil && !errors.Is(x.err, x.kind) {
			t.Errorf("got %v (hint %q), want %s (hint %q)", x.err, hint.Of(x.err), x.text, x.hint)
		}
	}
}

func explained(c *Client, service string) error {
	_, err := c.Explain(context.Background(), service)
	return err
}

func TestADefectOfGilgulIsAnErrorOfTheOneWhoMetIt(t *testing.T) {
	c := NewClient(start(t, newFake(), testSettings(root)))
	if err := explained(c, "panics"); err == nil || !strings.Contains(err.Error(), "a defect in gilgul") {
		t.Errorf("got %v", err)
	}
	if err := explained(c, "splinfer"); err != nil {
		t.Errorf("the next request: %v", err)
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
			f := newFake()
			c := NewClient(start(t, f, testSettings(x.peer)))
			check := func(what string, allowed bool, err error) {
				t.Helper()
				if allowed && err != nil || !allowed && (!errors.Is(err, ErrForbidden) || hint.Of(err) == "") {
					t.Errorf("%s: %v", what, err)
				}
			}
			ctx := t.Context()
			_, err := c.Status(ctx)
			check("status", x.read, err)
			_, err = c.Faults(ctx)
			check("faults", x.read, err)
			_, err = c.Net(ctx)
			check("net", x.read, err)
			check("explain", x.read, explained(c, "splinfer"))
			check("logs", x.read, c.Logs(ctx, "", 1, false, func(LogLine) error { return nil }))
			check("events", x.read, c.Events(ctx, "", false, func(Event) error { return nil }))

			check("stop", x.change, c.Service(ctx, "splinfer", Stop))
			check("update", x.change, c.Update(ctx, "splinfer", "/x"))
			check("power", x.change, c.Power(ctx, PowerOff))
			check("net off", x.change, c.NetOff(ctx, ""))
			explanation, err := c.ExplainNet(ctx, "eth0", time.Minute)
			check("net explain", x.change, err)
			_, err = c.AllowNet(ctx, NetRequest{"eth0", time.Minute, explanation.Token})
			check("net allow", x.change, err)
			if asked := len(f.did); x.change && asked != 5 || !x.change && asked != 0 {
				t.Errorf("the backend was asked for %d changes", asked)
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
	f := newFake()
	path := start(t, f, testSettings(root))
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
	f := newFake()
	path := start(t, f, testSettings(root))
	ctx, cancel := context.WithCancel(t.Context())
	err := NewClient(path).Logs(ctx, "", 1, true, func(LogLine) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	// The server notices without anything being written.
	await(t, "the follower is gone", func() bool { return f.readers.Load() == 0 })
}

func TestOversizedRequestsAreRefused(t *testing.T) {
	path := start(t, newFake(), testSettings(root))
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
