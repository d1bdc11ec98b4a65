package journal

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// story is what was done to one conversation before the power was cut.
type story struct {
	appended []Record // also those whose append failed, at the end
	done     int      // how many of them were appended
	synced   int      // how many of them a Sync acknowledged
	states   map[int]string
	removed  bool
}

// tell does all that a store can do, and stops at the first error.
func tell(m *memory, stories map[string]*story) error {
	s, err := openDisk(m, Options{Bytes: 2 * (stateHeader + 40), Now: clock()})
	if err != nil {
		return err
	}
	for turn := range int32(2) {
		for _, id := range []string{"a", "b"} {
			if err := tellTurn(s, id, turn, stories); err != nil {
				return err
			}
		}
	}
	stories["a"].removed = true
	if err := s.Remove("a"); err != nil {
		return err
	}
	return s.Close()
}

func tellTurn(s *Store, id string, turn int32, stories map[string]*story) error {
	told := stories[id]
	c, err := s.Conversation(id)
	if err != nil {
		return err
	}
	batches := [][]Record{
		{Begin{Model: "m", Seed: uint64(turn)}, Prompt{[]int32{1, turn, 3}}},
		{Run{[]Drawn{{4, -1}}}},
		{Run{[]Drawn{{5, -1}, {turn, -2}}}, Mask{Index: 4, ID: turn}, Whisper{[]int32{9}}},
		{Run{[]Drawn{{6, -1}}}, End{"stop"}},
	}
	for i, batch := range batches {
		told.appended = append(told.appended, batch...)
		if err := c.Append(batch...); err != nil {
			return err
		}
		told.done = len(told.appended)
		if i == 1 {
			if err := c.Sync(); err != nil {
				return err
			}
			told.synced = told.done
		}
	}
	tokens := len(c.Tokens()) - 2
	told.states[tokens] = fmt.Sprintf("%s after %d", id, tokens)
	if err := c.SaveState(tokens, saying(told.states[tokens])); err != nil {
		return err
	}
	if _, _, err := state(c); err != nil {
		return err
	}
	if err := c.Close(); err != nil {
		return err
	}
	told.synced = told.done
	return nil
}

// check opens what is left and says what is wrong with it.
func (told *story) check(t *testing.T, s *Store, id string, atLeast int) {
	t.Helper()
	c, err := s.Conversation(id)
	if err != nil {
		t.Errorf("open %s: %v", id, err)
		return
	}
	found := records(t, c)
	if told.removed && len(found) == 0 {
		return
	}
	if len(found) < atLeast || len(found) > len(told.appended) || !equal(found, told.appended[:len(found)]) {
		t.Errorf("%s: found %s, of %s at least %d", id, kinds(found), kinds(told.appended), atLeast)
		return
	}
	tokens, got, err := state(c)
	if err != nil && !errors.Is(err, ErrNoState) {
		t.Errorf("%s: load state: %v", id, err)
	}
	if err == nil && (got != told.states[tokens] || tokens > len(c.Tokens())) {
		t.Errorf("%s: state after %d tokens: %q", id, tokens, got)
	}
	more := Whisper{[]int32{77}}
	if err := errors.Join(c.Append(more), c.Close()); err != nil {
		t.Errorf("%s: append: %v", id, err)
		return
	}
	if c, err = s.Conversation(id); err != nil {
		t.Errorf("open %s again: %v", id, err)
		return
	}
	if again := records(t, c); !equal(again, append(slices.Clone(found), more)) {
		t.Errorf("%s: found %s and then %s", id, kinds(found), kinds(again))
	}
}

func newStories() map[string]*story {
	return map[string]*story{"a": {states: map[int]string{}}, "b": {states: map[int]string{}}}
}

func TestAfterAPowerCutAtAnyStepEverythingSyncedIsThereAndAllIsAPrefix(t *testing.T) {
	cuts := 0
	for n := 0; ; n++ {
		m, stories := newMemory(), newStories()
		m.steps = n
		err := tell(m, stories)
		for seed := range uint64(40) {
			cut := m.afterPowerCut(rand.New(rand.NewPCG(seed, uint64(n))))
			s := openMemory(t, cut, Options{})
			for id, told := range stories {
				told.check(t, s, id, told.synced)
			}
			if t.Failed() {
				t.Fatalf("after %d steps, random %d, left %v", n, seed, cut)
			}
			cuts++
		}
		if err == nil {
			t.Logf("%d power cuts after each of %d steps", cuts, n)
			return
		}
		wants(t, err, errPowerCut)
	}
}

func TestAfterTheProcessDiedAtAnyStepEverythingAppendedIsThere(t *testing.T) {
	for n := 0; ; n++ {
		m, stories := newMemory(), newStories()
		m.steps = n
		err := tell(m, stories)
		s := openMemory(t, m.killed(), Options{})
		for id, told := range stories {
			told.check(t, s, id, told.done)
		}
		if t.Failed() {
			t.Fatalf("after %d steps", n)
		}
		if err == nil {
			return
		}
	}
}

func TestAPowerCutWhileSalvagingLosesNothing(t *testing.T) {
	damaged, sound := damagedJournal(t)
	for n := 0; ; n++ {
		m := newMemory()
		m.put("a.journal", damaged)
		s := openMemory(t, m, Options{})
		m.steps = n
		_, err := s.Salvage("a")
		for seed := range uint64(10) {
			cut := m.afterPowerCut(rand.New(rand.NewPCG(seed, uint64(n))))
			s := openMemory(t, cut, Options{})
			whole := cut.names["a.1.damaged"]
			if whole == nil {
				whole = cut.names["a.journal"]
			}
			if string(whole.data) != string(damaged) {
				t.Fatalf("after %d steps the damaged file is gone", n)
			}
			if _, err := s.Salvage("a"); err != nil {
				t.Fatalf("after %d steps: %v", n, err)
			}
			if got := records(t, conversation(t, s, "a")); !equal(got, sound) {
				t.Fatalf("after %d steps: %s", n, kinds(got))
			}
		}
		if err == nil {
			return
		}
	}
}

func TestASyncThatFailedIsMadeGoodByTheNext(t *testing.T) {
	m := newMemory()
	s := openMemory(t, m, Options{})
	c := conversation(t, s, "a")
	want := someRecords()
	must(t, c.Append(want[:2]...))
	must(t, c.Sync())
	must(t, c.Append(want[2:4]...))
	m.badSyncs = 2
	for range 2 {
		if err := c.Sync(); err == nil {
			t.Fatal("no error")
		}
		must(t, c.Append(want[4]))
		want = slices.Delete(slices.Clone(want), 5, 6) // a whisper fewer, so that the mask comes twice
		want = slices.Insert(want, 5, want[4])
	}
	must(t, c.Sync())
	for seed := range uint64(20) {
		cut := openMemory(t, m.afterPowerCut(rand.New(rand.NewPCG(seed, 0))), Options{})
		if got := records(t, conversation(t, cut, "a")); !equal(got, want[:6]) {
			t.Fatalf("%s", kinds(got))
		}
	}
}
