package splinfer

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"runa/services/rmp"
	"runa/services/rmp/rmptest"
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

// running is a service that answers on wires.
type running struct {
	t       testing.TB
	service *Service
	dial    chan *rmptest.Wire
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
	r := &running{t: t, service: service, dial: make(chan *rmptest.Wire)}
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

func (r *running) connect() *rmptest.Wire {
	client, server := rmptest.Wires(0)
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
