package llama

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"runa/services/gguf"
)

func TestAnAdapterChangesTheAnswerByItsScale(t *testing.T) {
	m := load(t, tinyLlama(t, 1, gguf.Q8_0))
	c := apart(t, m, 2)
	tokens := someTokens(m, 1, 10)
	plain := feed(t, c, 0, tokens, 10)
	adapter, err := m.LoadAdapter(tinyAdapter(t, 5))
	if err != nil {
		t.Fatal(err)
	}
	defer adapter.Close()
	if err := c.SetAdapters(AdapterScale{adapter, 1}); err == nil {
		t.Fatal("an adapter was set under tokens that were computed without it")
	}
	state, err := c.SaveState(0)
	if err != nil {
		t.Fatal(err)
	}
	c.Clear()
	if err := c.SetAdapters(AdapterScale{adapter, 1}); err != nil {
		t.Fatal(err)
	}
	if err := c.RestoreState(0, state); !errors.Is(err, ErrStateForeign) {
		t.Fatalf("a state without the adapter: %v", err)
	}
	if slices.Equal(feed(t, c, 0, tokens, 10), plain) {
		t.Fatal("the adapter changed nothing")
	}
	c.Clear()
	if err := c.SetAdapters(AdapterScale{adapter, 1}, AdapterScale{adapter, 2}); err == nil {
		t.Fatal("one adapter was taken twice")
	}
	if err := c.SetAdapters(); err != nil {
		t.Fatal(err)
	}
	same(t, "without it again", feed(t, c, 0, tokens, 10), plain)
}

func TestWhatIsNoAdapterOfTheModelIsRefused(t *testing.T) {
	m := load(t, tinyLlama(t, 1, gguf.Q8_0))
	_, stories := open(t)
	if _, err := m.LoadAdapter(tinyLlama(t, 1, gguf.Q8_0)); err == nil || !strings.Contains(err.Error(), "no LoRA adapter") {
		t.Errorf("a model: %v", err)
	}
	if _, err := stories.LoadAdapter(tinyAdapter(t, 1)); err == nil {
		t.Error("an adapter of another model was loaded")
	}
	if _, err := m.LoadAdapter("/nowhere"); err == nil {
		t.Error("a missing file was loaded")
	}
}
