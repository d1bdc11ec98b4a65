package journal

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"
	"time"
)

func benchmarkConversation(b *testing.B) *Conversation {
	b.Helper()
	s, err := Open(b.TempDir(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	c, err := s.Conversation("a")
	if err != nil {
		b.Fatal(err)
	}
	return c
}

// BenchmarkAppend is the cost of one token that is shown.
func BenchmarkAppend(b *testing.B) {
	c := benchmarkConversation(b)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if err := c.Append(Run{[]Drawn{{int32(i & 0xffff), -1}}}); err != nil {
			b.Fatal(err)
		}
		if i%50_000 == 49_999 { // an answer of reasonable length; not measured
			b.StopTimer()
			if err := c.Sync(); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
	}
}

// BenchmarkSync is an answer's end: 64 tokens, then the disk.
func BenchmarkSync(b *testing.B) {
	c := benchmarkConversation(b)
	for b.Loop() {
		b.StopTimer()
		for i := range int32(64) {
			if err := c.Append(Run{[]Drawn{{i, -1}}}); err != nil {
				b.Fatal(err)
			}
		}
		b.StartTimer()
		if err := c.Sync(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkOpen reads a conversation of 32,768 tokens, written one by one.
func BenchmarkOpen(b *testing.B) {
	c := benchmarkConversation(b)
	for i := range int32(32_768) {
		if err := c.Append(Run{[]Drawn{{i, -1}}}); err != nil {
			b.Fatal(err)
		}
	}
	s := c.store
	for b.Loop() {
		if err := c.Close(); err != nil {
			b.Fatal(err)
		}
		var err error
		if c, err = s.Conversation("a"); err != nil {
			b.Fatal(err)
		}
	}
}

// 33 MB is TinyLlama's state after 1,500 tokens.
var benchmarkState = bytes.Repeat([]byte("state..."), 33<<20/8)

func BenchmarkSaveState(b *testing.B) {
	c := benchmarkConversation(b)
	b.SetBytes(int64(len(benchmarkState)))
	for b.Loop() {
		if err := c.SaveState(0, func(w io.Writer) error {
			_, err := w.Write(benchmarkState)
			return err
		}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLoadState(b *testing.B) {
	c := benchmarkConversation(b)
	if err := c.SaveState(0, func(w io.Writer) error {
		_, err := w.Write(benchmarkState)
		return err
	}); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(benchmarkState)))
	into := make([]byte, len(benchmarkState))
	for b.Loop() {
		_, r, err := c.LoadState()
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(r, into); err != nil {
			b.Fatal(err)
		}
		if err := r.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAppendBesideSync is what a token waits at most while another
// conversation's answer ends all the time.
func BenchmarkAppendBesideSync(b *testing.B) {
	c := benchmarkConversation(b)
	other, err := c.store.Conversation("b")
	if err != nil {
		b.Fatal(err)
	}
	var wait sync.WaitGroup
	stop := make(chan struct{})
	wait.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if err := errors.Join(other.Append(Run{[]Drawn{{1, -1}}}), other.Sync()); err != nil {
				b.Error(err)
				return
			}
		}
	})
	var took []time.Duration
	for b.Loop() {
		began := time.Now()
		if err := c.Append(Run{[]Drawn{{1, -1}}}); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(began))
	}
	close(stop)
	wait.Wait()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*99/100]), "p99-ns")
	b.ReportMetric(float64(took[len(took)-1]), "max-ns")
}
