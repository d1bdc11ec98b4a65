package runa_test

import (
	"context"
	"crypto/rand"
	"os"
	"os/signal"
	"path/filepath"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/term"

	"runa/services/runa"
	"runa/services/splinter"
)

// The scripts in testdata/script run the real command in a process of its own
// against `peer`, the other side of the bus in a process that can die, and
// `gilgul`, the other side of the control socket.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"runa": func() { os.Exit(command()) },
		"peer": peerProgram,
	})
}

func command() int {
	interrupt := make(chan os.Signal, 1)
	signal.Notify(interrupt, os.Interrupt)
	return runa.Main(context.Background(), os.Args[1:], runa.Environment{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		Terminal:  os.Getenv("TERMINAL") != "", // a script's standard output never is one
		Typed:     term.IsTerminal(int(os.Stdin.Fd())),
		NoteAfter: time.Hour,
		Interrupt: interrupt,
		Bus:       os.Getenv("RUNA_BUS"),
		Control:   os.Getenv("RUNA_CONTROL"),
		Import:    os.Getenv("RUNA_IMPORT"),
		Meminfo:   os.Getenv("WORK") + "/meminfo",
		Glance:    patience(),
		Now:       func() time.Time { return noon.Add(30 * time.Second) },
		Trace:     func() (id [16]byte) { _, _ = rand.Read(id[:]); return id },
		Patience:  patience(),
		Version:   "1.2.3",
	})
}

// noon is when the parts in these tests last changed their state.
var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// patience is long, so that no test depends on it, but for the test of its end.
func patience() time.Duration {
	if os.Getenv("IMPATIENT") != "" {
		return 200 * time.Millisecond
	}
	return time.Minute
}

func TestCommands(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:  "testdata/script",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"gilgul": startGilgul, "ready": awaitReady},
		Setup: func(env *testscript.Env) error {
			bus := filepath.Join(env.WorkDir, "bus")
			env.Setenv("RUNA_BUS", bus)
			env.Setenv("RUNA_CONTROL", filepath.Join(env.WorkDir, "control.sock"))
			env.Setenv("RUNA_IMPORT", filepath.Join(env.WorkDir, "import"))
			env.Setenv("TZ", "UTC")
			created, err := splinter.Create(bus, splinter.Options{Mode: 0o600})
			if err != nil {
				return err
			}
			env.Values[busKey{}] = &busOf{Bus: created}
			env.Defer(func() { created.Close() })
			return nil
		},
	})
}

// busOf is a script's bus, and which change of the model's key it has seen.
type busOf struct {
	*splinter.Bus
	seen uint64
}

type busKey struct{}

// awaitReady is the script command `ready`: it waits until one more peer has
// said that its model is ready.
func awaitReady(script *testscript.TestScript, _ bool, _ []string) {
	bus := script.Value(busKey{}).(*busOf)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	_, version, err := bus.Wait(ctx, "service/splinfer/model", bus.seen)
	script.Check(err)
	bus.seen = version
}
