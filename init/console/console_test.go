package console

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"runa/init/terminal"
	"runa/services/hint"
)

func example() State {
	return State{
		Version:  "0.2",
		Services: []Service{{"splinter", "ready", ""}, {"splinfer", "backoff", "ended with\nstatus 1"}},
		Data:     "/dev/vda4, 1.0 of 2.0 GB free",
		Network:  "OFF (eth0 is down)",
		Problems: []string{"tieto.yaml:3:1: unknown key \x1b[2J"},
		Welcome:  "Type runa to see what you can do.\n",
	}
}

const exampleBanner = `
RUNA 0.2 - private conversations, on this machine alone

  splinter  ready
  splinfer  backoff: ended with status 1
  data      /dev/vda4, 1.0 of 2.0 GB free
  network   OFF (eth0 is down)

1 problem:
  - tieto.yaml:3:1: unknown key ?[2J

There is no password yet: whoever reaches this console is its owner.
Type runa to see what you can do.

`

func TestTheBannerTellsTheStateAndNoIllusions(t *testing.T) {
	if got := Banner(example()); got != exampleBanner {
		t.Errorf("got:\n%s\nwant:\n%s", got, exampleBanner)
	}
}

func TestARootConsoleSaysSo(t *testing.T) {
	s := example()
	s.Root = true
	if got := Banner(s); !strings.Contains(got, "the shell is ROOT") {
		t.Errorf("got:\n%s", got)
	}
}

func TestManyProblemsLeaveRoomForTheRest(t *testing.T) {
	s := example()
	s.Problems = strings.Split(strings.Repeat("bad ", 40), " ")
	if got := Banner(s); strings.Count(got, "\n") > 24 || !strings.Contains(got, "and 37 more: runa status") {
		t.Errorf("got:\n%s", got)
	}
}

// person is a terminal at which somebody types.
type person struct {
	io.Reader
	bytes.Buffer
}

func (p *person) Read(b []byte) (int, error) { return p.Reader.Read(b) }

func config(ready chan struct{}, after time.Duration) Config {
	return Config{
		State: example, Settled: ready, ReadyAfter: func() time.Duration { return after },
		Patience: time.Hour, Log: hclog.NewNullLogger(),
	}
}

func TestThePromptComesAfterReady(t *testing.T) {
	ready := make(chan struct{})
	close(ready)
	r, w := io.Pipe()
	p := &person{Reader: r}
	go func() { time.Sleep(20 * time.Millisecond); w.Write([]byte("anybody\n")) }()
	if _, err := config(ready, 2140*time.Millisecond).login(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if got := p.Buffer.String(); !strings.HasSuffix(got, "Ready in 2.1 s.\nruna login: press Enter ") {
		t.Errorf("got:\n%s", got)
	}
}

func TestWhoeverIsInAHurryWaitsForTheirFiles(t *testing.T) {
	c, files, there := config(make(chan struct{}), 0), make(chan struct{}), false
	c.Files = files
	c.Account = func() Account { return Account{Temporary: !there} }
	var seen bytes.Buffer
	go func() { time.Sleep(20 * time.Millisecond); there = true; close(files) }()
	if a := c.whoLogsIn(t.Context(), &seen); a.Temporary || !strings.HasPrefix(seen.String(), "One moment") {
		t.Errorf("%+v, and it said %q", a, seen.String())
	}
	seen.Reset()
	if a := c.whoLogsIn(t.Context(), &seen); a.Temporary || seen.Len() > 0 {
		t.Errorf("%+v when they are there, and it said %q", a, seen.String())
	}
	there, c.Files, c.Patience = false, make(chan struct{}), time.Millisecond
	if a := c.whoLogsIn(t.Context(), &seen); !a.Temporary || !strings.Contains(seen.String(), "is lost") {
		t.Errorf("%+v without a disk, and it said %q", a, seen.String())
	}
}

func TestWhatWentWrongSinceTheBannerIsTold(t *testing.T) {
	shown := example()
	now := example()
	now.Problems = append(now.Problems, "mount /data: no disk")
	if got := news(shown, now, 0); !strings.HasPrefix(got, "Problem: mount /data: no disk\nNot ready yet: splinfer is backoff.") {
		t.Errorf("got:\n%s", got)
	}
}

func TestThePromptDoesNotWaitForEver(t *testing.T) {
	c := config(make(chan struct{}), 0)
	c.Patience = time.Millisecond
	r, w := io.Pipe()
	p := &person{Reader: r}
	go func() { time.Sleep(20 * time.Millisecond); w.Write([]byte("\n")) }()
	if _, err := c.login(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if got := p.Buffer.String(); !strings.Contains(got, "Not ready yet: splinfer is backoff.") {
		t.Errorf("got:\n%s", got)
	}
}

func TestAHungUpTerminalEndsTheLogin(t *testing.T) {
	ready := make(chan struct{})
	close(ready)
	_, err := config(ready, 1).login(t.Context(), &person{Reader: strings.NewReader("")})
	if !errors.Is(err, errHungUp) {
		t.Errorf("got %v", err)
	}
}

func TestTheEndOfTheMachineEndsTheLogin(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r, _ := io.Pipe()
	if _, err := config(make(chan struct{}), 0).login(ctx, &person{Reader: r}); err != nil {
		t.Error(err)
	}
}

func TestARescueGoesBeforeALogin(t *testing.T) {
	c := config(make(chan struct{}), 0)
	rescues := make(chan Trouble, 1)
	rescues <- Trouble{Reason: errors.New("out of ideas")}
	c.Rescues = rescues
	r, _ := io.Pipe()
	trouble, err := c.login(t.Context(), &person{Reader: r})
	if err != nil || trouble == nil || trouble.Reason.Error() != "out of ideas" {
		t.Errorf("got %v, %v", trouble, err)
	}
}

func TestBackOffGrowsAndIsBounded(t *testing.T) {
	for failures, want := range map[int]time.Duration{
		0: 0, 1: time.Second, 2: 2 * time.Second, 5: 16 * time.Second, 6: longestWait, 1000: longestWait,
	} {
		if got := backOff(failures); got != want {
			t.Errorf("after %d: %v, want %v", failures, got, want)
		}
	}
}

func TestTheShellOfTheOwnerHasNoOtherRights(t *testing.T) {
	c := shellCommand(os.Stdin, terminal.Terminal{Path: "/dev/ttyS0"}, Account{Name: "owner", UID: 1000, GID: 100, Home: "/absent"})
	credential := c.SysProcAttr.Credential
	if credential.Uid != 1000 || credential.Gid != 100 || len(credential.Groups) != 1 || credential.Groups[0] != 100 {
		t.Errorf("%+v", credential)
	}
	if !c.SysProcAttr.Setsid || !c.SysProcAttr.Setctty || c.Dir != "/" {
		t.Errorf("%+v in %s", c.SysProcAttr, c.Dir)
	}
	for _, e := range c.Env {
		if e == "PATH=/bin:/sbin" {
			return
		}
	}
	t.Errorf("environment %v", c.Env)
}

func TestHowAShellEndedIsTold(t *testing.T) {
	for status, want := range map[syscall.WaitStatus]string{
		0: "", 127 << 8: "The shell ended with status 127.", 9: "The shell was ended by SIGKILL.",
	} {
		if got := ended(status); got != want {
			t.Errorf("%d: %q", status, got)
		}
	}
}

func TestARescueSaysWhyAndWhatToDo(t *testing.T) {
	got := rescueText(hint.New(errors.New("mount /dev: no such device"), "build the kernel with devtmpfs"))
	if !strings.Contains(got, "error: mount /dev: no such device\n") || !strings.Contains(got, "hint: build the kernel with devtmpfs\n") {
		t.Errorf("got:\n%s", got)
	}
}
