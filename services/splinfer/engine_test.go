package splinfer

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"runa/services/rmp"
	"runa/services/splinfer/hook"
)

func TestCancelStopsWithinOneToken(t *testing.T) {
	o := testOptions(t)
	var r *running
	reached, count := make(chan struct{}), 0
	o.Hook = hook.Func(func(token hook.Token) hook.Verdict {
		if count++; token.Index == 4 && count == 5 {
			close(reached)
			<-r.service.engine.answering()[0].job.ctx.Done()
		}
		return hook.Verdict{}
	})
	r = start(t, o)
	conn := r.connect()
	if err := conn.Send(t.Context(), request(t, rmp.SchemaGenerate, rmp.Generate{Prompt: "Once"})); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		if _, err := conn.Receive(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	<-reached
	conn.Close()
	again := ask(t, r.connect(), rmp.Generate{Prompt: "Once", Parameters: map[string]any{"n-predict": 8}})
	if len(again.tokens) != 8 || count != 5+8 {
		t.Fatalf("the next request: %d tokens; the hook saw %d", len(again.tokens), count)
	}
}

func TestAThousandRequestsLeakNoMemory(t *testing.T) {
	o := testOptions(t)
	o.Defaults = Defaults()
	conn := start(t, o).connect()
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
			a := ask(t, conn, rmp.Generate{Prompt: "Once upon a time", Parameters: parameters})
			if (a.report.Code != "") != (i%10 == 1) {
				t.Fatalf("request %d: %+v", i, a.report)
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
