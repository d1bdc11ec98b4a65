package qemutests

import (
	"slices"
	"syscall"
	"testing"
	"time"
)

// at is a quantile in per cent; it sorts the values.
func at(values []float64, p int) float64 {
	slices.Sort(values)
	return values[max(0, (len(values)*p+99)/100-1)]
}

// BenchmarkLoad reports how long splinfer takes from the start of its process
// until it is ready and until a first token is there, and its memory when nobody
// has asked yet and after a conversation of 1,500 tokens, each as a share of
// llama-server's with the same seats and context.
func BenchmarkLoad(b *testing.B) {
	o := setting{model: artefact(b, "RUNA_MODEL_TINYLLAMA"), threads: resumeThreads, parallel: 4, context: 2048}
	off := o
	off.flags = []string{"--flash-attn", "off"}
	starts := []func() *server{
		func() *server { return startSplinfer(b, newSplinferHome(b, o.model), o) },
		func() *server { return startLlamaServer(b, off) },
	}
	names, f := []string{"splinfer", "llama-server"}, figures{}
	what := []string{"ready", "first token", "RSS", "RSS own", "RSS 1500", "RSS own 1500"}
	for range roundsTogether {
		for i, start := range starts {
			s := start()
			resident, own := memoryOf(b, s.process.Process.Pid)
			first, _ := s.firstToken(b, query{prompt: "Once upon a time", tokens: 1})
			s.must(b, query{prompt: longPrompt("of memory"), tokens: 8})
			resident1500, own1500 := memoryOf(b, s.process.Process.Pid)
			for k, value := range []float64{milli(s.loading), milli(s.loading + first), resident, own, resident1500, own1500} {
				f.add(what[k]+" "+names[i], value)
			}
			s.stop(syscall.SIGTERM)
		}
		for _, w := range what {
			f.ratio(w+"/llama-server", w+" splinfer", w+" llama-server")
		}
	}
	for _, name := range names {
		b.Logf("%s: ready after %.0f ms, first token after %.0f ms; idle %.0f MB resident, %.0f of them its own; after 1,500 tokens %.0f and %.0f", name,
			median(f["ready "+name]), median(f["first token "+name]), median(f["RSS "+name]), median(f["RSS own "+name]),
			median(f["RSS 1500 "+name]), median(f["RSS own 1500 "+name]))
	}
	for _, w := range what {
		f.report(b, w+"/llama-server")
	}
}

func milli(d time.Duration) float64 { return d.Seconds() * 1000 }
