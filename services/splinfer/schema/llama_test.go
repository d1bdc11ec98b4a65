package schema

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"runa/services/splinfer/llama"
)

func environment(t *testing.T, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		t.Fatalf("%s is not set; run the tests with `make test`, which sets it", name)
	}
	return value
}

// llamas reads texts as llama.cpp's own grammar does, byte by byte.
type llamas struct {
	*testing.T
	model  *llama.Model
	bytes  [256]llama.Token
	logits []float32
}

func newLlamas(t *testing.T) *llamas {
	library, err := llama.Open(environment(t, "RUNA_LLAMA_DIR"), nil)
	if err != nil {
		t.Fatal(err)
	}
	model, err := library.LoadModel(environment(t, "RUNA_MODEL_STORIES15M"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(model.Close)
	l := &llamas{T: t, model: model, logits: make([]float32, model.VocabularySize())}
	for b := range 256 {
		l.bytes[b] = llama.Token(b + 3) // behind <unk>, <s> and </s>
		if piece := model.Piece(l.bytes[b], false); len(piece) != 1 || piece[0] != byte(b) {
			t.Fatalf("token %d is %q, want the byte %#x", b+3, piece, b)
		}
	}
	return l
}

// matches says whether llama.cpp lets a text through and lets it end there.
func (l *llamas) matches(gbnf, text string) bool {
	l.Helper()
	sampler, err := l.model.NewSampler(llama.Sampling{Grammar: gbnf, RepeatPenalty: 1})
	if err != nil {
		l.Fatalf("llama.cpp refuses the grammar: %v\n%s", err, gbnf)
	}
	defer sampler.Close()
	for _, b := range []byte(text) {
		if sampler.Accept(l.bytes[b]) != nil {
			return false
		}
	}
	end := l.model.EndTokens()[0]
	clear(l.logits)
	l.logits[end] = 100
	choice, err := sampler.Choose(l.logits, 0)
	return err == nil && choice.Token == end
}

func TestLlamaReadsGrammarsAsWeDo(t *testing.T) {
	l := newLlamas(t)
	check := func(gbnf string, yes, no []string) {
		for _, text := range yes {
			if !l.matches(gbnf, text) {
				t.Errorf("llama.cpp does not let %q through\n%s", text, gbnf)
			}
		}
		for _, text := range no {
			if l.matches(gbnf, text) {
				t.Errorf("llama.cpp lets %q through\n%s", text, gbnf)
			}
		}
	}
	for _, c := range written {
		check(c.gbnf, c.yes, c.no)
	}
	for _, c := range understood {
		gbnf, err := Grammar([]byte(c.schema))
		if err != nil {
			t.Fatal(err)
		}
		check(gbnf, c.yes, c.no)
	}
	for _, gbnf := range largest {
		l.matches(gbnf, "a")
	}
}

// drawGrammar draws a grammar of three rules over the letters a and b, most of
// them such that llama.cpp could not stand them.
func drawGrammar(t *rapid.T) string {
	var sequences func(depth int) string
	part := func(depth int) string {
		parts := []string{`"a"`, `"b"`, `"ab"`, `[ab]`, `[^a]`, `.`, "x", "y", `""`}
		one := rapid.SampledFrom(parts).Draw(t, "part")
		if depth > 0 && rapid.IntRange(0, 3).Draw(t, "group") == 0 {
			one = "(" + sequences(depth-1) + ")"
		}
		return one + rapid.SampledFrom([]string{"", "", "", "?", "*", "+", "{2}", "{0,2}", "{1,}"}).Draw(t, "times")
	}
	sequences = func(depth int) string {
		var alternates []string
		for range rapid.IntRange(1, 2).Draw(t, "alternatives") {
			var parts []string
			for range rapid.IntRange(0, 3).Draw(t, "parts") {
				parts = append(parts, part(depth))
			}
			alternates = append(alternates, strings.Join(parts, " "))
		}
		return strings.Join(alternates, " | ")
	}
	return fmt.Sprintf("root ::= %s\nx ::= %s\ny ::= %s\n", sequences(2), sequences(1), sequences(1))
}

func TestLlamaTakesWhatIsLetThrough(t *testing.T) {
	l := newLlamas(t)
	rapid.Check(t, func(t *rapid.T) {
		gbnf := drawGrammar(t)
		g, err := checkedGrammar(gbnf)
		if err != nil {
			return
		}
		for _, text := range []string{"", "a", "b", "ab", "ba", "aab", "abba"} {
			if ours, theirs := g.matches(text), l.matches(gbnf, text); ours != theirs {
				t.Fatalf("%q: matches %v, for llama.cpp %v in\n%s", text, ours, theirs, gbnf)
			}
		}
	})
}
