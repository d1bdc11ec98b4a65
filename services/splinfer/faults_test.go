package splinfer

import (
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"runa/services/gguf/tiny"
	"runa/services/rmp"
	"runa/services/rmp/rmptest"
	"runa/services/splinfer/hook"
)

func TestBadSchemasAndGrammarsAreRefusedWithAReason(t *testing.T) {
	conn := start(t, testOptions(t)).connect()
	for name, parameters := range map[string]map[string]any{
		"no JSON":          {"json-schema": "{"},
		"a wrong schema":   {"json-schema": `{"type": "wizard"}`},
		"endless grammar":  {"grammar": `root ::= root "a"`},
		"both":             {"grammar": `root ::= "a"`, "json-schema": "{}"},
		"a huge one":       {"grammar": `root ::= "a"` + strings.Repeat(" ", 1<<20)},
		"an unknown token": {"logit-bias": []string{"999999+1"}},
		"a wrong bias":     {"logit-bias": []string{"cat"}},
		"too many stops":   {"stop": slices.Repeat([]string{"a"}, 100)},
		"a wrong sampler":  {"samplers": []string{"magic"}},
		"no adapter":       {"lora": []string{"none"}},
	} {
		a := ask(t, conn, rmp.Generate{Prompt: "Once", Parameters: parameters})
		if a.report.Code == "" || a.report.Code == rmp.CodeInternal || len(a.tokens) > 0 {
			t.Errorf("%s: %+v", name, a)
		}
	}
	a := ask(t, conn, rmp.Generate{Prompt: "Once", Parameters: map[string]any{"json-schema": `{"enum": ["yes", "no"]}`}})
	if a.text != `"yes"` && a.text != `"no"` {
		t.Errorf("by a schema: %q, %+v", a.text, a.report)
	}
}

func TestAnAnswerEndsBeforeAStopText(t *testing.T) {
	conn := start(t, testOptions(t)).connect()
	whole := ask(t, conn, rmp.Generate{Prompt: "Once upon a time", Parameters: map[string]any{"n-predict": 30}})
	at := strings.Index(whole.text, "named L") // across the border of two tokens
	a := ask(t, conn, rmp.Generate{Prompt: "Once upon a time", Parameters: map[string]any{"n-predict": 30, "stop": []any{"zebra", "named L"}}})
	if at < 0 || a.text != whole.text[:at] || a.done.Reason != rmp.ReasonStop {
		t.Errorf("got %q, %+v of %q", a.text, a.done, whole.text)
	}
}

func TestTheLikeliestTokensAreTold(t *testing.T) {
	conn := start(t, testOptions(t)).connect()
	a := ask(t, conn, rmp.Generate{Prompt: "Once upon a time", Parameters: map[string]any{"n-predict": 3, "n-probs": 4}})
	for _, token := range a.tokens {
		if len(token.Top) != 4 || token.Top[0].ID != token.ID || token.Top[0].LogProb != token.LogProb || token.Top[1].LogProb > token.LogProb {
			t.Errorf("got %+v", token)
		}
	}
}

func TestTenThousandRequestsAreQueuedOrRefusedAndAllAnswered(t *testing.T) {
	o := tinyOptions(t, tiny.Llama)
	o.Queue = 100
	release := make(chan struct{})
	o.Hook = hook.Func(func(hook.Token) hook.Verdict { <-release; return hook.Verdict{} })
	r := start(t, o)
	const clients, each = 200, 50
	var mu sync.Mutex
	counts := map[string]int{}
	free := sync.OnceFunc(func() { close(release) }) // nobody is answered before somebody was refused
	var all sync.WaitGroup
	for range clients {
		conn := r.connect()
		all.Go(func() {
			for range each {
				a := ask(t, conn, rmp.Generate{Prompt: "Hello", Parameters: map[string]any{"n-predict": 1, "ignore-eos": true}})
				mu.Lock()
				counts[a.report.Code]++
				if a.report.Code == rmp.CodeBusy {
					free()
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if counts[""]+counts[rmp.CodeBusy] != clients*each || counts[""] == 0 || counts[rmp.CodeBusy] == 0 {
		t.Errorf("got %v", counts)
	}
	if a := ask(t, r.connect(), rmp.Generate{Prompt: "Hello", Parameters: map[string]any{"n-predict": 2, "ignore-eos": true}}); len(a.tokens) != 2 {
		t.Errorf("afterwards: %+v", a)
	}
}

// fullDisk tells a child of this test to be the one whose files may not grow: that
// holds for a whole process, and go test's own log is a file too.
const fullDisk = "RUNA_TEST_FULL_DISK"

// A file that may not grow is a full disk to who writes it.
func TestADiskThatGetsFullWhileItIsWrittenToEndsTheAnswerAndNothingElse(t *testing.T) {
	if os.Getenv(fullDisk) == "" {
		child := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		child.Env = append(os.Environ(), fullDisk+"=1")
		if said, err := child.CombinedOutput(); err != nil || !strings.Contains(string(said), "--- PASS: "+t.Name()) {
			t.Fatalf("%v:\n%s", err, said)
		}
		return
	}
	o := tinyOptions(t, tiny.Llama)
	var whole unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &whole); err != nil {
		t.Fatal(err)
	}
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, unix.SIGXFSZ) // else it would end the process
	defer signal.Stop(signals)
	restore := func() {
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &whole); err != nil {
			t.Error(err)
		}
	}
	defer restore()
	full := false
	o.Hook = hook.Func(func(token hook.Token) hook.Verdict {
		if token.Index == 5 && !full {
			full = true
			info, err := os.Stat(filepath.Join(o.Conversations, "a.journal"))
			if err == nil {
				err = unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: uint64(info.Size()), Max: whole.Max})
			}
			if err != nil {
				t.Error(err)
			}
		}
		return hook.Verdict{}
	})
	conn := start(t, o).connect()
	a := ask(t, conn, say("a", "Hello", 20))
	if a.report.Code != rmp.CodeDiskFull || a.report.Hint == "" || len(a.tokens) != 5 {
		t.Fatalf("got %+v", a)
	}
	if b := ask(t, conn, say("", "Hello", 20)); len(b.tokens) != 20 {
		t.Errorf("what needs no disk: %+v", b)
	}
	if b := ask(t, conn, say("b", "Hello", 20)); b.report.Code != rmp.CodeDiskFull && b.report.Code != "" {
		t.Errorf("another conversation: %+v", b.report)
	}
	restore()
	if b := ask(t, conn, say("a", "Go on", 20)); len(b.tokens) != 20 {
		t.Errorf("with room again: %+v", b)
	}
}

func TestWhoeverWaitsIsToldTheirPlace(t *testing.T) {
	o := tinyOptions(t, tiny.Llama)
	o.Parallel = 1
	reached, release := make(chan struct{}), make(chan struct{})
	block := sync.OnceFunc(func() { close(reached); <-release })
	o.Hook = hook.Func(func(hook.Token) hook.Verdict { block(); return hook.Verdict{} })
	r := start(t, o)
	ends := make(chan answered, 4)
	send := func(priority string) *rmptest.Wire {
		conn := r.connect()
		g := say("", "Hello", 2)
		g.Priority = priority
		if err := conn.Send(t.Context(), request(t, rmp.SchemaGenerate, g)); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	first := send("")
	<-reached
	var conns []*rmptest.Wire
	for i, priority := range []string{rmp.PriorityBackground, "", ""} {
		conns = append(conns, send(priority))
		r.waitForQueue(i + 1)
	}
	// Each is told where it stands; the one in the background, that it is the last.
	for i, want := range []uint32{3, 1, 2} {
		for {
			frame, err := conns[i].Receive(t.Context())
			var place rmp.Queued
			if err == nil {
				err = frame.Unmarshal(&place)
			}
			if err != nil || frame.SchemaID != rmp.SchemaQueued {
				t.Fatalf("job %d: %s, %v", i, frame.Type, err)
			}
			if place.Position == want && place.Waiting == 3 {
				break
			}
		}
	}
	for _, conn := range append(conns, first) {
		go func() { ends <- collect(t, conn) }()
	}
	close(release)
	for range 4 {
		if a := <-ends; len(a.tokens) != 2 {
			t.Errorf("got %+v", a)
		}
	}
}
