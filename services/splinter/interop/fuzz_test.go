package interop

import (
	"bytes"
	"testing"
)

// FuzzReadJSON: whatever was read is written and read again as the same.
func FuzzReadJSON(f *testing.F) {
	var out bytes.Buffer
	if err := WriteJSON(&out, sample); err != nil {
		f.Fatal(err)
	}
	f.Add(out.Bytes())
	f.Add([]byte(`{"format":"splinter-export-1","keys":[{"key":"a","base64":"AA==","labels":"0xff","ttl":"1s"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, err := ReadJSON(bytes.NewReader(data))
		if err != nil {
			return
		}
		var again bytes.Buffer
		if err := WriteJSON(&again, entries); err != nil {
			t.Fatal(err)
		}
		got, err := ReadJSON(&again)
		if err != nil || !sameEntries(got, entries) {
			t.Fatalf("%v: got %v, want %v", err, got, entries)
		}
	})
}

// FuzzReadV4: whatever was read lies inside of the file and can be written again.
// The seeds are small, so that mutations meet the slots.
func FuzzReadV4(f *testing.F) {
	for _, embeddings := range []bool{false, true} {
		entries := []Entry{{Key: "a", Value: []byte("value"), Version: 1, Labels: 5}, {Key: "n", Value: make([]byte, 8), Version: 2, Type: "int"}}
		if embeddings {
			entries = append(entries[:1], Entry{Key: "embedding/a", Value: bytes.Repeat([]byte{1}, v4Embedding), Type: embeddingType})
		}
		var out bytes.Buffer
		if _, err := WriteV4(&out, entries, V4Options{Slots: len(entries), ValueMax: 16, Embeddings: embeddings}); err != nil {
			f.Fatal(err)
		}
		f.Add(out.Bytes())
	}
	f.Add(realStore(f, realStores["128"]))
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, _, err := ReadV4(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		total, longest := 0, 1
		for _, e := range entries {
			total, longest = total+len(e.Value), max(longest, len(e.Value))
			if e.Key == "" || len(e.Key) >= v4KeySize+len(embeddingPrefix) {
				t.Fatalf("key %q", e.Key)
			}
		}
		if total > len(data) {
			t.Fatalf("%d bytes of values from a file of %d", total, len(data))
		}
		var out bytes.Buffer
		if _, err := WriteV4(&out, entries, V4Options{Slots: len(entries) + 1, ValueMax: longest, Embeddings: true}); err != nil {
			t.Fatal(err)
		}
		again, problems, err := ReadV4(bytes.NewReader(out.Bytes()), int64(out.Len()))
		if err != nil || len(problems) != 0 || len(again) > len(entries) {
			t.Fatalf("%v %v", err, problems)
		}
	})
}
