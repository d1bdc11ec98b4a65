package journal

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// place is how many records there are before an offset, and whether a Sync had
// acknowledged them.
type place struct {
	end     int64
	records int
}

// written is the file of a journal, with where each record ends, and up to where
// the last mark in it says that it was on the disk.
func written(t *testing.T) (data []byte, places []place, synced int64, all []Record) {
	t.Helper()
	m := newMemory()
	s := openMemory(t, m, Options{})
	c := conversation(t, s, "a")
	for i, r := range append(someRecords(), someRecords()[:4]...) {
		must(t, c.Append(r))
		all = append(all, r)
		places = append(places, place{c.size, len(all)})
		if i == 3 || i == 8 {
			must(t, c.Sync())
			synced = c.synced
		}
	}
	return slices.Clone(m.names["a.journal"].data), places, synced, all
}

// before says how many records end at or before an offset.
func before(places []place, offset int64) (n int) {
	for _, p := range places {
		if p.end <= offset {
			n = p.records
		}
	}
	return n
}

func reopened(t *testing.T, data []byte) (*memory, *Store, *Conversation, error) {
	t.Helper()
	m := newMemory()
	m.put("a.journal", data)
	s := openMemory(t, m, Options{})
	c, err := s.Conversation("a")
	return m, s, c, err
}

func TestAJournalCutAtAnyByteIsAPrefixAndGoesOn(t *testing.T) {
	data, places, _, all := written(t)
	for end := range int64(len(data) + 1) {
		_, s, c, err := reopened(t, data[:end])
		if err != nil {
			t.Fatalf("cut at byte %d: %v", end, err)
		}
		n := before(places, end)
		if got := records(t, c); !equal(got, all[:n]) {
			t.Fatalf("cut at byte %d: %s", end, kinds(got))
		}
		more := Prompt{[]int32{1}}
		must(t, c.Append(more))
		must(t, c.Close())
		if got := records(t, conversation(t, s, "a")); !equal(got, append(slices.Clone(all[:n]), more)) {
			t.Fatalf("cut at byte %d, then appended: %s", end, kinds(got))
		}
	}
}

func TestATornTailOfAnyContentIsCutOff(t *testing.T) {
	data, places, synced, all := written(t)
	random := rand.New(rand.NewPCG(1, 2))
	for from := synced; from < int64(len(data)); from++ {
		for name, fill := range map[string]func() byte{"zeros": func() byte { return 0 }, "ones": func() byte { return 255 }, "noise": func() byte { return byte(random.IntN(256)) }} {
			torn := slices.Clone(data)
			for i := from; i < int64(len(torn)); i++ {
				torn[i] = fill()
			}
			_, _, c, err := reopened(t, torn)
			if err != nil {
				t.Fatalf("%s from byte %d: %v", name, from, err)
			}
			if got := records(t, c); !equal(got, all[:before(places, from)]) {
				t.Fatalf("%s from byte %d: %s", name, from, kinds(got))
			}
		}
	}
}

func TestDamageBeforeWhatWasSyncedIsToldAndNothingIsCut(t *testing.T) {
	data, places, synced, all := written(t)
	for at := range int64(len(data)) {
		for _, bit := range []byte{1, 0x80} {
			bad := slices.Clone(data)
			bad[at] ^= bit
			m, s, c, err := reopened(t, bad)
			if at >= synced {
				if err != nil || !equal(records(t, c), all[:len(records(t, c))]) {
					t.Fatalf("byte %d: %v", at, err)
				}
				continue
			}
			if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrNewer) {
				t.Fatalf("byte %d: %v", at, err)
			}
			if !bytes.Equal(m.names["a.journal"].data, bad) {
				t.Fatalf("byte %d: the file was changed", at)
			}
			_, err = s.Salvage("a")
			must(t, err)
			got := records(t, conversation(t, s, "a"))
			if n := before(places, at); len(got) < n || !equal(got, all[:len(got)]) {
				t.Fatalf("byte %d: salvaged %s", at, kinds(got))
			}
			if at < headerSize && !equal(got, all) {
				t.Fatalf("byte %d of the header: salvaged %s", at, kinds(got))
			}
			if !bytes.Equal(m.names["a.1.damaged"].data, bad) {
				t.Fatalf("byte %d: the damaged file was not kept", at)
			}
		}
	}
}

// damagedJournal is a journal with damage in what was synced, and the records before it.
func damagedJournal(t *testing.T) (data []byte, sound []Record) {
	t.Helper()
	data, places, _, all := written(t)
	data[places[1].end+6] ^= 1
	return data, all[:2]
}

func TestSalvageLeavesASoundJournalAloneAndKeepsEachDamagedOne(t *testing.T) {
	damaged, _ := damagedJournal(t)
	m, s, _, err := reopened(t, damaged)
	wants(t, err, ErrDamaged)
	lost, err := s.Salvage("a")
	must(t, err)
	kept := int64(len(m.names["a.journal"].data))
	if lost != int64(len(damaged))-kept {
		t.Errorf("lost %d of %d, kept %d", lost, len(damaged), kept)
	}
	lost, err = s.Salvage("a")
	if must(t, err); lost != 0 || m.names["a.2.damaged"] != nil {
		t.Errorf("a sound journal was salvaged")
	}
	for range maxDamaged - 1 {
		m.put("a.journal", damaged)
		_, err := s.Salvage("a")
		must(t, err)
	}
	m.put("a.journal", damaged)
	_, err = s.Salvage("a")
	wants(t, err, ErrTooLarge)
	_, err = s.Salvage("b")
	wants(t, err, ErrNotFound)
}

// frameOf is a frame with a right checksum and any content.
func frameOf(offset int64, kind Kind, payload []byte) []byte {
	b := little.AppendUint32(nil, uint32(len(payload)))
	b = append(append(b, byte(kind)), payload...)
	return little.AppendUint32(b, checksum(offset, b))
}

func TestWhatNoWriterOfOursWritesIsNeverCutOff(t *testing.T) {
	newer := little.AppendUint32([]byte(magic), version+1)
	newer = append(little.AppendUint32(newer, crcOf(newer)), "what a later version wrote"...)
	bad := func(kind Kind, payload ...byte) []byte {
		return append(header(), frameOf(headerSize, kind, payload)...)
	}
	for name, test := range map[string]struct {
		data []byte
		want error
	}{
		"a text":               {[]byte(strings.Repeat("hello ", 9)), ErrDamaged},
		"a short text":         {[]byte("hi"), ErrDamaged},
		"a later version":      {newer, ErrNewer},
		"kind of later":        {bad(9), ErrNewer},
		"kind of later, own":   {bad(200), ErrNewer},
		"prompt of 3 bytes":    {bad(KindPrompt, 1, 2, 3), ErrDamaged},
		"negative token":       {bad(KindPrompt, 0, 0, 0, 0x80), ErrDamaged},
		"negative drawn":       {bad(KindRun, 0, 0, 0, 0x80, 0, 0, 0, 0), ErrDamaged},
		"another NaN":          {bad(KindRun, 0, 0, 0, 0, 1, 0, 0xc0, 0x7f), ErrDamaged},
		"mask of nothing":      {bad(KindMask, 0, 0, 0, 0, 0, 0, 0, 0), ErrDamaged},
		"mask of 4 bytes":      {bad(KindMask, 0, 0, 0, 0), ErrDamaged},
		"keeps what isn't":     {bad(KindKeep, 1, 0, 0, 0), ErrDamaged},
		"begin too short":      {bad(KindBegin, 0, 0), ErrDamaged},
		"begin without object": {bad(KindBegin, make([]byte, 12)...), ErrDamaged},
		"mark of later place":  {bad(kindMark, 17, 0, 0, 0, 0, 0, 0, 0, 0), ErrDamaged},
		"mark of bad flags":    {bad(kindMark, 0, 0, 0, 0, 0, 0, 0, 0, 2), ErrDamaged},
	} {
		t.Run(name, func(t *testing.T) {
			m, s, _, err := reopened(t, test.data)
			wants(t, err, test.want)
			if !bytes.Equal(m.names["a.journal"].data, test.data) {
				t.Error("the file was changed")
			}
			if found, err := s.Recover(); err != nil || len(found) != 0 {
				t.Errorf("recovered %v, %v", found, err)
			}
			if _, err := s.Salvage("a"); (err == nil) != (test.want != ErrNewer) {
				t.Errorf("salvage: %v", err)
			}
		})
	}
}

func TestARecordInAnotherPlaceIsNone(t *testing.T) {
	frame, err := appendFrame(nil, headerSize, Prompt{[]int32{1}})
	must(t, err)
	_, _, c, err := reopened(t, slices.Concat(header(), frame, frame))
	must(t, err)
	if got := records(t, c); len(got) != 1 {
		t.Fatalf("%s", kinds(got))
	}
}

func TestAHugeSparseFileIsRefusedAtOnce(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.journal")
	must(t, os.WriteFile(path, header(), 0o600))
	must(t, os.Truncate(path, 1<<40))
	s, err := Open(dir, Options{})
	must(t, err)
	defer s.Close()
	_, err = s.Conversation("a")
	wants(t, err, ErrDamaged)
}
