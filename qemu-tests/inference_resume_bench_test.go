package qemutests

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// longPrompt is a text of about 1,500 tokens that no other salt's text begins like.
func longPrompt(salt string) string {
	words := strings.Fields("the cat and a dog went over to see what was in the old red box by the door of the house")
	var text strings.Builder
	text.WriteString("Story " + salt + ".")
	for i := range 1400 {
		text.WriteByte(' ')
		text.WriteString(words[(i*i+i/7)%len(words)])
	}
	return text.String()
}

// resumeThreads is with how many threads the benchmarks of long conversations compute.
const resumeThreads = 2

// BenchmarkSecondTurn reports how long the first token of a second turn takes in
// a conversation of 1,500 tokens whose seat another one has taken, and after
// splinfer was restarted, by SIGTERM and by SIGKILL; and how many times longer it
// takes where no state was saved, so that all of it is read again.
func BenchmarkSecondTurn(b *testing.B) {
	const again = "read again"
	o := setting{model: artefact(b, "RUNA_MODEL_TINYLLAMA"), threads: resumeThreads, parallel: 1, context: 2048}
	h := newSplinferHome(b, o.model)
	s := startSplinfer(b, h, o)
	restart := func(signal syscall.Signal) {
		s.stop(signal)
		s = startSplinfer(b, h, o)
	}
	ways := []struct {
		name string
		away func()
	}{
		{"evicted", func() { s.must(b, query{prompt: "A bird sings", tokens: 2, conversation: "other"}) }},
		{"SIGTERM", func() { restart(syscall.SIGTERM) }},
		{"SIGKILL", func() { restart(syscall.SIGKILL) }},
		{again, func() {
			s.stop(syscall.SIGTERM)
			removeStates(b, h)
			s = startSplinfer(b, h, o)
		}},
	}
	f := figures{}
	for round := range roundsTogether {
		for _, way := range ways {
			id := fmt.Sprintf("%s-%d", strings.ReplaceAll(way.name, " ", "-"), round)
			s.must(b, query{prompt: longPrompt(id), tokens: 8, conversation: id})
			awaitSaved(b, h)
			way.away()
			took, a := s.firstToken(b, query{prompt: " And then the", tokens: 1, conversation: id})
			if known := a.cached > 1400; known == (way.name == again) {
				b.Fatalf("%s: %d of %d tokens did not have to be read", way.name, a.cached, a.read)
			}
			f.add(way.name, took.Seconds()*1000)
		}
		for _, way := range ways[:3] {
			f.ratio("times-faster-"+way.name, again, way.name)
		}
	}
	b.ReportMetric(0, "ns/op")
	for _, way := range ways {
		b.Logf("first token of a second turn, %s: %.0f ms", way.name, median(f[way.name]))
		if way.name != again {
			f.report(b, "times-faster-"+way.name)
		}
	}
}

// awaitSaved waits until nothing was written among the conversations for a while:
// splinfer saves a state in the background, after an answer is done.
func awaitSaved(b *testing.B, h splinferHome) {
	b.Helper()
	const quiet = 2 * time.Second
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(quiet / 10) {
		entries, err := os.ReadDir(filepath.Join(h.data, "conversations"))
		if err != nil {
			b.Fatal(err)
		}
		var latest time.Time
		for _, entry := range entries {
			if info, err := entry.Info(); err == nil && info.ModTime().After(latest) {
				latest = info.ModTime()
			}
		}
		if time.Since(latest) >= quiet {
			return
		}
	}
	b.Fatal("conversations were written to for a minute")
}

// firstToken is how long a query waits for its first token.
func (s *server) firstToken(b *testing.B, q query) (time.Duration, reply) {
	b.Helper()
	began, first := time.Now(), time.Duration(0)
	q.each = func() {
		if first == 0 {
			first = time.Since(began)
		}
	}
	a := s.must(b, q)
	return first, a
}

// removeStates leaves of all conversations their words alone.
func removeStates(b *testing.B, h splinferHome) {
	b.Helper()
	paths, err := filepath.Glob(filepath.Join(h.data, "conversations", "*.state"))
	if err != nil || len(paths) == 0 {
		b.Fatalf("no state of a conversation was saved: %v", err)
	}
	for _, path := range paths {
		if err := os.Remove(path); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkGap reports the time between two tokens of one conversation: while
// nobody else asks, and while another one's prompt of 1,500 tokens is read, by
// splinfer and by llama-server.
func BenchmarkGap(b *testing.B) {
	o := setting{model: artefact(b, "RUNA_MODEL_TINYLLAMA"), threads: resumeThreads, parallel: 2, context: 2048}
	off := o
	off.flags = []string{"--flash-attn", "off"}
	sides := []*server{startSplinfer(b, newSplinferHome(b, o.model), o), startLlamaServer(b, off), startLlamaServer(b, o)}
	calm, busy, reading := map[string][]float64{}, map[string][]float64{}, figures{}
	for round := range roundsTogether {
		for _, s := range sides {
			a, c, took := s.gaps(b, fmt.Sprint(round))
			calm[s.name], busy[s.name] = append(calm[s.name], a...), append(busy[s.name], c...)
			reading.add(s.name, took.Seconds()*1000)
		}
	}
	b.ReportMetric(0, "ns/op")
	for _, s := range sides {
		b.Logf("%s, ms between tokens: alone p50 %.0f p99 %.0f max %.0f; while 1,500 are read for %.0f ms: %d gaps, p50 %.0f p99 %.0f max %.0f", s.name,
			at(calm[s.name], 50), at(calm[s.name], 99), at(calm[s.name], 100), median(reading[s.name]),
			len(busy[s.name]), at(busy[s.name], 50), at(busy[s.name], 99), at(busy[s.name], 100))
	}
	b.ReportMetric(at(busy[sides[0].name], 50), "p50-ms")
	b.ReportMetric(at(busy[sides[0].name], 99), "p99-ms")
	b.ReportMetric(at(busy[sides[0].name], 100), "max-ms")
	for i, name := range []string{"llama-server-fa-off", "llama-server"} {
		b.ReportMetric(at(busy[sides[0].name], 99)/at(busy[sides[i+1].name], 99), "p99/"+name)
	}
}

// gaps are the milliseconds between the tokens of an answer before another's long
// prompt came and until that had its first token, and how long that waited.
func (s *server) gaps(b *testing.B, salt string) (calm, busy []float64, reading time.Duration) {
	b.Helper()
	const alone = 24 // tokens before the other comes
	tokens := make(chan time.Time, 4096)
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := s.ask(ctx, query{prompt: "Once upon a time, " + salt, tokens: 1900, each: func() { tokens <- time.Now() }})
		done <- err
	}()
	last := <-tokens
	for range alone {
		next := <-tokens
		calm, last = append(calm, next.Sub(last).Seconds()*1000), next
	}
	reading, _ = s.firstToken(b, query{prompt: longPrompt(salt), tokens: 1})
	end := time.Now()
	for next := range tokens {
		busy, last = append(busy, next.Sub(last).Seconds()*1000), next
		if next.After(end) {
			break
		}
	}
	cancel() // the rest of the answer is of no interest
	<-done
	return calm, busy, reading
}
