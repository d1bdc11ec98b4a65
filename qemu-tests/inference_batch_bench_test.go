package qemutests

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// nanoseconds is a clock that is not set while it is read.
func nanoseconds() int64 { return time.Since(beginning).Nanoseconds() }

var beginning = time.Now()

// roundsTogether is how often what takes long is measured.
const roundsTogether = 3

// settling is left to the side that was measured before: threads of ggml spin for
// some tenths of a second after their last work, on processors that the next side needs.
const settling = time.Second

// BenchmarkConversations reports how many tokens a second splinfer writes for 1,
// 2, 4 and 8 conversations together, as a share of what llama-server does with
// the same libraries, model, threads, seats and context: without flash attention and
// as it is by default.
//
// Both give each token as it comes; splinfer's are also kept in a journal first.
func BenchmarkConversations(b *testing.B) {
	for _, model := range benchModels(b) {
		for _, threads := range []int{1, 2} {
			b.Run(fmt.Sprintf("%s/%d-threads", model.name, threads), func(b *testing.B) { benchTogether(b, model, threads) })
		}
	}
}

func benchTogether(b *testing.B, model benchModel, threads int) {
	o := setting{model: model.path, threads: threads, parallel: 8, context: 256}
	counts := []int{1, 8}
	answer := 128 // tokens
	if model.name == "tinyllama" {
		o.context, answer = 2048, 80
		if threads == 2 { // with one a round takes minutes
			counts = []int{1, 2, 4, 8}
		}
	}
	off := o
	off.flags = []string{"--flash-attn", "off"}
	sides := []*server{
		startSplinfer(b, newSplinferHome(b, model.path), o),
		startLlamaServer(b, off),
		startLlamaServer(b, o),
	}
	f := figures{}
	for round := range roundsTogether {
		for _, n := range counts {
			for _, s := range sides {
				f.add(fmt.Sprint(n, s.name), s.together(b, n, answer, fmt.Sprint(round)))
			}
			for _, s := range sides[1:] {
				f.ratio(fmt.Sprint(n, "/", s.name), fmt.Sprint(n, sides[0].name), fmt.Sprint(n, s.name))
			}
		}
	}
	b.ReportMetric(0, "ns/op")
	for _, n := range counts {
		line := fmt.Sprintf("%d together, tokens/s:", n)
		for _, s := range sides {
			line += fmt.Sprintf(" %s %.1f,", s.name, median(f[fmt.Sprint(n, s.name)]))
		}
		b.Log(strings.TrimSuffix(line, ","))
		b.ReportMetric(median(f[fmt.Sprint(n, "/", sides[1].name)]), fmt.Sprintf("%d/llama-server-fa-off", n))
		b.ReportMetric(median(f[fmt.Sprint(n, "/", sides[2].name)]), fmt.Sprintf("%d/llama-server", n))
	}
}

// together asks n questions at once and returns how many tokens a second came in all
// their answers of that many tokens, from the first question to the last word.
func (s *server) together(b *testing.B, n, tokens int, salt string) float64 {
	b.Helper()
	failed := make([]error, n)
	var asking sync.WaitGroup
	time.Sleep(settling)
	began := time.Now()
	for i := range n {
		asking.Go(func() {
			// What comes first differs, so that nobody has read it already.
			prompt := fmt.Sprintf("%s, said number %d of %d to the cat, and then they", salt, i, n)
			q := query{prompt: prompt, tokens: tokens, each: func() {}}
			if s.name == "splinfer" {
				q.conversation = fmt.Sprintf("together-%s-%d-%d", salt, n, i)
			}
			a, err := s.ask(b.Context(), q)
			if err == nil && a.wrote != tokens {
				err = fmt.Errorf("%d tokens were wanted and %d came", tokens, a.wrote)
			}
			failed[i] = err
		})
	}
	asking.Wait()
	took := time.Since(began)
	for _, err := range failed {
		if err != nil {
			b.Fatalf("ask %s: %v\nit said:\n%s", s.name, err, s.said)
		}
	}
	return float64(n*tokens) / took.Seconds()
}
