package journal

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// used is how many bytes all files have.
func (m *memory) used() (n int64) {
	for _, f := range m.names {
		n += int64(len(f.data))
	}
	return n
}

// At any number of bytes that are left an append succeeds or changes nothing, and
// goes on when there is room again.
func TestAFullDiskTearsNothingAndTheJournalGoesOn(t *testing.T) {
	batch := someRecords()[:4]
	for room := range int64(200) {
		m := newMemory()
		s := openMemory(t, m, Options{})
		c := conversation(t, s, "a")
		must(t, c.Append(batch...))
		must(t, c.Sync())
		m.room = m.used() + room
		want := slices.Clone(batch)
		failed := false
		for range 4 {
			if err := c.Append(batch...); err == nil {
				want = append(want, batch...)
			} else {
				wants(t, err, ErrFull)
				failed = true
			}
			must(t, c.Sync())
		}
		if !failed {
			t.Fatalf("room %d: it never was full", room)
		}
		if got := records(t, c); !equal(got, want) {
			t.Fatalf("room %d: %s", room, kinds(got))
		}
		if got := records(t, conversation(t, openMemory(t, m.killed(), Options{}), "a")); !equal(got, want) {
			t.Fatalf("room %d, another process: %s", room, kinds(got))
		}
		m.room = -1
		must(t, c.Append(batch...))
		must(t, c.Close())
		if got := records(t, conversation(t, s, "a")); !equal(got, append(want, batch...)) {
			t.Fatalf("room %d, then more: %s", room, kinds(got))
		}
	}
}

func TestAConversationThatCantBeMadeOnAFullDiskLeavesNothing(t *testing.T) {
	for room := range int64(headerSize) {
		m := newMemory()
		s := openMemory(t, m, Options{})
		m.room = room
		_, err := s.Conversation("a")
		wants(t, err, ErrFull)
		if m.String() != "[]" {
			t.Fatalf("left: %v", m)
		}
		m.room = -1
		must(t, conversation(t, s, "a").Append(someRecords()...))
	}
}

func TestStatesAreGivenUpForTheJournalOnAFullDisk(t *testing.T) {
	m := newMemory()
	s := openMemory(t, m, Options{Now: clock()})
	for _, id := range []string{"a", "b", "c"} {
		must(t, with(t, s, id, 5).SaveState(1, saying(strings.Repeat("x", 1000))))
	}
	m.room = m.used() + 100
	c := conversation(t, s, "d")
	appended := 0
	for err := error(nil); err == nil; appended++ {
		switch err = c.Append(Prompt{make([]int32, 100)}); appended {
		case 0:
			if got := stateFiles(m); got != "b c" || err != nil {
				t.Fatalf("held: %s, %v", got, err)
			}
		default:
			if err != nil {
				wants(t, err, ErrFull)
			}
		}
	}
	if got := stateFiles(m); got != "" || appended < 6 {
		t.Fatalf("held %q after %d", got, appended)
	}
	if got := records(t, c); len(got) != appended-1 {
		t.Fatalf("%d records of %d", len(got), appended-1)
	}
}

func TestAStateThatDoesNotFitOnTheDiskLeavesNoPartOfIt(t *testing.T) {
	m := newMemory()
	s := openMemory(t, m, Options{Now: clock()})
	a, b := with(t, s, "a", 5), with(t, s, "b", 5)
	must(t, a.SaveState(1, saying("old")))
	m.room = m.used() + 100
	must(t, b.SaveState(1, saying(strings.Repeat("x", 100)))) // the old one goes for it
	if got := stateFiles(m); got != "b" {
		t.Fatalf("held: %s", got)
	}
	wants(t, a.SaveState(1, saying(strings.Repeat("x", 1000))), ErrFull)
	if m.names["a.state.temp"] != nil || s.states.used != 0 {
		t.Fatalf("left %v, account %d", m, s.states.used)
	}
}

// A write that fails half-way and can't be taken back is made good later.
func TestWhatCantBeTakenBackIsMendedByTheNextAppend(t *testing.T) {
	m := newMemory()
	s := openMemory(t, m, Options{})
	c := conversation(t, s, "a")
	batch := someRecords()[:4]
	must(t, c.Append(batch...))
	m.room = m.used() + 50
	m.steps = 1 // the write is done in part, the truncation fails
	if err := c.Append(batch...); err == nil {
		t.Fatal("no error")
	}
	if err := c.Append(batch...); !errors.Is(err, errPowerCut) {
		t.Fatal(err)
	}
	m.room, m.steps = -1, -1
	must(t, c.Append(batch...))
	if got := records(t, c); !equal(got, slices.Concat(batch, batch)) {
		t.Fatalf("%s", kinds(got))
	}
}
