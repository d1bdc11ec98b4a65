package interop

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var sample = []Entry{
	{Key: "note", Value: []byte("a text"), Version: 3},
	{Key: "blob", Value: []byte{0, 255}, Version: 9, Type: "image", Labels: 1<<63 | 5, TTL: time.Hour, HalfLife: 90 * time.Second},
	{Key: "key\xff", Value: []byte{}, Version: 1},
}

func TestJSONIsAsDocumented(t *testing.T) {
	var out bytes.Buffer
	if err := WriteJSON(&out, sample); err != nil {
		t.Fatal(err)
	}
	want := `{"format": "splinter-export-1", "keys": [
{"key":"note","text":"a text","version":3},
{"key":"blob","base64":"AP8=","type":"image","labels":"0x8000000000000005","version":9,"ttl":"1h0m0s","half_life":"1m30s"},
{"key_base64":"a2V5/w==","text":"","version":1}
]}
`
	if out.String() != want {
		t.Fatalf("got\n%s\nwant\n%s", out.String(), want)
	}
}

func TestJSONReadsBackWhatItWrote(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		entries := drawEntries(t, 300)
		var out bytes.Buffer
		if err := WriteJSON(&out, entries); err != nil {
			t.Fatal(err)
		}
		got, err := ReadJSON(&out)
		if err != nil || !sameEntries(got, entries) {
			t.Fatalf("%v: got %v, want %v", err, got, entries)
		}
	})
}

// drawEntries draws entries with keys of their own.
func drawEntries(t *rapid.T, keyMax int) []Entry {
	return rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) Entry {
		return Entry{
			Key:     string(rapid.SliceOfN(rapid.ByteRange(1, 255), 1, keyMax).Draw(t, "key")),
			Value:   rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "value"),
			Version: rapid.Uint64Range(1, 1<<40).Draw(t, "version"),
			Type:    rapid.SampledFrom([]string{"", "json", "text", "binary"}).Draw(t, "type"),
			Labels:  rapid.Uint64().Draw(t, "labels"),
		}
	}), 0, 20, func(e Entry) string { return e.Key }).Draw(t, "entries")
}

func sameEntries(a, b []Entry) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		x, y := a[i], b[i]
		if !bytes.Equal(x.Value, y.Value) {
			return false
		}
		x.Value, y.Value = nil, nil
		if !reflect.DeepEqual(x, y) {
			return false
		}
	}
	return true
}

func TestBadJSONIsNamed(t *testing.T) {
	entry := func(fields string) string { return `{"format":"splinter-export-1","keys":[` + fields + `]}` }
	for input, want := range map[string]string{
		``:                                    "expected {",
		`[]`:                                  "expected {, found [",
		`{"format":"splinter-export-9"`:       "expected splinter-export-1",
		`{"format":"splinter-export-1",`:      "expected keys",
		entry(`{"key":"a","text":"1"}`) + "x": "something follows",
		entry(`{"key":"a","text":"1"},{"key":"a","text":"1"}`): `entry 2: key "a" is there twice`,
		entry(`{"text":"1"}`):                                         "entry 1: expected exactly one of key and key_base64",
		entry(`{"key":"","text":"1"}`):                                "the key is empty",
		entry(`{"key":"a"}`):                                          "exactly one of text and base64",
		entry(`{"key":"a","text":"1","base64":""}`):                   "exactly one of text and base64",
		entry(`{"key":"a","base64":"?"}`):                             `key "a": base64: `,
		entry(`{"key":"a","text":"1","labels":"5"}`):                  `labels "5"`,
		entry(`{"key":"a","text":"1","ttl":"-1s"}`):                   `ttl "-1s"`,
		entry(`{"key":"a","text":"1","half_life":"soon"}`):            `half_life "soon"`,
		entry(`{"key":"a","text":"1","colour":"red"}`):                `unknown field "colour"`,
		`{"format":"splinter-export-1","keys":[{"key":"a","text":"1"`: "entry 1",
	} {
		if _, err := ReadJSON(strings.NewReader(input)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q in it", input, err, want)
		}
	}
}
