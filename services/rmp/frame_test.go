package rmp

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

func golden(t testing.TB) []byte {
	t.Helper()
	text, err := os.ReadFile("testdata/rmp_golden_error_report.hex")
	if err != nil {
		t.Fatal(err)
	}
	b, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestTheGoldenFrameDecodesAndEncodesToTheSameBytes(t *testing.T) {
	want := golden(t)
	f, err := Decode(want)
	if err != nil {
		t.Fatal(err)
	}
	trace := [16]byte{0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff, 0}
	if h := (Header{SchemaID: 10, CreatedAtMs: 1731465600123, TTLMs: 60000, TraceID: trace, MsgID: 42}); f.Header != h {
		t.Fatalf("header %+v, want %+v", f.Header, h)
	}
	var report Report
	if err := f.Unmarshal(&report); err != nil || report != (Report{Code: "tool.unavailable", Message: "mailer offline"}) {
		t.Fatalf("report %+v, %v", report, err)
	}
	meta, err := f.ReadMeta()
	if err != nil || !meta.HasID || meta.OpeningID != [16]byte{14: 0x04, 15: 0xd2} {
		t.Fatalf("meta %+v, %v", meta, err)
	}
	got, err := Encode(f)
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("encoded to %x, %v, want %x", got, err, want)
	}
	made, err := New(SchemaErrorReport, time.UnixMilli(1731465600123), trace, 42, report)
	if err != nil {
		t.Fatal(err)
	}
	made.TTLMs, made.Meta = 60000, f.Meta
	if got, err := Encode(made); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("made anew it encodes to %x, %v", got, err)
	}
}

// body makes a frame with the golden header around another body.
func withBody(frame, body []byte) []byte {
	out := append(bytes.Clone(frame[:PrefixSize+HeaderSize]), body...)
	binary.BigEndian.PutUint32(out, uint32(HeaderSize+len(body)))
	binary.BigEndian.PutUint32(out[PrefixSize+16:], uint32(len(body)))
	return out
}

// faults are ways to break the golden frame, in the order in which they are
// found: a frame with two of them reports the earlier one.
var faults = []struct {
	name  string
	err   error
	apply func(b []byte)
}{
	{"magic", ErrInvalidMagic, func(b []byte) { b[4] = 'X' }},
	{"version", ErrUnsupportedVersion, func(b []byte) { b[9] = 1 }},
	{"header length", ErrUnsupportedVersion, func(b []byte) { b[11] = 65 }},
	{"flags", ErrInvalidHeaderFlags, func(b []byte) { b[15] = 1 }},
	{"reserved2", ErrInvalidHeaderFlags, func(b []byte) { b[19] = 1 }},
	{"reserved4", ErrInvalidHeaderFlags, func(b []byte) { b[67] = 1 }},
	{"body length", ErrLengthMismatch, func(b []byte) { b[20+3]++ }},
	{"ttl", ErrInvalidTTL, func(b []byte) { clear(b[32:40]) }},
	{"expiry", ErrInvalidExpiry, func(b []byte) {
		for i := 24; i < 40; i++ {
			b[i] = 0xff
		}
	}},
	{"schema", ErrUnknownSchema, func(b []byte) { b[17] = 99 }},
	{"body", ErrBodyDecode, func(b []byte) { b[68] = 0x93 }},
	{"type", ErrBodyTypeMismatch, func(b []byte) { b[89] = '2' }},
}

func TestEveryFaultHasItsErrorAndTheEarlierOneWins(t *testing.T) {
	for i, first := range faults {
		b := golden(t)
		first.apply(b)
		if _, err := Decode(b); !errors.Is(err, first.err) {
			t.Errorf("%s: %v, want %v", first.name, err, first.err)
		}
		for _, second := range faults[i+1:] {
			if second.name == "expiry" && first.name == "ttl" {
				continue // they write the same field
			}
			b := golden(t)
			second.apply(b)
			first.apply(b)
			if _, err := Decode(b); !errors.Is(err, first.err) {
				t.Errorf("%s and %s: %v, want %v", first.name, second.name, err, first.err)
			}
		}
	}
}

func TestLengthsAreJudgedBeforeTheRest(t *testing.T) {
	b := golden(t)
	for n := range b {
		if _, err := Decode(b[:n]); !errors.Is(err, ErrIncomplete) {
			t.Fatalf("%d bytes: %v, want ErrIncomplete", n, err)
		}
	}
	if _, err := Decode([]byte{0xff, 0xff, 0xff, 0xff}); !errors.Is(err, ErrBodyTooLarge) {
		t.Fatalf("an oversize prefix alone: %v", err)
	}
	if _, err := Decode(binary.BigEndian.AppendUint32(nil, HeaderSize+MaxBody)); !errors.Is(err, ErrIncomplete) {
		t.Fatalf("the largest prefix: %v", err)
	}
	if _, err := Decode(append([]byte{0, 0, 0, 63}, make([]byte, 63)...)); !errors.Is(err, ErrTruncatedHeader) {
		t.Fatalf("63 bytes of header: %v", err)
	}
	if _, err := Decode(append(b, 0)); !errors.Is(err, ErrLengthMismatch) {
		t.Fatalf("a byte after the frame: %v", err)
	}
}

func TestTheReceiversOwnChecksComeBetweenExpiryAndSchema(t *testing.T) {
	b := golden(t)
	b[17] = 99 // an unknown schema, found after all of these
	created := time.UnixMilli(1731465600123)
	yes := func(Header) bool { return true }
	no := func(Header) bool { return false }
	all := Checks{Allow: no, Now: created.Add(time.Minute), Duplicate: yes}
	for _, step := range []struct {
		err  error
		mend func()
	}{
		{ErrForbidden, func() { all.Allow = yes }},
		{ErrExpired, func() { all.Now = created.Add(time.Minute - time.Millisecond) }},
		{ErrDuplicate, func() { all.Duplicate = no }},
		{ErrUnknownSchema, func() {}},
	} {
		if _, err := all.Decode(b); !errors.Is(err, step.err) {
			t.Fatalf("got %v, want %v", err, step.err)
		}
		step.mend()
	}
}

func TestExpiryDoesNotWrap(t *testing.T) {
	late := time.UnixMilli(math.MaxInt64)
	for _, c := range []struct {
		created, ttl uint64
		now          time.Time
		err          error
		expired      bool
	}{
		{1000, 10, time.UnixMilli(1009), nil, false},
		{1000, 10, time.UnixMilli(1010), nil, true},
		{math.MaxUint64 - 1, 1, late, nil, false},
		{math.MaxUint64, 1, late, ErrInvalidExpiry, false},
		{math.MaxUint64, math.MaxUint64, late, ErrInvalidExpiry, false},
		{1, 1, time.UnixMilli(-5), nil, false},
	} {
		h := Header{CreatedAtMs: c.created, TTLMs: c.ttl}
		if err := h.checkLife(); !errors.Is(err, c.err) {
			t.Errorf("%+v: %v", c, err)
		}
		if got := h.Expired(c.now); got != c.expired {
			t.Errorf("%+v: expired %v", c, got)
		}
	}
}

func pack(t *testing.T, pairs ...any) []byte {
	t.Helper()
	out := []byte{0x80 | byte(len(pairs)/2)}
	for _, v := range pairs {
		raw, err := Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, raw...)
	}
	return out
}

// envelope is the body of an error report up to its payload.
func envelope(t *testing.T) []byte {
	whole := pack(t, "type", "error.report.v1", "payload", 1)
	return whole[:len(whole)-1]
}

func TestABodyIsTheMapOfTypePayloadAndMeta(t *testing.T) {
	const name = "error.report.v1"
	deep := bytes.Repeat([]byte{0x91}, 1<<20)
	for what, c := range map[string]struct {
		body []byte
		err  error
	}{
		"no meta":            {pack(t, "type", name, "payload", 1), nil},
		"unknown meta keys":  {pack(t, "type", name, "payload", nil, "meta", map[string]any{"new": []int{1}}), nil},
		"id of 16 bytes":     {pack(t, "type", name, "payload", nil, "meta", map[string]any{"opening_id": make([]byte, 16)}), nil},
		"long forms":         {append(append([]byte("\xdf\x00\x00\x00\x02\xd9\x04type"), envelope(t)[6:]...), 7), nil},
		"order":              {pack(t, "payload", 1, "type", name), ErrBodyDecode},
		"meta before":        {pack(t, "type", name, "meta", map[string]any{}, "payload", 1), ErrBodyDecode},
		"another key":        {pack(t, "type", name, "payload", 1, "extra", 1), ErrBodyDecode},
		"four keys":          {pack(t, "type", name, "payload", 1, "meta", map[string]any{}, "x", 1), ErrBodyDecode},
		"type no string":     {pack(t, "type", 5, "payload", 1), ErrBodyDecode},
		"meta no map":        {pack(t, "type", name, "payload", 1, "meta", 5), ErrBodyDecode},
		"id of 15 bytes":     {pack(t, "type", name, "payload", 1, "meta", map[string]any{"opening_id": make([]byte, 15)}), ErrBodyDecode},
		"priority over 255":  {pack(t, "type", name, "payload", 1, "meta", map[string]any{"priority": 256}), ErrBodyDecode},
		"bytes after":        {append(pack(t, "type", name, "payload", 1), 0), ErrBodyDecode},
		"empty":              {nil, ErrBodyDecode},
		"nested too deep":    {append(envelope(t), deep...), ErrBodyDecode},
		"array of 4 billion": {append(envelope(t), 0xdd, 0xff, 0xff, 0xff, 0xff), ErrBodyDecode},
		"string of 4 GiB":    {append(envelope(t), 0xdb, 0xff, 0xff, 0xff, 0xff), ErrBodyDecode},
		"another type":       {pack(t, "type", "error.report.v2", "payload", 1), ErrBodyTypeMismatch},
	} {
		if _, err := Decode(withBody(golden(t), c.body)); !errors.Is(err, c.err) {
			t.Errorf("%s: %v, want %v", what, err, c.err)
		}
	}
}

func TestAHostileBodyMakesNothingGrow(t *testing.T) {
	// The largest body there may be: an array of nils, one byte each.
	n := MaxBody - len(envelope(t)) - 5
	payload := binary.BigEndian.AppendUint32([]byte{0xdd}, uint32(n))
	payload = append(payload, bytes.Repeat([]byte{0xc0}, n)...)
	b := withBody(golden(t), append(envelope(t), payload...))
	per := testing.AllocsPerRun(5, func() {
		if _, err := Decode(b); err != nil {
			t.Fatal(err)
		}
	})
	if per > 4 {
		t.Fatalf("decoding took %v allocations", per)
	}
	f, err := Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	var values []any
	if err := f.Unmarshal(&values); !errors.Is(err, ErrBodyDecode) || values != nil {
		t.Fatalf("%d values were made, %v", len(values), err)
	}
}

func TestEncodeRefusesWhatDecodeWould(t *testing.T) {
	f, err := Decode(golden(t))
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		spoil func(*Frame)
		err   error
	}{
		"ttl":     {func(f *Frame) { f.TTLMs = 0 }, ErrInvalidTTL},
		"expiry":  {func(f *Frame) { f.CreatedAtMs = math.MaxUint64 }, ErrInvalidExpiry},
		"schema":  {func(f *Frame) { f.SchemaID = 9999 }, ErrUnknownSchema},
		"type":    {func(f *Frame) { f.Type = "x" }, ErrBodyTypeMismatch},
		"payload": {func(f *Frame) { f.Payload = nil }, ErrBodyDecode},
		"meta":    {func(f *Frame) { f.Meta = msgpack.RawMessage{0xc0} }, ErrBodyDecode},
		"size": {func(f *Frame) {
			f.Payload, _ = Marshal(make([]byte, MaxBody))
		}, ErrBodyTooLarge},
	} {
		bad := f
		c.spoil(&bad)
		if _, err := Encode(bad); !errors.Is(err, c.err) {
			t.Errorf("%s: %v, want %v", what, err, c.err)
		}
	}
}

func TestTheRegistryHasEveryNumberAndTypeOnce(t *testing.T) {
	families := map[string]bool{"observation": true, "intent": true, "artifact": true, "toolresult": true, "critique": true, "statedelta": true, "error": true}
	ids, types, last := map[uint16]bool{}, map[string]bool{}, uint16(0)
	for _, s := range Schemas() {
		parts := strings.Split(s.Type, ".")
		if ids[s.ID] || types[s.Type] || s.ID <= last || !families[parts[0]] || parts[len(parts)-1] != "v1" || len(parts) < 3 || s.Doc == "" {
			t.Errorf("row %+v", s)
		}
		ids[s.ID], types[s.Type], last = true, true, s.ID
	}
}
