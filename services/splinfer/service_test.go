package splinfer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/hashicorp/go-hclog"

	"runa/services/rmp"
	"runa/services/splinfer/hook"
)

// environment returns a variable that `make test` sets.
func environment(t testing.TB, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		t.Fatalf("%s is not set; run the tests with `make test`, which sets it", name)
	}
	return value
}

// modelFolder is a folder with stories15m in it, and files the test adds.
func modelFolder(t testing.TB) string {
	t.Helper()
	folder := t.TempDir()
	if err := os.Symlink(environment(t, "RUNA_MODEL_STORIES15M"), filepath.Join(folder, "stories15m.gguf")); err != nil {
		t.Fatal(err)
	}
	return folder
}

func testOptions(t testing.TB) Options {
	t.Helper()
	defaults, err := Defaults().With(map[string]any{"temp": 0})
	if err != nil {
		t.Fatal(err)
	}
	return Options{
		Libraries: environment(t, "RUNA_LLAMA_DIR"), Models: modelFolder(t), Threads: 1, Defaults: defaults,
		Now: time.Now, Random: rand.Uint32, Available: func() (uint64, error) { return 1 << 30, nil },
	}
}

// wire is one side of a connection within the test process.
type wire struct {
	send    chan<- rmp.Frame
	receive <-chan rmp.Frame
	done    chan struct{}
	close   func()
}

func newWires() (client, server *wire) {
	up, down, done := make(chan rmp.Frame), make(chan rmp.Frame), make(chan struct{})
	hangUp := sync.OnceFunc(func() { close(done) })
	return &wire{up, down, done, hangUp}, &wire{down, up, done, hangUp}
}

func (w *wire) Send(ctx context.Context, f rmp.Frame) error {
	select {
	case w.send <- f:
		return nil
	case <-w.done:
		return io.ErrClosedPipe
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *wire) Receive(ctx context.Context) (rmp.Frame, error) {
	select {
	case f := <-w.receive:
		return f, nil
	case <-w.done:
		return rmp.Frame{}, io.EOF
	case <-ctx.Done():
		return rmp.Frame{}, ctx.Err()
	}
}

func (w *wire) Close() error          { w.close(); return nil }
func (w *wire) Done() <-chan struct{} { return w.done }

// running is a service that answers on wires.
type running struct {
	t       testing.TB
	service *Service
	dial    chan *wire
	stop    func() error // ends the service and returns what Serve returned
	model   string       // what it said when it was ready
}

func start(t testing.TB, o Options) *running {
	t.Helper()
	service, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{t: t, service: service, dial: make(chan *wire)}
	ready, ended := make(chan string, 1), make(chan error, 1)
	accept := func(ctx context.Context) (connection, error) {
		select {
		case conn := <-r.dial:
			return conn, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	go func() {
		ended <- service.Serve(ctx, accept, func(model string) error { ready <- model; return nil })
	}()
	r.stop = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	r.model = <-ready
	return r
}

func (r *running) connect() *wire {
	client, server := newWires()
	r.dial <- server
	r.t.Cleanup(func() { client.Close() })
	return client
}

// answered is what a client got for one request.
type answered struct {
	text   string
	tokens []rmp.Token
	done   rmp.Done
	report rmp.Report

	notices []rmp.Notice
	places  []rmp.Queued
}

func request(t testing.TB, schema uint16, payload any) rmp.Frame {
	t.Helper()
	frame, err := rmp.New(schema, time.Now(), [16]byte{7}, 1, payload)
	if err != nil {
		t.Fatal(err)
	}
	return frame
}

// ask sends a request and collects the answer until its end.
func ask(t testing.TB, conn connection, g rmp.Generate) answered {
	t.Helper()
	if err := conn.Send(t.Context(), request(t, rmp.SchemaGenerate, g)); err != nil {
		t.Fatal(err)
	}
	return collect(t, conn)
}

func collect(t testing.TB, conn connection) (a answered) {
	t.Helper()
	return collectFrom(t, conn, 0)
}

// collectFrom collects an answer whose tokens are wanted from an index on.
func collectFrom(t testing.TB, conn connection, from int) (a answered) {
	t.Helper()
	for {
		frame, err := conn.Receive(t.Context())
		if err != nil {
			t.Fatalf("after %d tokens: %v", len(a.tokens), err)
		}
		if frame.TraceID != [16]byte{7} {
			t.Fatalf("trace id %x", frame.TraceID)
		}
		switch frame.SchemaID {
		case rmp.SchemaToken:
			var token rmp.Token
			err = frame.Unmarshal(&token)
			if int(token.Index) != from+len(a.tokens) || !utf8.ValidString(token.Text) {
				t.Fatalf("token %d has index %d and text %q", len(a.tokens), token.Index, token.Text)
			}
			a.tokens = append(a.tokens, token)
			a.text += token.Text
		case rmp.SchemaDone:
			err = frame.Unmarshal(&a.done)
			a.text += a.done.Text
		case rmp.SchemaNotice:
			var notice rmp.Notice
			err = frame.Unmarshal(&notice)
			a.notices = append(a.notices, notice)
		case rmp.SchemaQueued:
			var place rmp.Queued
			err = frame.Unmarshal(&place)
			a.places = append(a.places, place)
		case rmp.SchemaErrorReport:
			err = frame.Unmarshal(&a.report)
		default:
			t.Fatalf("unexpected %s", frame.Type)
		}
		if err != nil {
			t.Fatal(err)
		}
		if frame.SchemaID == rmp.SchemaDone || frame.SchemaID == rmp.SchemaErrorReport {
			return a
		}
	}
}

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

func listModels(t *testing.T, conn connection) (models rmp.Models) {
	t.Helper()
	if err := conn.Send(t.Context(), request(t, rmp.SchemaModelsRequest, rmp.ModelsRequest{})); err != nil {
		t.Fatal(err)
	}
	frame, err := conn.Receive(t.Context())
	if err == nil {
		err = frame.Unmarshal(&models)
	}
	if err != nil {
		t.Fatal(err)
	}
	return models
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
	o.Hook = hook.Func(func(hook.Token) hook.Verdict { block(); return hook.Verdict{} })
	o.Queue = 1
	var log bytes.Buffer
	o.Log = hclog.New(&hclog.LoggerOptions{Output: &log})
	r := start(t, o)
	g := rmp.Generate{Prompt: "Geheim", Parameters: map[string]any{"n-predict": 5}}
	results := make(chan string, 2)
	one, two := r.connect(), r.connect()
	go func() { ask(t, one, g); results <- "one" }()
	<-reached
	go func() { ask(t, two, g); results <- "two" }()
	r.waitForQueue(1)
	if a := ask(t, r.connect(), g); a.report.Code != rmp.CodeBusy || a.report.Hint == "" {
		t.Errorf("with a full queue: %+v", a.report)
	}
	close(release)
	if first, second := <-results, <-results; first != "one" || second != "two" {
		t.Errorf("answered in the order %s, %s", first, second)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(log.String(), "Geheim") {
		t.Errorf("the log has a person's words: %s", log.String())
	}
}

// waitForQueue returns when n requests wait.
func (r *running) waitForQueue(n int) {
	for {
		r.service.queue.mu.Lock()
		waiting := len(r.service.queue.jobs)
		r.service.queue.mu.Unlock()
		if waiting == n {
			return
		}
		time.Sleep(time.Millisecond)
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
	for _, conn := range []*wire{one, two} {
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
