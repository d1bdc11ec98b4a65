package supervised

import (
	"bufio"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"runa/services/hint"
	"runa/services/rmp"
	"runa/services/splinter"
)

// fromVariables is FromEnvironment with these variables alone.
func fromVariables(variables map[string]string) (*Supervised, error) {
	return FromEnvironment(func(name string) string { return variables[name] })
}

// notifyPipe is a descriptor's number to write to and what arrives from it.
func notifyPipe(t *testing.T) (number string, lines *bufio.Reader) {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Dup(int(write.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	write.Close()
	t.Cleanup(func() { read.Close() })
	return strconv.Itoa(fd), bufio.NewReader(read)
}

func TestEachCallIsOneLineOnThePipe(t *testing.T) {
	number, lines := notifyPipe(t)
	s, err := fromVariables(map[string]string{"RUNA_SERVICE": "tieto", "RUNA_NOTIFY_FD": number})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		say  func() error
		want string
	}{
		{s.Ready, "READY=1\n"},
		{func() error { return s.Degraded("no model\nREADY=1\tand \x1b[2J\xff") }, "DEGRADED=no model READY=1 and  [2J \n"},
		{s.Well, "WELL=1\n"},
		{func() error { return s.Complain("splinfer", "3 answers late") }, "COMPLAIN=splinfer 3 answers late\n"},
	} {
		if err := c.say(); err != nil {
			t.Fatal(err)
		}
		if line, err := lines.ReadString('\n'); err != nil || line != c.want {
			t.Errorf("got %q, %v, want %q", line, err, c.want)
		}
	}
}

func TestALineIsNeverLongerThanItsLimit(t *testing.T) {
	number, lines := notifyPipe(t)
	s, err := fromVariables(map[string]string{"RUNA_NOTIFY_FD": number})
	if err != nil {
		t.Fatal(err)
	}
	for shift := range 4 { // a character of three bytes lies across the limit in each way
		if err := s.Degraded(strings.Repeat("x", shift) + strings.Repeat("€", LineLimit)); err != nil {
			t.Fatal(err)
		}
		line, err := lines.ReadString('\n')
		if err != nil || len(line) > LineLimit || len(line) < LineLimit-3 || !utf8.ValidString(line) {
			t.Errorf("a line of %d bytes, %v: %q", len(line), err, line)
		}
	}
}

func TestNobodyCanBeComplainedAboutByAnythingButAName(t *testing.T) {
	number, lines := notifyPipe(t)
	s, err := fromVariables(map[string]string{"RUNA_NOTIFY_FD": number})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", "two words", "a\nREADY=1", "a/b", strings.Repeat("x", 65)} {
		if err := s.Complain(name, "evidence"); err == nil {
			t.Errorf("%q was told", name)
		}
	}
	if err := s.Well(); err != nil {
		t.Fatal(err)
	}
	if line, _ := lines.ReadString('\n'); line != "WELL=1\n" {
		t.Errorf("%q came out", line)
	}
}

func TestTheDescriptorIsNotHandedToChildren(t *testing.T) {
	number, _ := notifyPipe(t)
	if _, err := fromVariables(map[string]string{"RUNA_NOTIFY_FD": number}); err != nil {
		t.Fatal(err)
	}
	fd, _ := strconv.Atoi(number)
	if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("flags %#x, %v", flags, err)
	}
}

func TestWrongVariablesAreNamed(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	defer write.Close()
	for variable, values := range map[string][]string{
		"RUNA_NOTIFY_FD": {"x", "-1", "2", "1.5", "70000", "9999", strconv.Itoa(int(read.Fd()))},
		"RUNA_HEARTBEAT": {"x", "5", "0s", "-1s"},
		"RUNA_SERVICE":   {"two words", "a/b", "\n"},
	} {
		for _, value := range values {
			if _, err := fromVariables(map[string]string{variable: value}); err == nil || !strings.Contains(err.Error(), variable) {
				t.Errorf("%s=%q: %v", variable, value, err)
			} else if variable != "RUNA_SERVICE" && hint.Of(err) == "" {
				t.Errorf("%s=%q: no hint", variable, value)
			}
		}
	}
}

func TestWithoutGilgulNothingIsSaid(t *testing.T) {
	nobody, err := fromVariables(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*Supervised{nobody, nil} {
		if s.Service() != "" || s.Period() != 0 {
			t.Errorf("it is %q, every %v", s.Service(), s.Period())
		}
		if err := errors.Join(s.Ready(), s.Degraded("x"), s.Well(), s.Complain("a", "b"), s.Beat(nil)); err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.Beating(ctx, nil, nil); err != nil {
			t.Error(err)
		}
	}
}

func TestAServiceManagerThatHasGoneIsAnError(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Dup(int(write.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	write.Close()
	read.Close()
	s, err := fromVariables(map[string]string{"RUNA_NOTIFY_FD": strconv.Itoa(fd)})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Ready(); !errors.Is(err, unix.EPIPE) {
		t.Errorf("got %v", err)
	}
}

// memory is a bus of one process.
type memory struct {
	values map[string]string
	err    error
}

func (m *memory) Set(key string, value []byte) error {
	if m.err == nil {
		m.values[key] = string(value)
	}
	return m.err
}

func TestHeartbeatsStopWithTheWorkAndGoOnWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := fromVariables(map[string]string{"RUNA_SERVICE": "tieto", "RUNA_HEARTBEAT": "2s"})
		if err != nil {
			t.Fatal(err)
		}
		bus, working := &memory{values: map[string]string{}}, true
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- s.Beating(ctx, bus, func() bool { return working }) }()
		key := HeartbeatKey("tieto")
		synctest.Wait()
		for range 10 {
			before := bus.values[key]
			if before == "" {
				t.Fatal("no heart-beat at once")
			}
			time.Sleep(2 * time.Second)
			synctest.Wait()
			if bus.values[key] == before {
				t.Fatal("no heart-beat within a period")
			}
		}
		working = false
		before := bus.values[key]
		time.Sleep(time.Minute)
		synctest.Wait()
		if bus.values[key] != before {
			t.Fatal("heart-beats without work")
		}
		working, bus.err = true, splinter.ErrFull
		time.Sleep(10 * time.Second)
		bus.err = nil
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if bus.values[key] == before {
			t.Fatal("no heart-beats once there was room and work again")
		}
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	})
}

func TestHeartbeatsEndWithTheBus(t *testing.T) {
	s, err := fromVariables(map[string]string{"RUNA_SERVICE": "tieto", "RUNA_HEARTBEAT": "1ms"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Beating(t.Context(), &memory{err: splinter.ErrClosed}, func() bool { return true }); !errors.Is(err, splinter.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func newBus(t *testing.T) *splinter.Bus {
	t.Helper()
	b, err := splinter.Create(filepath.Join(t.TempDir(), "bus"), splinter.Options{Slots: 64})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func TestAHeartbeatIsReadAsItWasSet(t *testing.T) {
	b := newBus(t)
	s, err := fromVariables(map[string]string{"RUNA_SERVICE": "tieto", "RUNA_HEARTBEAT": "1h"})
	if err != nil {
		t.Fatal(err)
	}
	if _, known := Heartbeat(b, "tieto"); known {
		t.Error("there is one that nobody set")
	}
	last := uint64(0)
	for n := range 3 {
		if err := s.Beat(b); err != nil {
			t.Fatal(err)
		}
		count, known := Heartbeat(b, "tieto")
		if !known || n > 0 && count != last+1 {
			t.Errorf("%d after %d, %v", count, last, known)
		}
		last = count
	}
	for _, wrong := range []string{"", "x", "-1", "99999999999999999999999"} {
		if err := b.Set(HeartbeatKey("tieto"), []byte(wrong)); err != nil {
			t.Fatal(err)
		}
		if count, known := Heartbeat(b, "tieto"); known {
			t.Errorf("%q is %d", wrong, count)
		}
	}
}

func TestPingTellsWhoIsWellFromWhoIsNot(t *testing.T) {
	b := newBus(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := Ping(ctx, b, "tieto"); !errors.Is(err, splinter.ErrNoListener) {
		t.Errorf("nobody there: %v", err)
	}
	l, err := b.Listen("tieto")
	if err != nil {
		t.Fatal(err)
	}
	serve := func(answer func(*splinter.Request)) {
		go func() {
			if r, err := l.AcceptRequest(ctx); err == nil {
				answer(r)
				r.Close()
			}
		}()
	}
	with := func(ill string) func(*splinter.Request) {
		return func(r *splinter.Request) {
			if f, err := Answer(r.Frame, time.Now(), 1, ill); err == nil {
				_ = r.Reply(f)
			}
		}
	}
	serve(with(""))
	if err := Ping(ctx, b, "tieto"); err != nil {
		t.Error(err)
	}
	serve(with("its work stands still"))
	if err := Ping(ctx, b, "tieto"); !errors.Is(err, ErrNotWell) || !strings.Contains(err.Error(), "its work stands still") {
		t.Errorf("got %v", err)
	}
	serve(func(*splinter.Request) {})
	if err := Ping(ctx, b, "tieto"); err == nil || errors.Is(err, ErrNotWell) {
		t.Errorf("no answer: %v", err)
	}
	serve(func(r *splinter.Request) { _ = r.Fail(rmp.CodeInternal, "no", "") })
	if err := Ping(ctx, b, "tieto"); err == nil || !strings.Contains(err.Error(), "error.report.v1") {
		t.Errorf("another answer: %v", err)
	}
	short, end := context.WithCancel(ctx)
	serve(func(r *splinter.Request) { end(); <-r.Context().Done() })
	if err := Ping(short, b, "tieto"); !errors.Is(err, context.Canceled) {
		t.Errorf("nobody answers: %v", err)
	}
}

func TestWhatIsNoPingIsNotAnsweredWithWell(t *testing.T) {
	for _, payload := range []any{rmp.CtrlRequest{Action: "dance"}, rmp.CtrlRequest{}, "text", 5} {
		question, err := rmp.New(rmp.SchemaCtrlRequest, time.Now(), [16]byte{9}, 4, payload)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := Answer(question, time.Now(), 1, "")
		if err != nil {
			t.Fatal(err)
		}
		var response rmp.CtrlResponse
		if err := answer.Unmarshal(&response); err != nil || response.OK || answer.TraceID != question.TraceID {
			t.Errorf("%v: %+v, %v", payload, response, err)
		}
	}
}
