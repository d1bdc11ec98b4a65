package journal

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
)

// with returns a conversation of n tokens.
func with(t *testing.T, s *Store, id string, n int) *Conversation {
	t.Helper()
	c := conversation(t, s, id)
	must(t, c.Append(Begin{Model: "m"}, Prompt{slices.Repeat([]int32{7}, n)}))
	return c
}

func TestAStateComesBackAsItWasWrittenAcrossStores(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, Options{})
	must(t, err)
	c := with(t, s, "a", 10)
	_, _, err = state(c)
	wants(t, err, ErrNoState)
	must(t, c.SaveState(4, saying("first")))
	must(t, c.SaveState(8, saying(strings.Repeat("second", 100_000))))
	for range 2 {
		tokens, got, err := state(c)
		if must(t, err); tokens != 8 || got != strings.Repeat("second", 100_000) {
			t.Fatalf("%d tokens, %d bytes", tokens, len(got))
		}
		must(t, s.Close())
		if s, err = Open(dir, Options{}); err != nil {
			t.Fatal(err)
		}
		c = conversation(t, s, "a")
	}
	must(t, s.Close())
}

func TestAStateOfOtherTokensOrAnotherModelIsIgnored(t *testing.T) {
	for name, change := range map[string][]Record{
		"a masked token":  {Mask{Index: 1, ID: 3}},
		"a shorter one":   {Keep{3}},
		"other tokens":    {Keep{3}, Prompt{[]int32{1, 1}}},
		"another model":   {Begin{Model: "n"}},
		"later ones only": {Prompt{[]int32{1}}, Mask{Index: 4, ID: 9}, Begin{Model: "m"}},
	} {
		s := openMemory(t, newMemory(), Options{})
		c := with(t, s, "a", 5)
		must(t, c.SaveState(4, saying("state")))
		must(t, c.Append(change...))
		_, _, err := state(c)
		if want := name != "later ones only"; errors.Is(err, ErrNoState) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestADamagedStateIsNeverReturned(t *testing.T) {
	m := newMemory()
	c := with(t, openMemory(t, m, Options{}), "a", 5)
	must(t, c.SaveState(4, saying("the state")))
	sound := slices.Clone(m.names["a.state"].data)
	journal := m.names["a.journal"].data
	try := func(name string, at int, data []byte) {
		m := newMemory()
		m.put("a.journal", journal)
		m.put("a.state", data)
		c := conversation(t, openMemory(t, m, Options{}), "a")
		_, _, err := state(c)
		if !errors.Is(err, ErrNoState) {
			t.Fatalf("%s %d: %v", name, at, err)
		}
		must(t, c.SaveState(5, saying("new")))
		if tokens, got, err := state(c); err != nil || tokens != 5 || got != "new" {
			t.Fatalf("%s %d: %d %q %v", name, at, tokens, got, err)
		}
	}
	for i := range sound {
		bad := slices.Clone(sound)
		bad[i] ^= 1
		try("bit", i, bad)
		try("cut", i, sound[:i])
	}
	try("longer", 0, append(slices.Clone(sound), 0))
}

func TestTheOldestStatesAreGivenUpForANewOne(t *testing.T) {
	m := newMemory()
	one := int64(stateHeader + 10)
	s := openMemory(t, m, Options{Bytes: 3*one + 5, Now: clock()})
	held := map[string]*Conversation{}
	for _, id := range []string{"a", "b", "c"} {
		held[id] = with(t, s, id, 5)
		must(t, held[id].SaveState(1, saying("0123456789")))
	}
	_, _, err := state(held["a"]) // now b is the oldest
	must(t, err)
	held["d"] = with(t, s, "d", 5)
	must(t, held["d"].SaveState(1, saying("0123456789")))
	if got := stateFiles(m); got != "a c d" {
		t.Fatalf("held: %s", got)
	}
	// One that is being loaded is not given up.
	_, r, err := held["c"].LoadState()
	must(t, err)
	wants(t, held["c"].SaveState(1, saying("x")), ErrBusy)
	_, _, err = held["c"].LoadState()
	wants(t, err, ErrBusy)
	err = held["b"].SaveState(1, saying(strings.Repeat("x", 90)))
	must(t, err)
	if got := stateFiles(m); got != "b c" {
		t.Fatalf("held: %s", got)
	}
	must(t, r.Close())
	must(t, r.Close())
	_, err = r.Read(make([]byte, 1))
	wants(t, err, ErrClosed)
	// One that is larger than the budget leaves nothing.
	err = held["a"].SaveState(1, func(w io.Writer) error {
		for range 4 * one {
			_, _ = io.WriteString(w, "x")
		}
		return nil
	})
	wants(t, err, ErrTooLarge)
	if got := stateFiles(m); got != "" || s.states.used != 0 {
		t.Fatalf("held: %s, account %d", got, s.states.used)
	}
	must(t, s.Close())
}

// stateFiles lists whose states there are, whatever they are called now.
func stateFiles(m *memory) string {
	var names []string
	for name := range m.names {
		if id, rest, _ := strings.Cut(name, "."); strings.HasPrefix(rest, "state") {
			names = append(names, id)
		}
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

func TestASmallerBudgetIsKeptFromTheStart(t *testing.T) {
	m := newMemory()
	now := clock()
	s := openMemory(t, m, Options{Now: now})
	for _, id := range []string{"b", "a", "c"} {
		must(t, with(t, s, id, 5).SaveState(1, saying("0123456789")))
	}
	must(t, s.Close())
	s = openMemory(t, m, Options{Bytes: 2*stateHeader + 20, Now: now})
	if got := stateFiles(m); got != "a c" {
		t.Fatalf("held: %s", got)
	}
	must(t, s.Close())
	s = openMemory(t, m, Options{Bytes: -1})
	wants(t, conversation(t, s, "a").SaveState(1, saying("")), ErrTooLarge)
	if got := stateFiles(m); got != "" {
		t.Fatalf("held: %s", got)
	}
}

func TestAStateDuringWhoseLoadingTheProcessDiedIsNotUsedAgain(t *testing.T) {
	m := newMemory()
	c := with(t, openMemory(t, m, Options{}), "a", 5)
	must(t, c.SaveState(1, saying("that makes the library abort")))
	_, _, err := c.LoadState()
	must(t, err)
	m = m.killed()
	s := openMemory(t, m, Options{})
	if got := stateFiles(m); got != "" {
		t.Fatalf("held: %s", got)
	}
	_, _, err = state(conversation(t, s, "a"))
	wants(t, err, ErrNoState)
}

func TestAFailedSaveLeavesTheEarlierState(t *testing.T) {
	m := newMemory()
	s := openMemory(t, m, Options{})
	c := with(t, s, "a", 5)
	must(t, c.SaveState(1, saying("first")))
	failure := errors.New("failure")
	wants(t, c.SaveState(2, func(w io.Writer) error { return errors.Join(saying("part")(w), failure) }), failure)
	wants(t, c.SaveState(6, saying("")), ErrRecord)
	wants(t, c.SaveState(-1, saying("")), ErrRecord)
	if tokens, got, err := state(c); err != nil || tokens != 1 || got != "first" {
		t.Fatalf("%d %q %v", tokens, got, err)
	}
	if s.states.used != stateHeader+5 || m.names["a.state.temp"] != nil {
		t.Fatalf("account %d, left %v", s.states.used, m)
	}
}

func TestAConversationClosedDuringASaveIsFreeOnceItIsSaved(t *testing.T) {
	s := openMemory(t, newMemory(), Options{})
	c := with(t, s, "a", 5)
	must(t, c.SaveState(5, func(w io.Writer) error {
		must(t, c.Append(Prompt{[]int32{1}}))
		must(t, c.Close())
		_, err := s.Conversation("a")
		wants(t, err, ErrBusy)
		return saying("state")(w)
	}))
	tokens, got, err := state(conversation(t, s, "a"))
	if must(t, err); tokens != 5 || got != "state" {
		t.Fatalf("%d %q", tokens, got)
	}
}

func TestOpenRemovesStatesWithoutAJournal(t *testing.T) {
	m := newMemory()
	m.put("a.state", []byte("x"))
	m.put("b.state.temp", []byte("x"))
	m.put("b.journal.temp", []byte("x"))
	s := openMemory(t, m, Options{Now: func() time.Time { return time.Unix(1, 0) }})
	if m.String() != "[]" || s.states.used != 0 {
		t.Fatalf("left: %v", m)
	}
}
