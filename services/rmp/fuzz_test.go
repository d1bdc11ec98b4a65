package rmp

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// FuzzDecode: whatever comes, Decode answers; what it takes encodes, and what
// that gives is the canonical form: it decodes to the same and encodes to itself.
func FuzzDecode(f *testing.F) {
	f.Add(golden(f))
	for _, fault := range faults {
		b := golden(f)
		fault.apply(b)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		frame, err := Decode(b)
		if !bytes.Equal(b, before) {
			t.Fatal("decoding changed its input")
		}
		if err != nil {
			return
		}
		var any any
		if err := frame.Unmarshal(&any); err != nil && !errors.Is(err, ErrBodyDecode) {
			t.Fatalf("unmarshal: %v", err)
		}
		if raw, err := frame.Binary(); err == nil && len(raw) > len(frame.Payload) {
			t.Fatal("a binary payload is longer than its message")
		}
		if _, err := frame.ReadMeta(); err != nil {
			t.Fatalf("meta that was checked: %v", err)
		}
		checked, err := (Checks{Now: time.UnixMilli(1), Allow: func(Header) bool { return true }, Duplicate: func(Header) bool { return false }}).Decode(b)
		if err == nil && !reflect.DeepEqual(checked, frame) || err != nil && !errors.Is(err, ErrExpired) {
			t.Fatalf("with a receiver's checks: %+v, %v", checked, err)
		}
		canonical, err := Encode(frame)
		if err != nil {
			t.Fatalf("what decoded does not encode: %v", err)
		}
		again, err := Decode(canonical)
		if err != nil || !reflect.DeepEqual(again, frame) {
			t.Fatalf("%v: %+v came back as %+v", err, frame, again)
		}
		// The envelope has one shortest form and the rest is kept: equal length is equal bytes.
		if len(canonical) > len(b) || len(canonical) == len(b) && !bytes.Equal(canonical, b) {
			t.Fatalf("%x encodes to %x", b, canonical)
		}
	})
}

// FuzzReader: a stream of any bytes ends, and every error is of the taxonomy or the stream's.
func FuzzReader(f *testing.F) {
	f.Add(bytes.Repeat(golden(f), 2))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := NewReader(bytes.NewReader(b))
		for range len(b) + 1 {
			_, err := r.ReadFrame()
			if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, ErrBodyTooLarge) {
				return
			}
		}
		t.Fatal("the stream does not end")
	})
}

func TestEncodeThenDecodeIsTheSameFrame(t *testing.T) {
	rows := Schemas()
	rapid.Check(t, func(t *rapid.T) {
		row := rapid.SampledFrom(rows).Draw(t, "schema")
		created := rapid.Uint64().Draw(t, "created")
		f := Frame{
			Header: Header{
				SchemaID: row.ID, CreatedAtMs: created, TTLMs: rapid.Uint64Range(1, max(1, ^uint64(0)-created)).Draw(t, "ttl"),
				MsgID: rapid.Uint64().Draw(t, "msg"),
			},
			Type: row.Type,
		}
		if created == ^uint64(0) {
			return // no life is left for a ttl
		}
		copy(f.TraceID[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "trace"))
		payload := rapid.MapOf(rapid.String(), rapid.SliceOf(rapid.Int64())).Draw(t, "payload")
		var err error
		if f.Payload, err = Marshal(payload); err != nil {
			t.Fatal(err)
		}
		if rapid.Bool().Draw(t, "with meta") {
			meta := map[string]any{"opening_id": rapid.Uint64().Draw(t, "id"), "priority": rapid.Byte().Draw(t, "priority")}
			if f.Meta, err = Marshal(meta); err != nil {
				t.Fatal(err)
			}
		}
		b, err := Encode(f)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decode(b)
		if err != nil || !reflect.DeepEqual(got, f) {
			t.Fatalf("%v: got %+v, want %+v", err, got, f)
		}
		if again, err := Encode(got); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("encodes again to %x, %v", again, err)
		}
	})
}
