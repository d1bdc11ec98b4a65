package splinfer

import (
	"context"
	"path/filepath"
	"testing"

	"runa/services/rmp"
	"runa/services/splinfer/hook"
	"runa/services/splinter"
)

// judged serves a hook under a name on the bus until the function it returns is called.
func judged(t *testing.T, bus *splinter.Bus, judge hook.Hook) (end func()) {
	t.Helper()
	listener, err := bus.Listen("tokenwhisper")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := listener.Accept(ctx)
			if err != nil {
				return
			}
			_ = hook.Serve(ctx, conn, judge)
		}
	}()
	return func() {
		cancel()
		listener.Close()
		<-ended
	}
}

func TestAServiceOnTheBusJudgesEveryTokenAndWithoutItNothingIsSaid(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bus")
	bus, err := splinter.Create(path, splinter.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer bus.Close()
	o := testOptions(t)
	o.HookName = "tokenwhisper"
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- Run(ctx, path, o, nil) }()
	if model, _, err := bus.Wait(ctx, ModelKey, 0); err != nil || string(model) != "stories15m" {
		t.Fatalf("%s is %q, %v", ModelKey, model, err)
	}
	question := rmp.Generate{Prompt: "Once upon a time", Parameters: map[string]any{"n-predict": 6}}
	dialAndAsk := func() answered {
		conn, err := bus.Dial(t.Context(), ListenerName)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return ask(t, conn, question)
	}
	if a := dialAndAsk(); len(a.tokens) != 0 || a.report.Code != rmp.CodeHookFailed {
		t.Errorf("without the judge: %+v", a)
	}
	for range 2 {
		end := judged(t, bus, hook.Func(func(token hook.Token) hook.Verdict {
			if token.Index == 4 {
				return hook.Verdict{Action: hook.Stop, Text: "Enough."}
			}
			return hook.Verdict{}
		}))
		a := dialAndAsk()
		if len(a.tokens) != 4 || a.done.Reason != rmp.ReasonHook || len(a.notices) != 1 || a.notices[0].Text != "Enough." {
			t.Errorf("with the judge: %+v", a)
		}
		end()
		if a := dialAndAsk(); len(a.tokens) != 0 || a.report.Code != rmp.CodeHookFailed {
			t.Errorf("without it again: %+v", a)
		}
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
}
