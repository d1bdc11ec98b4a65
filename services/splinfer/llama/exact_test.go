package llama

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"runa/services/gguf"
)

// models runs a test with each kind of model whose conversations must be exact.
func models(t *testing.T, test func(t *testing.T, m *Model)) {
	t.Run("stories15M", func(t *testing.T) {
		_, m := open(t)
		test(t, m)
	})
	t.Run("llama Q8_0", func(t *testing.T) { test(t, load(t, tinyLlama(t, 1, gguf.Q8_0))) })
	t.Run("rwkv7", func(t *testing.T) { test(t, load(t, tinyRWKV7(t, 3))) })
}

// apart is a context whose sequences don't touch one another.
func apart(t testing.TB, m *Model, sequences int) *Context {
	t.Helper()
	return contextWith(t, m, ContextOptions{Size: 256, Sequences: sequences, Apart: true})
}

// feed decodes tokens of a sequence in pieces and returns the last logits.
func feed(t testing.TB, c *Context, sequence int, tokens []Token, piece int) []float32 {
	t.Helper()
	for part := range Pieces(tokens, piece) {
		var b Batch
		for i, token := range part {
			b.Add(sequence, c.Length(sequence)+i, token, i == len(part)-1)
		}
		if err := c.DecodeBatch(&b); err != nil {
			t.Fatal(err)
		}
	}
	return slices.Clone(c.Logits())
}

// same fails unless two rows of logits are equal bit for bit.
func same(t testing.TB, what string, got, want []float32) {
	t.Helper()
	if len(got) == 0 || len(got) != len(want) {
		t.Fatalf("%s: %d and %d logits", what, len(got), len(want))
	}
	for i := range got {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Fatalf("%s: logit %d is %v, want %v", what, i, got[i], want[i])
		}
	}
}

func TestEightSequencesInOneBatchEqualEachAlone(t *testing.T) {
	models(t, func(t *testing.T, m *Model) {
		const sequences, steps = 8, 12
		alone, together := apart(t, m, 1), apart(t, m, sequences)
		want := make([][][]float32, sequences)
		for s := range sequences {
			alone.Clear()
			tokens := someTokens(m, s, 5+9*s)
			want[s] = append(want[s], feed(t, alone, 0, tokens, len(tokens)))
			for i := range steps {
				want[s] = append(want[s], feed(t, alone, 0, someTokens(m, s+100+i, 1), 1))
			}
		}
		for s := range sequences {
			tokens := someTokens(m, s, 5+9*s)
			same(t, "prompt", feed(t, together, s, tokens, len(tokens)), want[s][0])
		}
		for i := range steps {
			var b Batch
			entries := make([]int, sequences)
			for n := range sequences {
				s := (n*3 + i) % sequences // in any order
				entries[s] = b.Add(s, together.Length(s), someTokens(m, s+100+i, 1)[0], true)
			}
			if err := together.DecodeBatch(&b); err != nil {
				t.Fatal(err)
			}
			for s := range sequences {
				same(t, fmt.Sprintf("step %d of sequence %d", i, s), together.LogitsAt(entries[s]), want[s][i+1])
			}
		}
	})
}

func TestAPromptInOneBatchWithOthersEqualsItAlone(t *testing.T) {
	models(t, func(t *testing.T, m *Model) {
		alone, together := apart(t, m, 1), apart(t, m, 4)
		long, short := someTokens(m, 1, 90), someTokens(m, 2, 20)
		wantLong := feed(t, alone, 0, long, 90)
		alone.Clear()
		feed(t, alone, 0, short, 20)
		wantShort := feed(t, alone, 0, long[:1], 1)
		feed(t, together, 3, short, 20)
		var b Batch
		next := b.Add(3, 20, long[0], true)
		last := 0
		for i, token := range long {
			last = b.Add(1, i, token, i == len(long)-1)
		}
		if err := together.DecodeBatch(&b); err != nil {
			t.Fatal(err)
		}
		same(t, "the long prompt", together.LogitsAt(last), wantLong)
		same(t, "the conversation beside it", together.LogitsAt(next), wantShort)
	})
}

func TestPromptsThatAreReadTogetherEqualEachAlone(t *testing.T) {
	models(t, func(t *testing.T, m *Model) {
		alone, together := apart(t, m, 1), contextWith(t, m, ContextOptions{Size: 256, Sequences: 6, Apart: true, MicroBatch: 64})
		for _, lengths := range [][]int{{0, 20, 20, 20, 0, 0}, {5, 5, 0, 5, 5, 5}, {70, 70, 1, 70, 1, 33}, {2, 3, 2, 3, 2, 3}} {
			together.Clear()
			var b Batch
			entries := make([]int, len(lengths))
			for i := range slices.Max(lengths) { // their tokens in turn
				for s, n := range lengths {
					if i < n {
						entries[s] = b.Add(s, i, someTokens(m, s, n)[i], i == n-1)
					}
				}
			}
			if err := together.DecodeBatch(&b); err != nil {
				t.Fatal(err)
			}
			for s, n := range lengths {
				if n > 0 {
					alone.Clear()
					want := feed(t, alone, 0, someTokens(m, s, n), n)
					same(t, fmt.Sprintf("%v, sequence %d", lengths, s), together.LogitsAt(entries[s]), want)
				}
			}
		}
	})
}

func TestAPromptInPiecesEqualsItWhole(t *testing.T) {
	models(t, func(t *testing.T, m *Model) {
		c := apart(t, m, 2)
		tokens := someTokens(m, 4, 100)
		want := feed(t, c, 0, tokens, 100)
		for _, piece := range []int{2, 7, 33, 64, 99} {
			c.Clear()
			same(t, fmt.Sprintf("pieces of %d", piece), feed(t, c, 1, tokens, piece), want)
		}
	})
}

func TestACopiedPrefixEqualsAComputedOne(t *testing.T) {
	models(t, func(t *testing.T, m *Model) {
		c := apart(t, m, 3)
		prefix, rest := someTokens(m, 5, 60), someTokens(m, 6, 10)
		want := feed(t, c, 0, slices.Concat(prefix, rest), 70)
		c.Clear()
		feed(t, c, 0, prefix, 60)
		shared := 60
		if !m.Recurrent() { // only the front of a longer conversation
			feed(t, c, 0, someTokens(m, 7, 5), 5)
			shared = 60
		}
		feed(t, c, 2, rest, 10) // what the target had is forgotten
		if err := c.Copy(0, 2, shared); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(c.Tokens(2), prefix) {
			t.Fatal("the copy has other tokens")
		}
		same(t, "copied", feed(t, c, 2, rest, 10), want)
		if c.Used() != c.Length(0)+c.Length(2) {
			t.Fatalf("%d tokens used", c.Used())
		}
	})
}

func TestARemovedEndLeavesNoTrace(t *testing.T) {
	_, m := open(t)
	c := apart(t, m, 2)
	tokens := someTokens(m, 8, 50)
	want := feed(t, c, 1, tokens, 50)
	for _, keep := range []int{0, 1, 30, 48} {
		if err := c.Remove(1, keep); err != nil {
			t.Fatal(err)
		}
		feed(t, c, 1, someTokens(m, 9, 20), 20)
		if err := c.Remove(1, keep); err != nil {
			t.Fatal(err)
		}
		same(t, fmt.Sprintf("from %d on", keep), feed(t, c, 1, tokens[keep:], 50), want)
	}
}

func TestARestoredConversationEqualsAnUninterruptedOne(t *testing.T) {
	models(t, func(t *testing.T, m *Model) {
		c := apart(t, m, 4)
		before, after := someTokens(m, 10, 40), someTokens(m, 11, 12)
		want := feed(t, c, 0, slices.Concat(before, after), 52)
		c.Clear()
		feed(t, c, 1, before, 40)
		state, err := c.SaveState(1)
		if err != nil {
			t.Fatal(err)
		}
		if len(state) > c.StateBytes(1) {
			t.Fatalf("%d bytes, at most %d were announced", len(state), c.StateBytes(1))
		}
		feed(t, c, 3, after, 12)
		other := apart(t, m, 2) // as after a restart
		for _, target := range []struct {
			context  *Context
			sequence int
		}{{c, 3}, {other, 1}} {
			if err := target.context.RestoreState(target.sequence, state); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(target.context.Tokens(target.sequence), before) {
				t.Fatal("other tokens came back")
			}
			same(t, "restored", feed(t, target.context, target.sequence, after, 12), want)
		}
	})
}

func TestARecurrentStateHasTheSameSizeAfterAnyNumberOfTokens(t *testing.T) {
	m := load(t, tinyRWKV7(t, 3))
	c := contextWith(t, m, ContextOptions{Size: 100_000, Sequences: 2, Apart: true})
	if !m.Recurrent() || c.Size() != 100_000 {
		t.Fatalf("recurrent %v, size %d", m.Recurrent(), c.Size())
	}
	var sizes []int
	for _, n := range []int{1, 10, 600} { // beyond what it was trained with
		feed(t, c, 1, someTokens(m, n, n), 300)
		sizes = append(sizes, c.StateBytes(1)-4*c.Length(1))
	}
	if sizes[0] != sizes[1] || sizes[0] != sizes[2] {
		t.Fatalf("state bytes %v", sizes)
	}
}
