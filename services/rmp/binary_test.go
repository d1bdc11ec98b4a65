package rmp

import (
	"bytes"
	"errors"
	"testing"
	"time"
)

func TestAHeadAndItsBytesAreTheFrameThatEncodeWrites(t *testing.T) {
	for _, schema := range Schemas() {
		for _, size := range []int{0, 1, 31, 255, 256, 65535, 65536, 1 << 20} {
			payload := bytes.Repeat([]byte{7}, size)
			f, err := New(schema.ID, time.UnixMilli(5), [16]byte{3}, 9, payload)
			if err != nil {
				t.Fatal(err)
			}
			want, err := Encode(f)
			if err != nil {
				t.Fatal(err)
			}
			head, err := AppendBinaryHead(nil, f.Header, size)
			if err != nil || len(head) > MaxBinaryHead {
				t.Fatalf("%s: a head of %d bytes, %v", schema.Type, len(head), err)
			}
			if !bytes.Equal(append(head, payload...), want) {
				t.Fatalf("%s, %d bytes: another frame than Encode's", schema.Type, size)
			}
			got, err := Decode(want)
			if err != nil {
				t.Fatal(err)
			}
			if b, err := got.Binary(); err != nil || !bytes.Equal(b, payload) {
				t.Fatalf("%s: %d bytes came back, %v", schema.Type, len(b), err)
			}
		}
	}
}

func TestAHeadIsRefusedAsTheFrameWouldBe(t *testing.T) {
	good := Header{SchemaID: SchemaToken, CreatedAtMs: 5, TTLMs: 5}
	for want, change := range map[error]func(*Header) int{
		ErrInvalidTTL:    func(h *Header) int { h.TTLMs = 0; return 1 },
		ErrInvalidExpiry: func(h *Header) int { h.CreatedAtMs = ^uint64(0); return 1 },
		ErrUnknownSchema: func(h *Header) int { h.SchemaID = 4095; return 1 },
		ErrBodyTooLarge:  func(h *Header) int { return MaxBody },
	} {
		h := good
		size := change(&h)
		if out, err := AppendBinaryHead([]byte("x"), h, size); !errors.Is(err, want) || string(out) != "x" {
			t.Errorf("%q, %v; want %v", out, err, want)
		}
	}
}

func TestBinaryRefusesWhatIsNone(t *testing.T) {
	f, err := New(SchemaToken, time.UnixMilli(5), [16]byte{}, 1, Token{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Binary(); !errors.Is(err, ErrBodyDecode) {
		t.Fatalf("a map: %v", err)
	}
	f.Payload = []byte{0xc4, 3, 1}
	if _, err := f.Binary(); !errors.Is(err, ErrBodyDecode) {
		t.Fatalf("bytes that are missing: %v", err)
	}
}

func TestEveryErrorOfAReceiverHasItsReason(t *testing.T) {
	for err, want := range map[error]string{
		ErrExpired: DropExpired, ErrDuplicate: DropDuplicate, ErrForbidden: DropForbidden,
		ErrBackpressureTimeout: DropBackpressure, ErrBodyDecode: DropInvalid, ErrInvalidMagic: DropInvalid,
	} {
		if got := DropReason(err); got != want {
			t.Errorf("%v is counted as %s, want %s", err, got, want)
		}
	}
}
