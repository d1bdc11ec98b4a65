package embed

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"runa/services/gguf/tiny"
	"runa/services/hint"
	"runa/services/splinfer/llama"
)

func TestTextsBecomeTokensWithTheModelsOwnAround(t *testing.T) {
	got, err := miniLM(t).Tokenize([]string{"Hello, World!", "[CLS]", " ", "embeddings"})
	if err != nil {
		t.Fatal(err)
	}
	want := [][]llama.Token{
		{101, 7592, 1010, 2088, 999, 102},
		{101, 1031, 18856, 2015, 1033, 102}, // plain text, not the token 101
		{101, 102},
		{101, 7861, 8270, 4667, 2015, 102},
	}
	if !slices.EqualFunc(got, want, slices.Equal[[]llama.Token]) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestTextsAreReadWhileAJobGoesOn(t *testing.T) {
	e := open(t, tinyBERT(t), Options{})
	text := []string{strings.Repeat("two words ", 20)}
	want, err := e.Tokenize(text)
	if err != nil {
		t.Fatal(err)
	}
	vector := vectors(t, e, want...)
	faults := make(chan error)
	go func() {
		for range 100 {
			if got, err := e.Tokenize(text); err != nil || !slices.Equal(got[0], want[0]) {
				faults <- fmt.Errorf("other tokens, %v", err)
				return
			}
		}
		faults <- nil
	}()
	for range 100 {
		if !slices.Equal(vectors(t, e, want...)[0], vector[0]) {
			t.Error("another vector")
		}
	}
	if err := <-faults; err != nil {
		t.Error(err)
	}
}

func TestFaultyTextsAreNamedByIndexAndNeverQuoted(t *testing.T) {
	e := open(t, tinyBERT(t, tiny.Context(20)), Options{})
	for name, c := range map[string]struct {
		text  string
		want  error
		parts []string // of the message
	}{
		"empty":         {"", ErrText, []string{"empty"}},
		"not UTF-8":     {"secret\xff", ErrText, []string{"UTF-8"}},
		"a zero byte":   {"secret\x00secret", ErrText, []string{"zero byte"}},
		"a token over":  {strings.Repeat("s ", 19), ErrTooLong, []string{" 21 tokens", "at most 20"}},
		"far too long":  {strings.Repeat("secret ", 1<<20), ErrTooLong, []string{" 7340032 bytes", "at most"}},
		"half a letter": {"\xc3", ErrText, []string{"UTF-8"}},
	} {
		_, err := e.Tokenize([]string{"a", "b", c.text, ""})
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, part := range append(c.parts, "text 2") {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %q does not say %q", name, err, part)
			}
		}
		if strings.Contains(err.Error()+hint.Of(err), "secret") {
			t.Errorf("%s: %q quotes the text", name, err)
		}
		if _, all := e.Embed(t.Context(), []string{"a", "b", c.text, ""}); all == nil || all.Error() != err.Error() {
			t.Errorf("%s: Embed says %v", name, all)
		}
	}
	longest, err := e.Embed(t.Context(), []string{strings.Repeat("s ", 18)})
	if err != nil || len(longest) != 1 {
		t.Errorf("a text of just as many tokens as the model reads: %v", err)
	}
}

func FuzzAnyTextIsEmbeddedOrRefused(f *testing.F) {
	for _, text := range []string{"", "a", "Hello, WORLD 42!\n", "\xff", "a\x00", "\u00e9\u6f22\U0001f600", strings.Repeat("x ", 300)} {
		f.Add(text)
	}
	e := open(f, tinyBERT(f), Options{})
	f.Fuzz(func(t *testing.T, text string) {
		tokens, err := e.Tokenize([]string{text})
		if err != nil {
			if !errors.Is(err, ErrText) && !errors.Is(err, ErrTooLong) {
				t.Fatal(err)
			}
			return
		}
		if got := vectors(t, e, tokens...); len(got) != 1 || len(got[0]) != e.Dimensions() {
			t.Fatalf("%d vectors", len(got))
		}
	})
}
