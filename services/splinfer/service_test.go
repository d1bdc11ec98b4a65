package splinfer

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/go-hclog"

	"runa/services/rmp"
	"runa/services/rmp/rmptest"
	"runa/services/splinfer/hook"
)

func TestAnswerStreamsAndEnds(t *testing.T) {
	r := start(t, testOptions(t))
	if r.model != "stories15m" {
		t.Fatalf("ready with %q", r.model)
	}
	conn := r.connect()
	first := ask(t, conn, rmp.Generate{Prompt: "Once upon a time", Parameters: map[string]any{"n-predict": 20}})
	if len(first.tokens) != 20 || first.done.Reason != rmp.ReasonLength || first.done.Tokens != 20 || first.done.PromptTokens != 5 {
		t.Fatalf("got %d tokens, %+v, %+v", len(first.tokens), first.done, first.report)
	}
	if !strings.HasPrefix(first.text, ", there was a") {
		t.Fatalf("got %q", first.text)
	}
	chat := ask(t, conn, rmp.Generate{
		Model: "stories15m", Messages: []rmp.Message{{Role: "user", Content: "Once upon a time"}},
		Parameters: map[string]any{"n-predict": uint8(20)},
	})
	if chat.text != first.text {
		t.Fatalf("temperature 0 gave %q, then %q", first.text, chat.text)
	}
	whole := ask(t, conn, rmp.Generate{Prompt: "Once upon a time"})
	if whole.done.Reason != rmp.ReasonStop {
		t.Fatalf("%d tokens, then %+v", len(whole.tokens), whole.done)
	}
	full := ask(t, conn, rmp.Generate{Prompt: "Once upon a time", Parameters: map[string]any{"ignore-eos": true}})
	if full.done.Reason != rmp.ReasonLength || len(full.tokens) != 256-5+1 {
		t.Fatalf("%d tokens, then %+v", len(full.tokens), full.done)
	}
	if none := ask(t, conn, rmp.Generate{Prompt: "A", Parameters: map[string]any{"n-predict": 0}}); len(none.tokens) != 0 || none.done.Reason != rmp.ReasonLength {
		t.Fatalf("n-predict 0 gave %d tokens, %+v", len(none.tokens), none.done)
	}
}

func TestEmojiAreNeverCut(t *testing.T) {
	conn := start(t, testOptions(t)).connect()
	a := ask(t, conn, rmp.Generate{Prompt: "Smile", Parameters: map[string]any{"grammar": `root ::= "🙂ü🙂"`}})
	if a.text != "🙂ü🙂" || len(a.tokens) < 4 || a.done.Reason != rmp.ReasonStop {
		t.Fatalf("got %q in %d tokens, %+v %+v", a.text, len(a.tokens), a.done, a.report)
	}
}

func TestBadRequestsAreAnsweredWithAReason(t *testing.T) {
	conn := start(t, testOptions(t)).connect()
	with := func(name string, value any) rmp.Generate {
		return rmp.Generate{Prompt: "Hi", Parameters: map[string]any{name: value}}
	}
	for name, c := range map[string]struct {
		request       rmp.Generate
		code, message string
	}{
		"long":           {rmp.Generate{Prompt: strings.Repeat("word ", 400)}, rmp.CodePromptTooLong, "402 tokens, the context holds 256"},
		"far too long":   {rmp.Generate{Prompt: strings.Repeat("x", 1<<20)}, rmp.CodePromptTooLong, "holds 256"},
		"unknown":        {with("tmep", 1), rmp.CodeParameterUnknown, `"tmep"`},
		"wrong type":     {with("top-k", "many"), rmp.CodeParameterInvalid, "top-k"},
		"out of range":   {with("top-p", 1.5), rmp.CodeParameterInvalid, "1.5"},
		"bad grammar":    {with("grammar", "root ="), rmp.CodeParameterInvalid, "line 1, column 6"},
		"no prompt":      {rmp.Generate{}, rmp.CodeParameterInvalid, "exactly one"},
		"both":           {rmp.Generate{Prompt: "a", Messages: []rmp.Message{{Role: "user"}}}, rmp.CodeParameterInvalid, "exactly one"},
		"role":           {rmp.Generate{Messages: []rmp.Message{{Role: "wizard"}}}, rmp.CodeParameterInvalid, "messages[0].role"},
		"no UTF-8":       {rmp.Generate{Prompt: "\xff\xfe"}, rmp.CodeParameterInvalid, "UTF-8"},
		"unknown model":  {rmp.Generate{Prompt: "a", Model: "gpt"}, rmp.CodeModelUnknown, "gpt"},
		"model upstairs": {rmp.Generate{Prompt: "a", Model: "../x"}, rmp.CodeModelUnknown, "no name"},
	} {
		a := ask(t, conn, c.request)
		if a.report.Code != c.code || !strings.Contains(a.report.Message, c.message) {
			t.Errorf("%s: got %+v, want %s with %q", name, a.report, c.code, c.message)
		}
	}
	if err := conn.Send(t.Context(), request(t, rmp.SchemaModels, rmp.Models{})); err != nil {
		t.Fatal(err)
	}
	if a := collect(t, conn); a.report.Code != rmp.CodeParameterInvalid {
		t.Errorf("a message that is no request: %+v", a.report)
	}
	if a := ask(t, conn, with("n-predict", 1)); len(a.tokens) != 1 {
		t.Fatalf("after all that it no longer answers: %+v", a.report)
	}
}

func TestDamagedModelsAreRefusedAndNamed(t *testing.T) {
	o := testOptions(t)
	whole, err := os.ReadFile(filepath.Join(o.Models, "stories15m.gguf"))
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"cut": whole[:len(whole)-4096], "text": []byte("this is not a model"), "empty": nil} {
		if err := os.WriteFile(filepath.Join(o.Models, name+".gguf"), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o.Model = "cut"
	r := start(t, o)
	if r.model != "" {
		t.Fatalf("ready with %q", r.model)
	}
	conn := r.connect()
	for _, name := range []string{"", "cut", "text", "empty"} {
		a := ask(t, conn, rmp.Generate{Model: name, Prompt: "Hi"})
		if a.report.Code != rmp.CodeModelInvalid || !strings.Contains(a.report.Message, name+".gguf") || a.report.Hint == "" {
			t.Errorf("model %q: %+v", name, a.report)
		}
	}
	if a := ask(t, conn, rmp.Generate{Model: "stories15m", Prompt: "Hi", Parameters: map[string]any{"n-predict": 3}}); len(a.tokens) != 3 {
		t.Errorf("the good model beside them: %+v", a.report)
	}
	models := listModels(t, conn)
	if len(models.Models) != 4 || models.Default != "cut" {
		t.Fatalf("got %+v", models)
	}
	for _, m := range models.Models {
		good := m.Name == "stories15m"
		if good != (m.Problem == "") || good != m.Loaded || good != (m.ContextTrain == 256) {
			t.Errorf("got %+v", m)
		}
	}
}

func TestADamagedModelIsNotTheDefaultBesideASoundOne(t *testing.T) {
	o := testOptions(t)
	if err := os.WriteFile(filepath.Join(o.Models, "a.gguf"), []byte("GGUF"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := start(t, o)
	if r.model != "stories15m" {
		t.Fatalf("ready with %q", r.model)
	}
	if models := listModels(t, r.connect()); models.Default != "stories15m" {
		t.Errorf("got %+v", models)
	}
}

func TestModelLargerThanMemoryIsRefused(t *testing.T) {
	o := testOptions(t)
	room := uint64(20 << 20)
	o.Available = func() (uint64, error) { return room, nil }
	conn := start(t, o).connect()
	a := ask(t, conn, rmp.Generate{Prompt: "Hi"})
	if a.report.Code != rmp.CodeModelInvalid || !strings.Contains(a.report.Message, "20 MiB are available") {
		t.Fatalf("got %+v", a.report)
	}
}

func TestEmptyFolderIsSaidAndAModelPutThereIsFound(t *testing.T) {
	o := testOptions(t)
	model := o.Models
	o.Models = t.TempDir()
	r := start(t, o)
	conn := r.connect()
	if a := ask(t, conn, rmp.Generate{Prompt: "Hi"}); r.model != "" || a.report.Code != rmp.CodeModelUnknown || a.report.Hint == "" {
		t.Fatalf("ready with %q, then %+v", r.model, a.report)
	}
	if err := os.Rename(filepath.Join(model, "stories15m.gguf"), filepath.Join(o.Models, "new.gguf")); err != nil {
		t.Fatal(err)
	}
	if a := ask(t, conn, rmp.Generate{Prompt: "Hi", Parameters: map[string]any{"n-predict": 2}}); len(a.tokens) != 2 {
		t.Fatalf("got %+v", a.report)
	}
}

func TestClientsAreAnsweredInTheOrderTheyCameAndAFullQueueSaysSo(t *testing.T) {
	o := testOptions(t)
	reached, release := make(chan struct{}), make(chan struct{})
	block := sync.OnceFunc(func() { close(reached); <-release })
	var judged []int // the places of tokens in their answers, as they were drawn
	o.Hook = hook.Func(func(token hook.Token) hook.Verdict {
		judged = append(judged, token.Index)
		block()
		return hook.Verdict{}
	})
	o.Queue = 1
	var log bytes.Buffer
	o.Log = hclog.New(&hclog.LoggerOptions{Output: &log})
	r := start(t, o)
	of := func(tokens int) rmp.Generate {
		return rmp.Generate{Prompt: "Geheim", Parameters: map[string]any{"n-predict": tokens}}
	}
	var asking sync.WaitGroup
	one, two := r.connect(), r.connect()
	asking.Go(func() { ask(t, one, of(2)) })
	<-reached
	asking.Go(func() { ask(t, two, of(4)) })
	r.waitForQueue(1)
	if a := ask(t, r.connect(), of(2)); a.report.Code != rmp.CodeBusy || a.report.Hint == "" {
		t.Errorf("with a full queue: %+v", a.report)
	}
	close(release)
	asking.Wait()
	if !slices.Equal(judged, []int{0, 1, 0, 1, 2, 3}) {
		t.Errorf("an answer of two tokens and then one of four were wanted, drawn were %v", judged)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(log.String(), "Geheim") {
		t.Errorf("the log has a person's words: %s", log.String())
	}
}

func TestHookStopsTheAnswerBeforeTheToken(t *testing.T) {
	o := testOptions(t)
	o.Hook = hook.Func(func(token hook.Token) hook.Verdict {
		if token.Index == 3 {
			return hook.Verdict{Action: hook.Stop}
		}
		return hook.Verdict{}
	})
	a := ask(t, start(t, o).connect(), rmp.Generate{Prompt: "Once"})
	if len(a.tokens) != 3 || a.done.Reason != rmp.ReasonHook {
		t.Fatalf("got %d tokens, %+v", len(a.tokens), a.done)
	}
}

func TestStoppingServiceTellsThoseWhoWait(t *testing.T) {
	o := testOptions(t)
	reached, release := make(chan struct{}), make(chan struct{})
	block := sync.OnceFunc(func() { close(reached); <-release })
	o.Hook = hook.Func(func(hook.Token) hook.Verdict { block(); return hook.Verdict{} })
	r := start(t, o)
	one, two := r.connect(), r.connect()
	ends := make(chan answered, 2)
	for _, conn := range []*rmptest.Wire{one, two} {
		if err := conn.Send(t.Context(), request(t, rmp.SchemaGenerate, rmp.Generate{Prompt: "Once"})); err != nil {
			t.Fatal(err)
		}
		go func() { ends <- collect(t, conn) }()
	}
	<-reached
	stopped := make(chan error)
	go func() { stopped <- r.stop() }()
	close(release)
	for range 2 {
		if a := <-ends; a.done.Reason != rmp.ReasonCancel && a.done.Reason != rmp.ReasonStop {
			t.Fatalf("got %+v", a)
		}
	}
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
}

func TestServeReturnsWhyItCannotAccept(t *testing.T) {
	service, err := New(testOptions(t))
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("bus is gone")
	err = service.Serve(t.Context(), func(context.Context) (connection, error) { return nil, broken }, func(string) error { return nil })
	if !errors.Is(err, broken) {
		t.Fatalf("got %v", err)
	}
}
