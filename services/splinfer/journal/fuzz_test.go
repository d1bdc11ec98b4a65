package journal

import (
	"bytes"
	"errors"
	"hash/crc32"
	"slices"
	"testing"
)

func crcOf(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// sign makes the checksums of what could be frames right, so that a fuzzer gets
// behind them.
func sign(data []byte) []byte {
	data = slices.Clone(data)
	copy(data, header())
	for at := int64(headerSize); at+frameFront+frameEnd <= int64(len(data)); {
		end := at + frameFront + int64(little.Uint32(data[at:]))
		if end+frameEnd > int64(len(data)) {
			break
		}
		little.PutUint32(data[end:], checksum(at, data[at:end]))
		at = end + frameEnd
	}
	return data
}

// FuzzJournal opens any bytes as a journal: it is refused and left as it is,
// or what is found are the first bytes of the file, and it goes on.
func FuzzJournal(f *testing.F) {
	frames := header()
	for _, r := range append(someRecords(), mark{Synced: headerSize, Finished: true}, Run{[]Drawn{{1, 2}}}) {
		frames, _ = appendFrame(frames, int64(len(frames)), r)
		f.Add(slices.Clone(frames), true)
	}
	bad := slices.Clone(frames)
	bad[40] ^= 1
	f.Add(bad, false)
	f.Add(bad[:len(bad)-30], false)
	f.Add([]byte{}, false)
	f.Add(make([]byte, 100), false)
	f.Fuzz(func(t *testing.T, data []byte, signed bool) {
		if signed {
			data = sign(data)
		}
		m, s, c, err := reopened(t, data)
		if err != nil {
			if !bytes.Equal(m.names["a.journal"].data, data) {
				t.Fatal("refused and changed")
			}
			if _, failed := s.Salvage("a"); errors.Is(err, ErrDamaged) && failed != nil {
				t.Fatal(failed)
			}
			if !errors.Is(err, ErrDamaged) {
				return
			}
			if c, err = s.Conversation("a"); err != nil {
				t.Fatal("salvaged, and: ", err)
			}
			data = append(header(), data[min(headerSize, len(data)):]...)
		}
		found := records(t, c)
		size := c.size
		if kept := m.names["a.journal"].data; size > headerSize && !bytes.HasPrefix(data, kept) {
			t.Fatal("what was kept is no prefix")
		}
		more := Prompt{[]int32{1}}
		must(t, c.Append(more))
		must(t, c.Close())
		if got := records(t, conversation(t, s, "a")); !equal(got, append(slices.Clone(found), more)) {
			t.Fatalf("found %s, then %s", kinds(found), kinds(got))
		}
	})
}

// FuzzRecord reads any payload: what is read is written as the same bytes.
func FuzzRecord(f *testing.F) {
	for _, r := range append(someRecords(), mark{Synced: 20}) {
		payload, _ := appendPayload(nil, r)
		f.Add(uint8(r.Kind()), payload)
	}
	f.Fuzz(func(t *testing.T, kind uint8, payload []byte) {
		r, err := decode(Kind(kind), payload)
		if err != nil {
			return
		}
		again, err := appendPayload(nil, r)
		if err != nil || !bytes.Equal(again, payload) || r.Kind() != Kind(kind) {
			t.Fatalf("%x became %x, %v", payload, again, err)
		}
	})
}

// FuzzState loads any bytes as a state, also with right checksums: it
// is returned only if it is of these tokens, and then whole.
func FuzzState(f *testing.F) {
	m := newMemory()
	s, _ := openDisk(m, Options{})
	c, _ := s.Conversation("a")
	_ = c.Append(Begin{Model: "m"}, Prompt{[]int32{1, 2, 3}})
	_ = c.SaveState(2, saying("some state"))
	f.Add(m.names["a.state"].data, false)
	f.Add(m.names["a.state"].data, true)
	f.Add([]byte("x"), true)
	f.Fuzz(func(t *testing.T, data []byte, signed bool) {
		data = slices.Clone(data)
		if signed && len(data) >= stateHeader {
			little.PutUint32(data[12:], crcOf(data[stateHeader:]))
			little.PutUint32(data[64:], crcOf(data[:64]))
		}
		m := newMemory()
		s := openMemory(t, m, Options{})
		c := conversation(t, s, "a")
		must(t, c.Append(Begin{Model: "m"}, Prompt{[]int32{1, 2, 3}}))
		must(t, c.Close())
		m.put("a.state", data)
		must(t, s.Close())
		c = conversation(t, openMemory(t, m, Options{}), "a")
		tokens, got, err := state(c)
		if err != nil {
			wants(t, err, ErrNoState)
			return
		}
		if tokens > 3 || got != string(data[stateHeader:]) {
			t.Fatalf("%d tokens, %q", tokens, got)
		}
	})
}
