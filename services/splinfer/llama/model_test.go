package llama

import (
	"errors"
	"slices"
	"testing"

	"runa/services/gguf"
)

func TestTwoFilesOfWeightsHaveTwoIdentities(t *testing.T) {
	one, same, other := tinyLlama(t, 1, gguf.Q8_0), tinyLlama(t, 1, gguf.Q8_0), tinyLlama(t, 2, gguf.Q8_0)
	a, b, c := load(t, one).Identity(), load(t, same).Identity(), load(t, other).Identity()
	if a != b || a == c || len(a.String()) != 64 {
		t.Fatalf("%s, %s, %s", a, b, c)
	}
}

func TestTheModelKnowsItsEndTokens(t *testing.T) {
	_, m := open(t)
	var want []Token
	for token := range m.words {
		if m.library.c.isEOG(m.vocab, token) {
			want = append(want, token)
		}
	}
	if !slices.Equal(m.EndTokens(), want) || !slices.Contains(want, 2) {
		t.Fatalf("got %v, want %v", m.EndTokens(), want)
	}
	if !m.EndsGeneration(2) || m.EndsGeneration(300) || m.EndsGeneration(-1) || m.EndsGeneration(1<<30) {
		t.Fatal("a token is taken for another")
	}
}

func TestALoadTellsItsProgressAndCanBeStopped(t *testing.T) {
	library, _ := open(t)
	path := environment(t, "RUNA_MODEL_STORIES15M")
	last := float32(-1)
	m, err := library.Load(path, LoadOptions{Progress: func(part float32) bool {
		if part < last || part > 1 {
			t.Errorf("%g after %g", part, last)
		}
		last = part
		return true
	}})
	if err != nil || last != 1 {
		t.Fatalf("%v at %g", err, last)
	}
	m.Close()
	if _, err := library.Load(path, LoadOptions{Progress: func(float32) bool { return false }}); !errors.Is(err, ErrAborted) {
		t.Fatalf("got %v", err)
	}
}
