package embed

import (
	"runtime"
	"slices"
	"strings"
	"testing"

	"runa/services/splinfer/llama"
)

// perSecond is how many tokens of texts compute embeds in a second: the best of
// a few runs, in the processor time of this thread, so that what else runs on
// the machine counts little.
func perSecond(b *testing.B, texts [][]llama.Token, compute func(texts [][]llama.Token)) float64 {
	b.Helper()
	runtime.LockOSThread() // the clock is this thread's
	defer runtime.UnlockOSThread()
	tokens, best := 0, 0.0
	for _, text := range texts {
		tokens += len(text)
	}
	for range 3 {
		began := processorTime(b)
		compute(texts)
		best = max(best, float64(tokens)/(processorTime(b)-began).Seconds())
	}
	return best
}

// BenchmarkEmbed prints tokens and texts in a second and, as ratios to it, the limit (a
// text of 512 tokens in one call, and eight of 64, which have less to look at) and the
// same texts packed into calls of up to 512 tokens, in order of length.
func BenchmarkEmbed(b *testing.B) {
	e := miniLM(b)
	packed, err := e.model.NewContext(llama.ContextOptions{Size: 512, Batch: 512, Sequences: 64, Threads: 1, Embeddings: true})
	if err != nil {
		b.Fatal(err)
	}
	defer packed.Close()
	pack := func(texts [][]llama.Token) {
		for len(texts) > 0 {
			n, tokens := 0, 0
			for n < len(texts) && n < 64 && tokens+len(texts[n]) <= 512 {
				tokens += len(texts[n])
				n++
			}
			if _, err := packed.Embed(texts[:n]); err != nil {
				b.Fatal(err)
			}
			texts = texts[n:]
		}
	}
	alone := func(texts [][]llama.Token) { vectors(b, e, texts...) }
	some := func(n, length int) [][]llama.Token {
		texts := make([][]llama.Token, n)
		for i := range texts {
			texts[i] = someTokens(e, i, length)
		}
		return texts
	}
	mixed := chunks(e, 60)
	slices.SortFunc(mixed, func(a, b []llama.Token) int { return len(a) - len(b) })
	for _, c := range []struct {
		name  string
		texts [][]llama.Token
	}{
		{"mixed", mixed},
		{"8", some(128, 8)},
		{"16", some(64, 16)},
		{"24", some(63, 24)},
		{"40", some(24, 40)},
		{"63", some(16, 63)},
		{"128", some(8, 128)},
		{"256", some(4, 256)},
		{"512", some(2, 512)},
	} {
		b.Run("tokens="+c.name, func(b *testing.B) {
			for b.Loop() {
				speed, full, eighths := perSecond(b, c.texts, alone), perSecond(b, some(1, 512), pack), perSecond(b, some(8, 64), pack)
				tokens := 0
				for _, text := range c.texts {
					tokens += len(text)
				}
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(speed, "tokens/s")
				b.ReportMetric(speed*float64(len(c.texts))/float64(tokens), "texts/s")
				b.ReportMetric(speed/full, "of-1x512")
				b.ReportMetric(speed/eighths, "of-8x64")
				b.ReportMetric(speed/perSecond(b, c.texts, pack), "of-packed")
			}
		})
	}
}

func BenchmarkTokenize(b *testing.B) {
	e := miniLM(b)
	text := []string{strings.Repeat("The quick brown fox jumps over the lazy dog. ", 25)} // about 250 tokens
	b.SetBytes(int64(len(text[0])))
	for b.Loop() {
		if _, err := e.Tokenize(text); err != nil {
			b.Fatal(err)
		}
	}
}
