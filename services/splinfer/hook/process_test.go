package hook

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"runa/services/rmp"
	"runa/services/splinter"
)

const (
	listener     = "tokenwhisper"
	echoListener = "echo"
	busOfRole    = "RUNA_HOOK_TEST_BUS"
)

// patient is for tests on a real clock: nobody on a machine that is slow shall seem late.
var patient = Options{Patience: 5 * time.Minute}

// TestMain turns the test binary into a judge when a test starts it again.
func TestMain(m *testing.M) {
	path := os.Getenv(busOfRole)
	if path == "" {
		os.Exit(m.Run())
	}
	go func() { // a parent that dies closes the pipe; nobody is left behind
		io.Copy(io.Discard, os.Stdin)
		os.Exit(1)
	}()
	fmt.Fprintln(os.Stderr, judgeAlone(path))
	os.Exit(1)
}

// judgeAlone is a whole program that judges, the one in README.md: it says so
// for each token of "held", masks those of "masked" and allows the others.
func judgeAlone(path string) error {
	bus, err := splinter.Open(path)
	if err != nil {
		return err
	}
	l, err := bus.Listen(listener)
	if err != nil {
		return err
	}
	anchor, err := bus.Listen(echoListener)
	if err != nil {
		return err
	}
	go echo(anchor)
	fmt.Println("ready")
	for {
		conn, err := l.Accept(context.Background())
		if err != nil {
			return err
		}
		go Serve(context.Background(), conn, selective{"": Empty(), "held": holding{}, "masked": Func(mask)})
	}
}

// echo gives back every frame of one connection, which benchmarks compare with.
func echo(l *splinter.Listener) {
	conn, err := l.Accept(context.Background())
	for err == nil {
		var frame rmp.Frame
		if frame, err = conn.Receive(context.Background()); err == nil {
			err = conn.Send(context.Background(), frame)
		}
	}
}

func mask(t Token) Verdict { return Verdict{Action: Mask, Mask: t.ID + 1, Rule: "test.mask"} }

// holding never decides a token.
type holding struct{}

func (holding) Begin(Answer) (Session, Verdict, error) { return holding{}, Verdict{}, nil }
func (holding) Later() <-chan Verdict                  { return make(chan Verdict) }
func (holding) End(string)                             {}

func (holding) Judge(t Token) (Verdict, bool) {
	fmt.Println("holding", t.Index)
	return Verdict{Action: Hold}, true
}

// process is a judge in a process of its own.
type process struct {
	t     testing.TB
	cmd   *exec.Cmd
	lines *bufio.Scanner
}

func startJudge(t testing.TB, bus *splinter.Bus) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(os.Args[0])}
	p.cmd.Env = append(os.Environ(), busOfRole+"="+bus.Path())
	p.cmd.Stderr = os.Stderr
	_, err := p.cmd.StdinPipe() // closed when this process ends
	must(t, err)
	out, err := p.cmd.StdoutPipe()
	must(t, err)
	p.lines = bufio.NewScanner(out)
	must(t, p.cmd.Start())
	t.Cleanup(p.kill)
	p.says("ready")
	return p
}

func (p *process) says(want string) {
	p.t.Helper()
	if !p.lines.Scan() || p.lines.Text() != want {
		p.t.Fatalf("the judge said %q (%v), want %q", p.lines.Text(), p.lines.Err(), want)
	}
}

func (p *process) kill() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
}

func onBus(t testing.TB) (*splinter.Bus, Hook) {
	t.Helper()
	bus, err := splinter.Create(filepath.Join(t.TempDir(), "bus"), splinter.Options{})
	must(t, err)
	t.Cleanup(func() { bus.Close() })
	dial := func(ctx context.Context) (Conn, error) {
		conn, err := bus.Dial(ctx, listener)
		if err != nil {
			return nil, err
		}
		return conn, nil
	}
	return bus, Sidecar(dial, patient)
}

func TestAJudgeInAnotherProcessJudgesPromptsAndTokens(t *testing.T) {
	bus, h := onBus(t)
	startJudge(t, bus)
	long := make([]int32, 20000) // several times what the connection holds
	s := begun(t, h, Answer{Persona: "masked", Prompt: long, Piece: func(int32) []byte { return []byte("piece") }}, Allow)
	other := begun(t, h, Answer{}, Allow)
	for i := range 100 {
		if v := judged(t, s, Token{Index: i, ID: int32(i), Piece: []byte("x")}); v.Action != Mask || v.Mask != int32(i+1) || v.Rule != "test.mask" {
			t.Fatalf("token %d got %+v", i, v)
		}
		if v := judged(t, other, Token{Index: i}); v.Action != Allow {
			t.Fatalf("token %d of the other answer got %+v", i, v)
		}
	}
	s.End("stop")
	other.End("stop")
}

func TestAKilledJudgeStopsEveryAnswerAndTheNextIsJudgedByTheNext(t *testing.T) {
	bus, h := onBus(t)
	if _, _, err := h.Begin(Answer{}); !errors.Is(err, ErrGone) || !errors.Is(err, splinter.ErrNoListener) {
		t.Fatalf("with no judge there: %v", err)
	}
	for range 3 {
		judge := startJudge(t, bus)
		held, waiting, idle := begun(t, h, Answer{Persona: "held"}, Allow), begun(t, h, Answer{Persona: "held"}, Allow), begun(t, h, Answer{}, Allow)
		held.Judge(Token{Index: 7, Text: secret})
		judge.says("holding 7")
		waiting.Judge(Token{Index: 8, Text: secret})
		judge.kill()
		for _, s := range []Session{held, waiting, idle} {
			if err := gone(t, s); !errors.Is(err, ErrGone) || strings.Contains(err.Error(), secret) {
				t.Errorf("the cause is %v", err)
			}
			if _, decided := s.Judge(Token{Index: 9}); decided {
				t.Error("a token was decided after its judge's death")
			}
			s.End("hook")
		}
		if _, _, err := h.Begin(Answer{}); !errors.Is(err, ErrGone) {
			t.Errorf("an answer began with nobody there: %v", err)
		}
	}
}
