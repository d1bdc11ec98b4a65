package splinfer

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"runa/services/rmp"
	"runa/services/splinfer/hook"
	"runa/services/splinter"
)

const childBus = "RUNA_TEST_CHILD_BUS"

// TestMain turns the test binary into a client that asks and then only waits,
// when it is started by TestKilledClientIsCancelled.
func TestMain(m *testing.M) {
	if path := os.Getenv(childBus); path != "" {
		os.Exit(childAsks(path))
	}
	os.Exit(m.Run())
}

func childAsks(path string) int {
	bus, err := splinter.Open(path)
	if err != nil {
		return 3
	}
	conn, err := bus.Dial(context.Background(), ListenerName)
	if err != nil {
		return 4
	}
	frame, err := rmp.New(rmp.SchemaGenerate, time.Now(), [16]byte{7}, 1,
		rmp.Generate{Prompt: "Once", Parameters: map[string]any{"ignore-eos": true}})
	if err != nil || conn.Send(context.Background(), frame) != nil {
		return 5
	}
	select {} // until it is killed
}

func TestKilledClientIsCancelledAndTheNextIsAnswered(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bus")
	bus, err := splinter.Create(path, splinter.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer bus.Close()
	o := testOptions(t)
	reached := make(chan struct{})
	count := 0
	o.Hook = hook.Func(func(token hook.Token) hook.Verdict {
		if count++; count == 3 {
			close(reached)
		}
		if count > 3 && token.Index > 2 { // slow enough to be cancelled long before the end
			time.Sleep(10 * time.Millisecond)
		}
		return hook.Verdict{}
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, path, o, nil) }()
	if model, _, err := bus.Wait(ctx, ModelKey, 0); err != nil || string(model) != "stories15m" {
		t.Fatalf("%s is %q, %v", ModelKey, model, err)
	}
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childBus+"="+path)
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	<-reached
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	child.Wait()
	conn, err := bus.Dial(t.Context(), ListenerName)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	a := ask(t, conn, rmp.Generate{Prompt: "Once", Parameters: map[string]any{"n-predict": 2}})
	if len(a.tokens) != 2 {
		t.Fatalf("got %+v", a)
	}
	if count >= 250 {
		t.Fatalf("the killed client's answer went on to %d tokens", count)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}
