package journal

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestAConversationHoldsWhatWasAppendedAcrossStores(t *testing.T) {
	dir := t.TempDir() + "/a/b"
	s, err := Open(dir, Options{})
	must(t, err)
	c := conversation(t, s, "one")
	want := someRecords()
	must(t, c.Append(want[:2]...))
	for _, r := range want[2:] {
		must(t, c.Append(r))
	}
	must(t, c.Append())
	tokens := []int32{1, 15043, 29892, 3186, 0, 2, 7}
	if got := c.Tokens(); !slices.Equal(got, tokens) {
		t.Fatalf("tokens %v", got)
	}
	if got := records(t, c); !equal(got, want) {
		t.Fatalf("records %v", got)
	}
	must(t, s.Close())
	wants(t, c.Append(End{}), ErrClosed)
	wants(t, c.Sync(), ErrClosed)

	s, err = Open(dir, Options{})
	must(t, err)
	c = conversation(t, s, "one")
	if got := records(t, c); !equal(got, want) || !slices.Equal(c.Tokens(), tokens) {
		t.Fatalf("records %v, tokens %v", got, c.Tokens())
	}
	must(t, s.Close())
}

func TestOpeningAndClosingChangesNothing(t *testing.T) {
	m := newMemory()
	size := -1
	for range 5 {
		s := openMemory(t, m, Options{})
		c := conversation(t, s, "one")
		if len(records(t, c)) == 0 {
			must(t, c.Append(someRecords()...))
		}
		must(t, c.Sync())
		must(t, c.Sync())
		must(t, s.Close())
		if n := len(m.names["one.journal"].data); size >= 0 && n != size {
			t.Fatalf("%d bytes, before %d", n, size)
		} else {
			size = n
		}
	}
}

func TestEqualRecordsAreEqualBytes(t *testing.T) {
	var files []string
	for _, parameters := range []string{`{"b":1.50,"a":{"d":"<é>","c":null}}`, " {\n\"a\": {\"c\":null, \"d\":\"\\u003c\\u00e9>\"}, \"b\" :1.50}"} {
		m := newMemory()
		s := openMemory(t, m, Options{})
		c := conversation(t, s, "one")
		must(t, c.Append(Begin{Parameters: json.RawMessage(parameters)}, Run{[]Drawn{{1, float32(math.NaN())}}}))
		must(t, s.Close())
		files = append(files, string(m.names["one.journal"].data))
	}
	if files[0] != files[1] || !strings.Contains(files[0], `{"a":{"c":null,"d":"<é>"},"b":1.50}`) {
		t.Fatalf("%q\n%q", files[0], files[1])
	}
}

func TestABadRecordIsRefusedAndNothingOfItsBatchIsWritten(t *testing.T) {
	s := openMemory(t, newMemory(), Options{})
	c := conversation(t, s, "one")
	must(t, c.Append(Prompt{[]int32{5, 6}}))
	before := c.size
	long := strings.Repeat("x", MaxName+1)
	for name, r := range map[string]Record{
		"nil":                 nil,
		"a mark":              mark{},
		"negative in prompt":  Prompt{[]int32{1, -1}},
		"negative in run":     Run{[]Drawn{{ID: -5}}},
		"negative whisper":    Whisper{[]int32{-1}},
		"mask behind the end": Mask{Index: 4, ID: 1},
		"mask before":         Mask{Index: -1, ID: 1},
		"mask of nothing":     Mask{Index: 0, ID: -1},
		"keeps too many":      Keep{5},
		"keeps fewer than 0":  Keep{-1},
		"long model":          Begin{Model: long},
		"long persona":        Begin{Persona: long},
		"persona not UTF-8":   Begin{Persona: "\xff"},
		"parameters a list":   Begin{Parameters: json.RawMessage(`[]`)},
		"parameters null":     Begin{Parameters: json.RawMessage(`null`)},
		"parameters torn":     Begin{Parameters: json.RawMessage(`{"secret":`)},
		"parameters twice":    Begin{Parameters: json.RawMessage(`{} {}`)},
		"long reason":         End{long},
		"reason not UTF-8":    End{"\xff"},
		"over MaxRecord":      Prompt{make([]int32, MaxRecord/4+1)},
	} {
		err := c.Append(Whisper{[]int32{1, 2}}, r)
		t.Run(name, func(t *testing.T) { wants(t, err, ErrRecord) })
		if strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "xxx") {
			t.Errorf("%s: a person's words are in %q", name, err)
		}
	}
	if c.size != before || !slices.Equal(c.Tokens(), []int32{5, 6}) || len(records(t, c)) != 1 {
		t.Fatal("something was written")
	}
}

func TestNamesOfConversationsAreNoPaths(t *testing.T) {
	s := openMemory(t, newMemory(), Options{})
	for _, id := range []string{"", ".", "..", "a/b", "a.b", "ä", "a b", "a\x00", strings.Repeat("a", 65)} {
		_, err := s.Conversation(id)
		wants(t, err, ErrID)
		if len(id) > 2 && strings.Contains(err.Error(), id) {
			t.Errorf("the name is in %q", err)
		}
		wants(t, s.Remove(id), ErrID)
	}
	for _, id := range []string{"a", "-", "lock", "A_b-9", strings.Repeat("a", 64)} {
		_, err := s.Conversation(id)
		must(t, err)
	}
}

func TestAConversationIsOpenOnce(t *testing.T) {
	s := openMemory(t, newMemory(), Options{})
	c := conversation(t, s, "one")
	_, err := s.Conversation("one")
	wants(t, err, ErrBusy)
	wants(t, s.Remove("one"), ErrBusy)
	_, err = s.Salvage("one")
	wants(t, err, ErrBusy)
	must(t, c.Close())
	must(t, c.Close())
	c = conversation(t, s, "one")
	must(t, s.Close())
	must(t, s.Close())
	_, err = s.Conversation("one")
	wants(t, err, ErrClosed)
	wants(t, c.SaveState(0, saying("")), ErrClosed)
}

func TestTheListingTellsWhatThereIsAndRecoverWhatWasOpen(t *testing.T) {
	m := newMemory()
	s := openMemory(t, m, Options{})
	answers := someRecords()
	for _, id := range []string{"done", "open", "unsynced", "empty"} {
		c := conversation(t, s, id)
		if id != "empty" {
			must(t, c.Append(answers...))
		}
		must(t, c.Sync())
		if id == "open" || id == "unsynced" {
			must(t, c.Append(answers[:3]...))
		}
		if id == "open" {
			must(t, c.Sync())
			must(t, c.SaveState(3, saying("state")))
		}
	}
	m = m.killed()
	m.put("stray.txt", nil)
	m.put("a.b.journal", nil)
	s = openMemory(t, m, Options{})
	list, err := s.List()
	must(t, err)
	found, err := s.Recover()
	must(t, err)
	if got := ids(list); got != "done empty open unsynced" {
		t.Errorf("listed %q", got)
	}
	if got := ids(found); got != "open unsynced" {
		t.Errorf("recovered %q", got)
	}
	if i := list[2]; i.StateBytes != stateHeader+5 || i.Open || i.Bytes != int64(len(m.names["open.journal"].data)) {
		t.Errorf("%+v", i)
	}
	c := conversation(t, s, "unsynced")
	if found, err = s.Recover(); err != nil || ids(found) != "open" {
		t.Errorf("recovered %q, %v", ids(found), err)
	}
	must(t, c.Append(End{"cancel"}))
	must(t, c.Close())
	if found, err = s.Recover(); err != nil || ids(found) != "open" {
		t.Errorf("recovered %q, %v", ids(found), err)
	}
}

func ids(list []Info) string {
	var names []string
	for _, i := range list {
		names = append(names, i.ID)
	}
	return strings.Join(names, " ")
}

func TestRemoveLeavesNothingOfAConversation(t *testing.T) {
	m := newMemory()
	s := openMemory(t, m, Options{})
	for _, id := range []string{"a", "aa"} {
		c := conversation(t, s, id)
		must(t, c.Append(Prompt{[]int32{1}}))
		must(t, c.SaveState(1, saying("state")))
		must(t, c.Close())
	}
	m.put("a.1.damaged", []byte("old"))
	must(t, s.Remove("a"))
	wants(t, s.Remove("a"), ErrNotFound)
	if got := m.String(); got != "[aa.journal aa.state]" {
		t.Fatalf("left: %s", got)
	}
	if s.states.used != stateHeader+5 {
		t.Errorf("account: %d", s.states.used)
	}
}

// Many goroutines append to and sync the same conversations.
func TestEverythingAppendedByManyIsThere(t *testing.T) {
	m := newMemory()
	s := openMemory(t, m, Options{})
	names := []string{"a", "b", "c"}
	var wait sync.WaitGroup
	for _, id := range names {
		c := conversation(t, s, id)
		for worker := range 4 {
			wait.Go(func() {
				for i := range 50 {
					if err := c.Append(Run{[]Drawn{{ID: int32(worker)}, {ID: int32(i)}}}); err != nil {
						t.Error(err)
					}
					if i%8 == 0 {
						if err := c.Sync(); err != nil {
							t.Error(err)
						}
					}
				}
			})
		}
		wait.Go(func() {
			for range 20 {
				if err := s.Sync(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	must(t, s.Close())
	s = openMemory(t, m.killed(), Options{})
	for _, id := range names {
		next := [4]int32{}
		for _, r := range records(t, conversation(t, s, id)) {
			tokens := r.(Run).Tokens
			if worker := tokens[0].ID; tokens[1].ID != next[worker] {
				t.Fatalf("worker %d: %d instead of %d", worker, tokens[1].ID, next[worker])
			}
			next[tokens[0].ID]++
		}
		if next != [4]int32{50, 50, 50, 50} {
			t.Fatalf("%v", next)
		}
	}
}

func TestThoseWhoSyncAtTheSameTimeWaitForTheDiskTogether(t *testing.T) {
	m := newMemory()
	c := conversation(t, openMemory(t, m, Options{}), "a")
	must(t, c.Append(someRecords()...))
	var wait sync.WaitGroup
	for range 20 {
		wait.Go(func() {
			if err := c.Sync(); err != nil {
				t.Error(err)
			}
		})
	}
	if wait.Wait(); m.syncs != 1 {
		t.Fatalf("%d syncs", m.syncs)
	}
}

func TestALongAnswerIsBroughtToTheDiskWithoutBeingAsked(t *testing.T) {
	m := newMemory()
	c := conversation(t, openMemory(t, m, Options{}), "a")
	for range 3 {
		must(t, c.Append(Prompt{make([]int32, tailBytes/4)}))
		if n := len(c.tail); n > tailBytes {
			t.Fatalf("%d bytes are held", n)
		}
	}
	if m.syncs != 3 {
		t.Fatalf("%d syncs", m.syncs)
	}
}

func TestAConversationHasABound(t *testing.T) {
	s := openMemory(t, newMemory(), Options{})
	c := conversation(t, s, "a")
	c.size = MaxJournal - 40 // as if it had grown
	wants(t, c.Append(Prompt{make([]int32, 10)}), ErrTooLarge)
}
