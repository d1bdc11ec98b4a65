package interop

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// realStore is a file that libsplinter 1.2.0 wrote: 16 slots, values to 64 bytes.
func realStore(t testing.TB, name string) []byte {
	file, err := os.Open("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	zip, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(zip)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

var realStores = map[string]string{"128": "libsplinter-1.2.0-slots128.gz", "3200": "libsplinter-1.2.0-slots3200.gz"}

func TestFilesOfTheLibraryAreRead(t *testing.T) {
	counter := binary.LittleEndian.AppendUint64(nil, 42)
	for size, name := range realStores {
		data := realStore(t, name)
		entries, problems, err := ReadV4(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		want := []Entry{
			{Key: "blob", Value: []byte{0, 255, 128, 1, 2}, Version: 2, Type: "binary"},
			{Key: "config", Value: []byte(`{"a":1}`), Version: 2, Type: "json", Labels: 1<<63 | 5},
			{Key: "counter", Value: counter, Version: 3, Type: "int"},
		}
		if size == "3200" {
			vector := make([]byte, 0, v4Embedding)
			for i := range 768 {
				vector = binary.LittleEndian.AppendUint32(vector, math.Float32bits(float32(i)/768))
			}
			want = append(want, Entry{Key: "embedding/greeting", Value: vector, Version: 2, Type: "embedding"},
				Entry{Key: "greeting", Value: []byte("hello"), Version: 2})
		} else {
			want = append(want, Entry{Key: "greeting", Value: []byte("hello"), Version: 1})
		}
		if !sameEntries(entries, want) {
			t.Errorf("%s: got %v, want %v", name, entries, want)
		}
		if len(problems) != 1 || !strings.Contains(problems[0].Reason, "64 bytes or more was cut") {
			t.Errorf("%s: problems %v, want the key that was cut", name, problems)
		}
	}
}

func TestFilesThatWeWriteAreReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		entries := drawEntries(t, v4KeySize-1)
		options := V4Options{Embeddings: rapid.Bool().Draw(t, "embeddings")}
		if options.Embeddings && len(entries) > 0 {
			vector := make([]byte, v4Embedding)
			vector[7] = 1
			owner := entries[0]
			entries = append(entries, Entry{Key: embeddingPrefix + owner.Key, Value: vector, Version: owner.Version, Type: embeddingType})
		}
		var out bytes.Buffer
		if _, err := WriteV4(&out, entries, options); err != nil {
			t.Fatal(err)
		}
		got, problems, err := ReadV4(bytes.NewReader(out.Bytes()), int64(out.Len()))
		slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Key, b.Key) })
		if err != nil || len(problems) != 0 || !sameEntries(got, entries) {
			t.Fatalf("%v, %v: got %v, want %v", err, problems, got, entries)
		}
	})
}

func TestWhatTheFormatCannotCarryIsSaid(t *testing.T) {
	long := strings.Repeat("k", v4KeySize)
	problems, err := WriteV4(io.Discard, []Entry{
		{Key: long, Value: []byte("1")},
		{Key: "a\x00b", Value: []byte("1")},
		{Key: "large", Value: make([]byte, 65)},
		{Key: "typed", Value: []byte("1"), Type: "star-map"},
		{Key: "mortal", Value: []byte("1"), TTL: 1},
		{Key: "empty"},
	}, V4Options{ValueMax: 64})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"64 bytes", "0 byte", "65 bytes", "star-map", "lifetime", "does not list"} {
		if i >= len(problems) || !strings.Contains(problems[i].Reason, want) {
			t.Fatalf("problems %v, want %q as number %d", problems, want, i)
		}
	}
	if _, err := WriteV4(io.Discard, sample[:2], V4Options{Slots: 1}); err == nil {
		t.Error("two keys in one slot were taken")
	}
	if _, err := WriteV4(io.Discard, nil, V4Options{Slots: 1 << 20, ValueMax: 1 << 20}); err == nil {
		t.Error("a file whose offsets do not fit was taken")
	}
}

func TestDamagedFilesAreRefusedOrTold(t *testing.T) {
	data := realStore(t, realStores["128"])
	slot := slotOf(t, data, "greeting")
	put := func(at int, b ...byte) func([]byte) []byte {
		return func(d []byte) []byte { copy(d[at:], b); return d }
	}
	for name, c := range map[string]struct {
		damage  func([]byte) []byte
		refused bool
	}{
		"cut in the header":  {func(d []byte) []byte { return d[:100] }, true},
		"cut in the slots":   {func(d []byte) []byte { return d[:v4HeaderSize+200] }, true},
		"one byte too long":  {func(d []byte) []byte { return append(d, 0) }, true},
		"magic":              {put(0, 'X'), true},
		"version 3":          {put(4, 3), true},
		"no slots":           {put(8, 0, 0, 0, 0), true},
		"too many slots":     {put(8, 255, 255, 255, 255), true},
		"being written":      {put(slot+8, 3), false},
		"offset outside":     {put(slot+16, 255, 255, 255, 255), false},
		"length over limit":  {put(slot+20, 65), false},
		"key without an end": {put(slot+64, bytes.Repeat([]byte("k"), 64)...), false},
	} {
		d := c.damage(bytes.Clone(data))
		entries, problems, err := ReadV4(bytes.NewReader(d), int64(len(d)))
		if c.refused != errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
		if !c.refused && (len(problems) != 2 || len(entries) != 3) {
			t.Errorf("%s: %d entries and problems %v; the others were to be read and one more to be told", name, len(entries), problems)
		}
	}
}

func slotOf(t testing.TB, data []byte, key string) int {
	for i := range 16 {
		at := v4HeaderSize + i*v4SlotSize
		if strings.HasPrefix(string(data[at+64:at+v4SlotSize]), key+"\x00") {
			return at
		}
	}
	t.Fatalf("no %q in the file", key)
	return 0
}

// The library's weaknesses 1 and 2 leave two copies of a key; it reads the first
// from the key's place, so that one counts.
func TestOfTwoCopiesTheOneTheLibraryReadsCounts(t *testing.T) {
	var out bytes.Buffer
	if _, err := WriteV4(&out, []Entry{{Key: "a", Value: []byte("first"), Version: 1}}, V4Options{Slots: 4, ValueMax: 64}); err != nil {
		t.Fatal(err)
	}
	data := out.Bytes()
	home := int(fnv1a("a") % 4)
	next := (home + 1) % 4
	from, to := v4HeaderSize+home*v4SlotSize, v4HeaderSize+next*v4SlotSize
	copy(data[to:to+v4SlotSize], data[from:from+v4SlotSize])
	order.PutUint32(data[to+16:], uint32(next*64))
	copy(data[v4HeaderSize+4*v4SlotSize+next*64:], "other")
	entries, problems, err := ReadV4(bytes.NewReader(data), int64(len(data)))
	if err != nil || len(entries) != 1 || string(entries[0].Value) != "first" || len(problems) != 1 {
		t.Fatalf("%v %v %v", entries, problems, err)
	}
}

// writerAt changes a slot while it is read, as the library in another process would.
type writerAt struct {
	*bytes.Reader
	data    []byte
	slot    int
	changes int
}

func (w *writerAt) ReadAt(p []byte, at int64) (int, error) {
	if at > int64(w.slot) && w.changes > 0 { // a value is read
		w.changes--
		w.data[w.slot+8] += 2
	}
	return w.Reader.ReadAt(p, at)
}

func TestAKeyThatChangesMeanwhileIsReadAgain(t *testing.T) {
	for changes, whole := range map[int]bool{3: true, 1000: false} {
		data := realStore(t, realStores["128"])
		w := &writerAt{bytes.NewReader(data), data, slotOf(t, data, "greeting"), changes}
		entries, _, err := ReadV4(w, int64(len(data)))
		has := slices.ContainsFunc(entries, func(e Entry) bool { return e.Key == "greeting" })
		if err != nil || has != whole {
			t.Errorf("%d changes: %v, key there: %v", changes, err, has)
		}
	}
}
