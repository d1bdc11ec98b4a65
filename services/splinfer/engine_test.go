package splinfer

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"runa/services/rmp"
	"runa/services/splinfer/llama"
)

func newEngine(t *testing.T) *engine {
	t.Helper()
	o := testOptions(t).complete()
	library, err := llama.Open(o.Libraries, nil)
	if err != nil {
		t.Fatal(err)
	}
	e := &engine{o: o, library: library, folder: folder{path: o.Models}, progress: new(progress)}
	t.Cleanup(e.unload)
	return e
}

func TestCancelStopsWithinOneToken(t *testing.T) {
	e := newEngine(t)
	ctx, cancel := context.WithCancel(t.Context())
	count := 0
	done, err := e.generate(ctx, rmp.Generate{Prompt: "Once"}, func(token rmp.Token) {
		if count++; token.Index == 4 {
			cancel()
		}
	})
	if err != nil || count != 5 || done.Reason != rmp.ReasonCancel || done.Tokens != 5 {
		t.Fatalf("%d tokens, %+v, %v", count, done, err)
	}
	again, err := e.generate(t.Context(), rmp.Generate{Prompt: "Once", Parameters: map[string]any{"n-predict": 8}}, func(rmp.Token) {})
	if err != nil || again.Tokens != 8 {
		t.Fatalf("the next request: %+v, %v", again, err)
	}
}

func TestCancelledRequestInTheQueueCostsNothing(t *testing.T) {
	e := newEngine(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	done, err := e.generate(ctx, rmp.Generate{Prompt: "Once"}, func(rmp.Token) { t.Error("a token") })
	if err != nil || done.Reason != rmp.ReasonCancel || e.current != nil {
		t.Fatalf("%+v, %v", done, err)
	}
}

func TestAThousandRequestsLeakNoMemory(t *testing.T) {
	// As in the service: malloc keeps an arena for each thread that called it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	e := newEngine(t)
	run := func(from, to int) {
		for i := from; i < to; i++ {
			parameters := map[string]any{"n-predict": 2, "temp": 0.8, "seed": i, "repeat-penalty": 1.1}
			switch i % 10 {
			case 0:
				parameters["grammar"] = fmt.Sprintf("root ::= [a-z%d ]+", i)
			case 1:
				parameters["grammar"] = "root ="
			case 2:
				parameters["mirostat"] = 2
			}
			_, err := e.generate(t.Context(), rmp.Generate{Prompt: "Once upon a time", Parameters: parameters}, func(rmp.Token) {})
			if (err != nil) != (i%10 == 1) {
				t.Fatalf("request %d: %v", i, err)
			}
		}
	}
	run(0, 200)
	before := residentBytes(t)
	run(200, 1200)
	if grown := residentBytes(t) - before; grown > 8<<20 {
		t.Fatalf("resident memory grew by %d KiB", grown>>10)
	}
}

// residentBytes reads this process's resident memory, see proc(5).
func residentBytes(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

func TestMeasureCountsWhatItRan(t *testing.T) {
	o := testOptions(t)
	results, err := Measure(o, o.Models+"/stories15m.gguf", 300, 4, 2)
	if err != nil {
		t.Fatal(err)
	}
	if len(results) != 2 || results[0].Test != "pp300" || results[1].Test != "tg4" || len(results[1].Runs) != 2 || results[0].PerSecond <= 0 {
		t.Fatalf("got %+v", results)
	}
	if _, err := Measure(o, o.Models+"/none.gguf", 1, 1, 1); err == nil {
		t.Fatal("a missing model was measured")
	}
}
