package splinfer

import (
	"bufio"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"runa/services/rmp"
	"runa/services/splinfer/hook"
	"runa/services/splinter"
	"runa/services/supervised"
)

// supervisedRun is splinfer on a bus of its own with a service manager that listens.
type supervisedRun struct {
	bus   *splinter.Bus
	lines *bufio.Reader // what it says to the manager
	ctx   context.Context
}

func runSupervised(t *testing.T, o Options) *supervisedRun {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bus")
	bus, err := splinter.Create(path, splinter.Options{})
	if err != nil {
		t.Fatal(err)
	}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Dup(int(write.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	write.Close()
	variables := map[string]string{"RUNA_SERVICE": "splinfer", "RUNA_HEARTBEAT": "20ms", "RUNA_NOTIFY_FD": strconv.Itoa(fd)}
	gilgul, err := supervised.FromEnvironment(func(name string) string { return variables[name] })
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, path, o, gilgul) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, splinter.ErrClosed) {
			t.Errorf("run: %v", err)
		}
		bus.Close()
		read.Close()
	})
	return &supervisedRun{bus: bus, lines: bufio.NewReader(read), ctx: ctx}
}

func (r *supervisedRun) says(t *testing.T, prefix string) {
	t.Helper()
	line, err := r.lines.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, prefix) {
		t.Fatalf("it says %q, %v; %q was expected", line, err, prefix)
	}
}

func (r *supervisedRun) ask(t *testing.T, g rmp.Generate) answered {
	t.Helper()
	conn, err := r.bus.Dial(r.ctx, ListenerName)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return ask(t, conn, g)
}

func TestWithoutAModelItIsDegradedUntilOneIsThere(t *testing.T) {
	o := testOptions(t)
	model := filepath.Join(o.Models, "stories15m.gguf")
	away := filepath.Join(o.Models, "away")
	if err := os.Rename(model, away); err != nil {
		t.Fatal(err)
	}
	r := runSupervised(t, o)
	r.says(t, "READY=1\n")
	r.says(t, "DEGRADED=the default model can't be used: ")
	if name, _, err := r.bus.Get(ModelKey); err != nil || len(name) != 0 {
		t.Fatalf("%s is %q, %v", ModelKey, name, err)
	}
	if a := r.ask(t, rmp.Generate{Prompt: "secret words"}); a.report.Code != rmp.CodeModelUnknown {
		t.Fatalf("got %+v", a)
	}
	if err := supervised.Ping(r.ctx, r.bus, ListenerName); err != nil {
		t.Fatalf("it works, with what there is: %v", err)
	}
	if err := os.Rename(away, model); err != nil {
		t.Fatal(err)
	}
	if a := r.ask(t, rmp.Generate{Prompt: "Once", Parameters: map[string]any{"tmep": 1}}); a.report.Code != rmp.CodeParameterUnknown {
		t.Fatalf("got %+v", a)
	}
	if a := r.ask(t, rmp.Generate{Prompt: "Once", Parameters: map[string]any{"n-predict": 1}}); len(a.tokens) != 1 {
		t.Fatalf("got %+v", a)
	}
	r.says(t, "WELL=1\n")
	if name, _, err := r.bus.Get(ModelKey); err != nil || string(name) != "stories15m" {
		t.Fatalf("%s is %q, %v", ModelKey, name, err)
	}
}

// The hook runs in the computing goroutine: while it blocks nothing is computed.
func TestHeartbeatsAndPingsEndWithTheComputation(t *testing.T) {
	o := testOptions(t)
	var later atomic.Int64
	began := time.Now() // the service's clock stands still: how fast the machine is does not matter
	o.Now = func() time.Time { return began.Add(time.Duration(later.Load())) }
	blocked, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	o.Hook = hook.Func(func(hook.Token) hook.Verdict {
		once.Do(func() { close(blocked); <-release })
		return hook.Verdict{}
	})
	r := runSupervised(t, o)
	r.says(t, "READY=1\n")
	beats := func() uint64 { n, _ := supervised.Heartbeat(r.bus, "splinfer"); return n }
	for before := beats(); beats() == before || beats() == 0; {
		if r.ctx.Err() != nil {
			t.Fatal("no heart-beats of a service that waits")
		}
		time.Sleep(time.Millisecond)
	}
	conn, err := r.bus.Dial(r.ctx, ListenerName)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	generate := rmp.Generate{Prompt: "Once", Parameters: map[string]any{"n-predict": 3}}
	if err := conn.Send(r.ctx, request(t, rmp.SchemaGenerate, generate)); err != nil {
		t.Fatal(err)
	}
	<-blocked
	if err := supervised.Ping(r.ctx, r.bus, ListenerName); err != nil {
		t.Errorf("a step that is within its time: %v", err)
	}
	later.Store(int64(time.Hour)) // the step is out of its time
	if err := supervised.Ping(r.ctx, r.bus, ListenerName); !errors.Is(err, supervised.ErrNotWell) {
		t.Errorf("a computation that stands still: %v", err)
	}
	for before, after := uint64(0), beats(); before != after; before, after = after, beats() { // one may have been under way
		if err := supervised.Ping(r.ctx, r.bus, ListenerName); !errors.Is(err, supervised.ErrNotWell) {
			t.Fatalf("and once more: %v", err)
		}
	}
	close(release)
	if a := collect(t, conn); len(a.tokens) != 3 {
		t.Errorf("got %+v", a)
	}
	if err := supervised.Ping(r.ctx, r.bus, ListenerName); err != nil {
		t.Errorf("it works again: %v", err)
	}
}
