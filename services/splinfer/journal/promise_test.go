package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"testing"
)

// afterEachOf calls check with what many power cuts leave of m.
func afterEachOf(t *testing.T, m *memory, check func(*memory, *Store)) {
	t.Helper()
	for seed := range uint64(30) {
		cut := m.afterPowerCut(rand.New(rand.NewPCG(seed, 7)))
		check(cut, openMemory(t, cut, Options{}))
		if t.Failed() {
			t.Fatalf("random %d, left %v", seed, cut)
		}
	}
}

func TestASavedStateSurvivesAPowerCut(t *testing.T) {
	m := newMemory()
	c := with(t, openMemory(t, m, Options{}), "a", 5)
	must(t, c.Sync())
	must(t, c.SaveState(4, saying("a state")))
	afterEachOf(t, m, func(_ *memory, s *Store) {
		if tokens, got, err := state(conversation(t, s, "a")); err != nil || tokens != 4 || got != "a state" {
			t.Errorf("%d %q %v", tokens, got, err)
		}
	})
}

func TestARemovedConversationStaysRemovedAfterAPowerCut(t *testing.T) {
	m := newMemory()
	s := openMemory(t, m, Options{})
	c := with(t, s, "a", 5)
	must(t, c.SaveState(4, saying("a state")))
	must(t, c.Close())
	must(t, s.Remove("a"))
	afterEachOf(t, m, func(cut *memory, _ *Store) {
		if cut.String() != "[]" {
			t.Errorf("left: %v", cut)
		}
	})
}

func TestASyncOfAnotherProcessPutsTheNameOnTheDiskToo(t *testing.T) {
	m := newMemory()
	c := conversation(t, openMemory(t, m, Options{}), "a")
	must(t, c.Append(someRecords()...))
	m.locked = false // the process died
	c = conversation(t, openMemory(t, m, Options{}), "a")
	must(t, c.Append(End{"cancel"}))
	must(t, c.Sync())
	afterEachOf(t, m, func(_ *memory, s *Store) {
		if got := records(t, conversation(t, s, "a")); !equal(got, append(someRecords(), End{"cancel"})) {
			t.Errorf("%s", kinds(got))
		}
	})
}

func TestWhatWasCutOffDoesNotComeBack(t *testing.T) {
	first, err := appendFrame(header(), headerSize, Prompt{[]int32{1}})
	must(t, err)
	both, err := appendFrame(slices.Clone(first), int64(len(first)), Prompt{[]int32{2}})
	must(t, err)
	both[headerSize+6] ^= 1 // the first was torn, the second not
	m, _, c, err := reopened(t, both)
	must(t, err)
	if m.syncs != 1 {
		t.Errorf("the cut was not brought to the disk")
	}
	must(t, c.Append(Prompt{[]int32{3}})) // ends where the second began
	c = conversation(t, openMemory(t, m.killed(), Options{}), "a")
	if got := records(t, c); !equal(got, []Record{Prompt{[]int32{3}}}) {
		t.Errorf("%s", kinds(got))
	}
}

// A mark is found wherever it is, also where the search goes on to more bytes.
func TestDamageIsToldHoweverFarTheMarkIs(t *testing.T) {
	const window = 1 << 16
	for far := window - markSize - 2; far <= window+2; far++ {
		for _, windows := range []int{0, 1} {
			data := header()
			distance := far + windows*window
			// A prompt has a multiple of 4 bytes, so the first reason makes up the rest.
			prompt := (distance - 2*(frameFront+frameEnd)) / 4
			reason := make([]byte, distance-2*(frameFront+frameEnd)-4*prompt)
			for _, r := range []Record{End{string(reason)}, Prompt{make([]int32, prompt)}, mark{Synced: headerSize + 10}} {
				var err error
				data, err = appendFrame(data, int64(len(data)), r)
				must(t, err)
			}
			if len(data) != headerSize+distance+markSize {
				t.Fatalf("the mark is at byte %d, not at %d", len(data)-markSize, headerSize+distance)
			}
			data[headerSize+frameFront-1] ^= 1
			_, _, _, err := reopened(t, data)
			wants(t, err, ErrDamaged)
		}
	}
}

func TestAnErrorOfTheDiskIsNoTornTail(t *testing.T) {
	data, _, _, _ := written(t)
	failure := errors.New("the disk can't read")
	for bad := range int64(len(data)) {
		_, err := scan(unreadable{data, bad, failure}, int64(len(data)), func(Record) error { return nil })
		if !errors.Is(err, failure) {
			t.Fatalf("byte %d: %v", bad, err)
		}
	}
}

// unreadable fails where one byte is.
type unreadable struct {
	data []byte
	bad  int64
	err  error
}

func (u unreadable) ReadAt(p []byte, at int64) (int, error) {
	if at <= u.bad && u.bad < at+int64(len(p)) {
		return copy(p, u.data[at:u.bad]), u.err
	}
	if at >= int64(len(u.data)) {
		return 0, fmt.Errorf("read outside: %w", fs.ErrInvalid)
	}
	return copy(p, u.data[at:]), nil
}
