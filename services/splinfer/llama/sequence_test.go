package llama

import (
	"errors"
	"slices"
	"testing"

	"runa/services/gguf"
)

func TestMistakesInABatchAreErrorsNotAborts(t *testing.T) {
	m := load(t, tinyLlama(t, 1, gguf.Q8_0))
	c := contextWith(t, m, ContextOptions{Size: 32, Sequences: 2, Apart: true, Batch: 16, Outputs: 2})
	feed(t, c, 0, someTokens(m, 1, 4), 4)
	for name, fill := range map[string]func(b *Batch){
		"empty":                  func(*Batch) {},
		"too many tokens":        func(b *Batch) { addTokens(b, 0, 4, 17) },
		"a gap":                  func(b *Batch) { b.Add(0, 5, 3, true) },
		"a position taken":       func(b *Batch) { b.Add(0, 3, 3, true) },
		"not from the beginning": func(b *Batch) { b.Add(1, 1, 3, true) },
		"backwards":              func(b *Batch) { b.Add(0, 5, 3, true); b.Add(0, 4, 3, true) },
		"sequence 2":             func(b *Batch) { b.Add(2, 0, 3, true) },
		"sequence -1":            func(b *Batch) { b.Add(-1, 0, 3, true) },
		"unknown token":          func(b *Batch) { b.Add(0, 4, Token(m.VocabularySize()), true) },
		"negative token":         func(b *Batch) { b.Add(0, 4, -1, true) },
		"too many logits":        func(b *Batch) { addTokens(b, 1, 0, 3) },
	} {
		var b Batch
		fill(&b)
		if err := c.DecodeBatch(&b); err == nil {
			t.Errorf("%s: no error", name)
		}
		if c.Length(0) != 4 || c.Length(1) != 0 {
			t.Fatalf("%s: lengths %d and %d", name, c.Length(0), c.Length(1))
		}
	}
	feed(t, c, 0, someTokens(m, 2, 28), 16)
	if err := c.Decode([]Token{3}); !errors.Is(err, ErrContextFull) {
		t.Fatalf("beyond the size: %v", err)
	}
	feed(t, c, 1, someTokens(m, 2, 32), 16) // its own cells are free
}

// addTokens adds n tokens that all want logits.
func addTokens(b *Batch, sequence, position, n int) {
	for i := range n {
		b.Add(sequence, position+i, 3, true)
	}
}

func TestMistakesWithSequencesAreErrorsNotAborts(t *testing.T) {
	m := load(t, tinyLlama(t, 1, gguf.Q8_0))
	c := apart(t, m, 2)
	feed(t, c, 0, someTokens(m, 1, 4), 4)
	for name, err := range map[string]error{
		"remove of sequence 2":       c.Remove(2, 0),
		"remove of sequence -1":      c.Remove(-1, 0),
		"remove before 0":            c.Remove(0, -1),
		"remove beyond the end":      c.Remove(0, 5),
		"copy onto itself":           c.Copy(0, 0, 1),
		"copy to nowhere":            c.Copy(0, 7, 1),
		"copy from nowhere":          c.Copy(-3, 0, 1),
		"copy of more than there is": c.Copy(0, 1, 5),
		"copy of less than nothing":  c.Copy(0, 1, -1),
		"keep of nothing":            c.Keep(9),
		"state of an empty sequence": second(c.SaveState(1)),
		"state of sequence 5":        second(c.SaveState(5)),
		"state into sequence 5":      c.RestoreState(5, nil),
		"no threads":                 c.SetThreads(0, 1),
		"too many threads":           c.SetThreads(1, 1000),
		"embedding":                  second(c.Embedding(0)),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if c.Length(7) != 0 || c.Tokens(-1) != nil || c.LogitsAt(99) != nil || c.LogitsAt(-1) != nil || c.Length(0) != 4 {
		t.Fatal("a wrong index was answered")
	}
}

func second[T any](_ T, err error) error { return err }

func TestImpossibleContextsAreRefused(t *testing.T) {
	m := load(t, tinyLlama(t, 1, gguf.Q8_0))
	for name, o := range map[string]ContextOptions{
		"sequences":        {Size: 64, Threads: 1, Sequences: 100_000},
		"no sequence":      {Size: 64, Threads: 1, Sequences: -1},
		"too much":         {Size: 1 << 29, Threads: 1, Sequences: 4, Apart: true, BeyondTraining: true},
		"flash attention":  {Size: 64, Threads: 1, FlashAttention: 9},
		"pooling":          {Size: 64, Threads: 1, Embeddings: true, Pooling: -1},
		"needless pooling": {Size: 64, Threads: 1, Pooling: PoolingMean},
		"no pooling":       {Size: 64, Threads: 1, Embeddings: true},
		"batch":            {Size: 64, Threads: 1, Batch: -1},
		"outputs":          {Size: 64, Threads: 1, Outputs: -1},
	} {
		if c, err := m.NewContext(o); err == nil {
			c.Close()
			t.Errorf("%s: no error", name)
		}
	}
}

func TestKeepForgetsAllOthers(t *testing.T) {
	m := load(t, tinyLlama(t, 1, gguf.Q8_0))
	for _, separate := range []bool{true, false} {
		c := contextWith(t, m, ContextOptions{Size: 64, Sequences: 3, Apart: separate})
		tokens := someTokens(m, 1, 6)
		for s := range 3 {
			feed(t, c, s, tokens[s:], 6)
		}
		if c.Used() != 6+5+4 {
			t.Fatalf("%d tokens used", c.Used())
		}
		if err := c.Keep(1); err != nil {
			t.Fatal(err)
		}
		if c.Length(0) != 0 || c.Length(2) != 0 || !slices.Equal(c.Tokens(1), tokens[1:]) || c.Used() != 5 {
			t.Fatalf("lengths %d, %d, %d", c.Length(0), c.Length(1), c.Length(2))
		}
		feed(t, c, 2, tokens, 6)
	}
}

func TestSharedCellsHoldManySequencesAndSayWhenTheyAreFull(t *testing.T) {
	m := load(t, tinyLlama(t, 1, gguf.Q8_0))
	c := contextWith(t, m, ContextOptions{Size: 256, Sequences: 4})
	prefix := someTokens(m, 1, 200)
	want := feed(t, c, 0, prefix, 200)
	for s := 1; s < 4; s++ { // 800 tokens in 256 cells: the prefix is there once
		if err := c.Copy(0, s, 199); err != nil {
			t.Fatal(err)
		}
		if got := feed(t, c, s, prefix[199:], 1); cosine(got, want) < 0.99 { // rounding grows in random weights
			t.Fatalf("sequence %d: cosine %g", s, cosine(got, want))
		}
	}
	var err error
	for i := 0; err == nil && i < 100; i++ {
		var b Batch
		b.Add(3, c.Length(3), 5, true)
		err = c.DecodeBatch(&b)
	}
	if !errors.Is(err, ErrContextFull) {
		t.Fatalf("got %v", err)
	}
	length := c.Length(3)
	if err := c.Remove(3, 100); err != nil {
		t.Fatal(err)
	}
	if length <= 200 || c.Length(3) != 100 {
		t.Fatalf("length %d, then %d", length, c.Length(3))
	}
	feed(t, c, 3, someTokens(m, 2, 3), 3)
}

func TestAnAbortedBatchLeavesConversationsAsTheyWere(t *testing.T) {
	_, m := open(t)
	c := apart(t, m, 2)
	tokens := someTokens(m, 1, 40)
	want := feed(t, c, 0, tokens, 40)
	if err := c.Remove(0, 20); err != nil {
		t.Fatal(err)
	}
	c.Abort()
	var b Batch
	addTokens(&b, 0, 20, 1)
	for i := range 50 {
		b.Add(1, i, 4, false)
	}
	if err := c.DecodeBatch(&b); !errors.Is(err, ErrAborted) {
		t.Fatalf("got %v", err)
	}
	c.Resume()
	if c.Length(0) != 20 || c.Length(1) != 0 || c.lengthInC(0) != 20 || c.lengthInC(1) != 0 || c.Logits() != nil {
		t.Fatalf("lengths %d and %d", c.Length(0), c.Length(1))
	}
	same(t, "after the abort", feed(t, c, 0, tokens[20:], 20), want)
}

func TestARecurrentStateCanNotGoBack(t *testing.T) {
	m := load(t, tinyRWKV7(t, 3))
	c := apart(t, m, 2)
	feed(t, c, 0, someTokens(m, 1, 10), 10)
	if err := c.Remove(0, 5); !errors.Is(err, ErrNoWayBack) || c.Length(0) != 10 {
		t.Fatalf("%v, length %d", err, c.Length(0))
	}
	if err := c.Copy(0, 1, 5); !errors.Is(err, ErrNoWayBack) {
		t.Fatal(err)
	}
	if err := errors.Join(c.Copy(0, 1, 10), c.Remove(0, 10), c.Remove(0, 0)); err != nil || c.Length(1) != 10 {
		t.Fatal(err)
	}
}

func TestThreadsMayChangeBetweenTokens(t *testing.T) {
	m := load(t, tinyLlama(t, 1, gguf.Q8_0)) // on a busy machine threads wait long for each other
	c := apart(t, m, 1)
	tokens := someTokens(m, 1, 10)
	want := feed(t, c, 0, tokens, 2)
	c.Clear()
	for i, threads := range []int{1, 2, 3, 2, 1} {
		if err := c.SetThreads(1, threads); err != nil {
			t.Fatal(err)
		}
		feed(t, c, 0, tokens[2*i:2*i+2], 2)
	}
	same(t, "in the end", c.Logits(), want)
	if one, many := c.Threads(); one != 1 || many != 1 {
		t.Fatalf("%d and %d threads", one, many)
	}
}

func TestPiecesNeverLeaveASingleToken(t *testing.T) {
	for n := 1; n < 60; n++ {
		for most := 1; most < 20; most++ {
			tokens := make([]Token, n)
			count := 0
			for piece := range Pieces(tokens, most) {
				if len(piece) > most || len(piece) == 1 && n > 1 && most > 2 {
					t.Fatalf("a piece of %d in %d tokens by %d", len(piece), n, most)
				}
				count += len(piece)
			}
			if count != n {
				t.Fatalf("%d of %d tokens", count, n)
			}
		}
	}
}
