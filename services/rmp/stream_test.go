package rmp

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
	"time"
)

func TestAReaderFindsTheFramesHoweverTheBytesArrive(t *testing.T) {
	one := golden(t)
	stream := bytes.Repeat(one, 3)
	for name, r := range map[string]io.Reader{
		"whole": bytes.NewReader(stream), "by one": iotest.OneByteReader(bytes.NewReader(stream)),
		"by half": iotest.HalfReader(bytes.NewReader(stream)), "data with EOF": iotest.DataErrReader(bytes.NewReader(stream)),
	} {
		reader := NewReader(r)
		for i := range 3 {
			f, err := reader.ReadFrame()
			if err != nil {
				t.Fatalf("%s, frame %d: %v", name, i, err)
			}
			if again, _ := Encode(f); !bytes.Equal(again, one) {
				t.Fatalf("%s, frame %d came as %x", name, i, again)
			}
		}
		if _, err := reader.ReadFrame(); err != io.EOF {
			t.Fatalf("%s, at the end: %v, want io.EOF", name, err)
		}
	}
}

func TestAnUnfinishedFrameIsAStateUntilTheStreamEnds(t *testing.T) {
	one := golden(t)
	for n := 1; n < len(one); n++ {
		r := NewReader(io.MultiReader(bytes.NewReader(one[:n]), iotest.TimeoutReader(iotest.OneByteReader(bytes.NewReader(one[n:])))))
		f, err := r.ReadFrame()
		for errors.Is(err, iotest.ErrTimeout) {
			f, err = r.ReadFrame()
		}
		if err != nil || f.MsgID != 42 {
			t.Fatalf("after %d bytes and a pause: %v", n, err)
		}
		if _, err := NewReader(bytes.NewReader(one[:n])).ReadFrame(); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("after %d bytes and the end: %v, want io.ErrUnexpectedEOF", n, err)
		}
	}
}

func TestAReaderGoesOnAfterABadFrameAndStopsAtAnOversizeOne(t *testing.T) {
	bad := golden(t)
	bad[4] = 'X'
	r := NewReader(bytes.NewReader(append(append(bad, golden(t)...), 0xff, 0, 0, 0)))
	if _, err := r.ReadFrame(); !errors.Is(err, ErrInvalidMagic) {
		t.Fatal(err)
	}
	if f, err := r.ReadFrame(); err != nil || f.MsgID != 42 {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := r.ReadFrame(); !errors.Is(err, ErrBodyTooLarge) {
			t.Fatal(err)
		}
	}
}

// claim is a stream that promises 8 MiB and sends a few bytes.
func TestAReaderTakesMemoryOnlyAsBytesArrive(t *testing.T) {
	stream := append([]byte{0, 0x80, 0, 0}, make([]byte, 1000)...)
	r := NewReader(bytes.NewReader(stream))
	if _, err := r.ReadFrame(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal(err)
	}
	if cap(r.part) > readChunk {
		t.Fatalf("%d bytes were taken for %d", cap(r.part), len(stream))
	}
}

func TestInferenceMessagesSurviveTheFrame(t *testing.T) {
	in := Generate{Model: "m", Messages: []Message{{Role: "user", Content: "grüß dich"}}, Parameters: map[string]any{"temp": 0.5, "top-k": int8(40), "grammar": "root ::= x"}}
	f, err := New(SchemaGenerate, time.UnixMilli(5), [16]byte{}, 1, in)
	if err != nil {
		t.Fatal(err)
	}
	var wire bytes.Buffer
	if err := WriteFrame(&wire, f); err != nil {
		t.Fatal(err)
	}
	got, err := NewReader(&wire).ReadFrame()
	if err != nil {
		t.Fatal(err)
	}
	var out Generate
	if err := got.Unmarshal(&out); err != nil {
		t.Fatal(err)
	}
	if out.Model != in.Model || len(out.Messages) != 1 || out.Messages[0] != in.Messages[0] || out.Parameters["temp"] != 0.5 || out.Parameters["top-k"] != int8(40) {
		t.Fatalf("got %+v, want %+v", out, in)
	}
	if got.TTLMs != 30000 || got.CreatedAtMs != 5 || got.Type != "intent.infer.generate.v1" {
		t.Fatalf("frame %+v", got)
	}
}
