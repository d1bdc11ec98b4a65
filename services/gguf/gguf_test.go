package gguf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"runa/services/hint"
)

// sample returns a small file with a value of every type and tensors of every kind.
func sample(t testing.TB) ([]byte, []KeyValue) {
	entries := []KeyValue{
		{"general.architecture", "llama"},
		{"general.name", "Sample"},
		{"llama.context_length", uint32(256)},
		{"u8", uint8(1)},
		{"i8", int8(-1)},
		{"u16", uint16(2)},
		{"i16", int16(-2)},
		{"i32", int32(-3)},
		{"f32", float32(0.5)},
		{"bool", true},
		{"u64", uint64(1 << 40)},
		{"i64", int64(-1 << 40)},
		{"f64", 0.25},
		{"texts", []string{"a", "", "\u2581b"}},
		{"floats", []float32{1, -2}},
		{"ints", []int32{3, -4}},
		{"bools", []bool{true, false}},
		{"bytes", []uint8{5, 6}},
		{"i8s", []int8{-7}},
		{"u16s", []uint16{8}},
		{"i16s", []int16{-9}},
		{"u32s", []uint32{10}},
		{"u64s", []uint64{11}},
		{"i64s", []int64{-12}},
		{"f64s", []float64{13.5}},
		{"none", []string{}},
	}
	var w Writer
	for _, e := range entries {
		if err := w.Set(e.Key, e.Value); err != nil {
			t.Fatal(err)
		}
	}
	values := make([]float32, 128)
	for i := range values {
		values[i] = float32(i) - 64
	}
	for _, c := range []struct {
		name  string
		kind  TensorType
		shape []uint64
	}{{"vector", F32, []uint64{3}}, {"half", F16, []uint64{5, 2}}, {"matrix", Q8_0, []uint64{64, 2}}} {
		n := c.shape[0]
		if len(c.shape) == 2 {
			n *= c.shape[1]
		}
		if err := w.Add(c.name, c.shape, c.kind, values[:n]); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	n, err := w.WriteTo(&out)
	if err != nil || n != int64(out.Len()) {
		t.Fatalf("WriteTo: %d of %d bytes, %v", n, out.Len(), err)
	}
	return out.Bytes(), entries
}

func read(data []byte) (*File, error) { return Read(bytes.NewReader(data), int64(len(data))) }

func TestWhatWasWrittenIsRead(t *testing.T) {
	data, entries := sample(t)
	f, err := read(data)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(f.Metadata, entries) {
		t.Errorf("metadata\n%v\nwant\n%v", f.Metadata, entries)
	}
	if f.Version != 3 || f.Architecture() != "llama" || f.Name() != "Sample" || f.ContextLength() != 256 || f.License() != "" {
		t.Errorf("version %d, architecture %q, name %q, context %d", f.Version, f.Architecture(), f.Name(), f.ContextLength())
	}
	start := f.DataOffset
	want := []Tensor{
		{"vector", []uint64{3}, F32, start, 12},
		{"half", []uint64{5, 2}, F16, start + 32, 20},
		{"matrix", []uint64{64, 2}, Q8_0, start + 64, 136},
	}
	if !reflect.DeepEqual(f.Tensors, want) {
		t.Errorf("tensors\n%v\nwant\n%v", f.Tensors, want)
	}
	if f.TensorBytes() != 168 {
		t.Errorf("TensorBytes %d, want 168", f.TensorBytes())
	}
	if again, _ := sample(t); !bytes.Equal(again, data) {
		t.Error("the same calls gave other bytes")
	}
}

func TestVersion2IsRead(t *testing.T) {
	data, _ := sample(t)
	data[4] = 2
	if f, err := read(data); err != nil || f.Version != 2 {
		t.Errorf("%v, %v", f, err)
	}
}

func TestEveryCutIsNoticed(t *testing.T) {
	data, _ := sample(t)
	f, err := read(data)
	if err != nil {
		t.Fatal(err)
	}
	end := int(f.Tensors[2].Offset + f.Tensors[2].Size) // padding behind it may be missing
	for n := 4; n < end; n++ {
		if _, err := read(data[:n]); !errors.Is(err, ErrTruncated) {
			t.Fatalf("cut at %d of %d: %v, want ErrTruncated", n, len(data), err)
		}
	}
	_, err = read(data[:end-1])
	if err == nil || !strings.Contains(err.Error(), `"matrix" ends at`) {
		t.Errorf("error %v does not name the tensor", err)
	}
}

// patch returns data with the bytes behind the first occurrence of mark replaced.
func patch(t *testing.T, data []byte, mark string, skip int, with ...byte) []byte {
	at := bytes.Index(data, []byte(mark))
	if at < 0 {
		t.Fatalf("sample has no %q", mark)
	}
	out := bytes.Clone(data)
	copy(out[at+len(mark)+skip:], with)
	return out
}

func u64(n uint64) []byte { return binary.LittleEndian.AppendUint64(nil, n) }

func TestHostileHeadersAreRefused(t *testing.T) {
	data, _ := sample(t)
	huge := u64(1 << 62)
	const afterVector = 4 // number of dimensions
	for _, c := range []struct {
		name string
		data []byte
		want error
		says string
	}{
		{"empty", nil, ErrNotGGUF, `""`},
		{"other file", []byte("PK\x03\x04 and more"), ErrNotGGUF, `"PK\x03\x04"`},
		{"version 1", patch(t, data, magic, 0, 1), ErrUnsupportedVersion, "1"},
		{"big-endian", patch(t, data, magic, 0, 0, 0, 0, 3), ErrUnsupportedVersion, "big-endian"},
		{"tensor count", patch(t, data, magic, 4, huge...), ErrTruncated, "tensors"},
		{"key count", patch(t, data, magic, 12, huge...), ErrTruncated, "keys"},
		{"key length", patch(t, data, magic, 20, huge...), ErrTruncated, "metadata key 1"},
		{"value type", patch(t, data, "u16", 0, 13), ErrMalformed, "type 13"},
		{"bool", patch(t, data, "bool", 4, 2), ErrMalformed, "bool"},
		{"array count", patch(t, data, "texts", 8, huge...), ErrTruncated, "texts"},
		{"array of arrays", patch(t, data, "texts", 4, 9), ErrMalformed, "arrays"},
		{"no dimensions", patch(t, data, "vector", 0, 0), ErrMalformed, "dimensions"},
		{"five dimensions", patch(t, data, "vector", 0, 5), ErrMalformed, "dimensions"},
		{"empty dimension", patch(t, data, "vector", afterVector, u64(0)...), ErrMalformed, "shape"},
		{"huge dimension", patch(t, data, "vector", afterVector, u64(1<<63)...), ErrMalformed, "shape"},
		{"product overflows", patch(t, data, "half", afterVector, append(u64(1<<33), u64(1<<33)...)...), ErrMalformed, "shape"},
		{"withdrawn type", patch(t, data, "vector", afterVector+8, 31), ErrMalformed, "type 31"},
		{"half a block", patch(t, data, "matrix", afterVector, 65), ErrMalformed, "blocks of 32"},
		{"offset not aligned", patch(t, data, "half", afterVector+20, 33), ErrMalformed, "aligned"},
		{"offset behind the end", patch(t, data, "vector", afterVector+12, u64(1<<40)...), ErrTruncated, "vector"},
		{"offset overflows", patch(t, data, "vector", afterVector+12, u64(1<<64-32)...), ErrMalformed, "offset"},
		{"overlap", patch(t, data, "half", afterVector+20, 0), ErrMalformed, "overlap"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := read(c.data)
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want %v with %q", err, c.want, c.says)
			}
		})
	}
}

func TestNamesMustBeUnique(t *testing.T) {
	data, _ := sample(t)
	for from, to := range map[string]string{"vector": "matrix", "u16": "i16"} {
		if _, err := read(bytes.Replace(data, []byte(from), []byte(to), 1)); !errors.Is(err, ErrMalformed) {
			t.Errorf("two of %q: %v, want ErrMalformed", to, err)
		}
	}
}

func TestAlignmentIsObeyedOnlyIfItIsOne(t *testing.T) {
	header := func(value any) []byte {
		out := append([]byte(magic), 3, 0, 0, 0)
		out = append(append(out, u64(0)...), u64(1)...)
		out = appendString(out, alignmentKey)
		out, err := appendValue(out, value)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if f, err := read(header(uint32(64))); err != nil || f.Alignment != 64 {
		t.Errorf("64: %v, %v", f, err)
	}
	for _, bad := range []any{uint32(0), uint32(24), "32", uint64(32)} {
		if _, err := read(header(bad)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%v (%T): %v, want ErrMalformed", bad, bad, err)
		}
	}
}

func TestOpenSaysWhichFileAndWhatToDo(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "bad.gguf")
	if err := os.WriteFile(path, []byte("GGUF\x03"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := Open(path)
	if !errors.Is(err, ErrTruncated) || !strings.Contains(err.Error(), path) || !strings.Contains(hint.Of(err), "copy") {
		t.Errorf("error %v, hint %q", err, hint.Of(err))
	}
	if _, err := Open(dir); !errors.Is(err, ErrNotGGUF) {
		t.Errorf("a folder: %v, want ErrNotGGUF", err)
	}
	if _, err := Open(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v, want os.ErrNotExist", err)
	}
}

func TestWriterRefusesWhatNoReaderWouldTake(t *testing.T) {
	var w Writer
	if err := w.Set("a", uint32(1)); err != nil {
		t.Fatal(err)
	}
	if err := w.Add("a", []uint64{1}, F32, []float32{1}); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 64)
	for name, err := range map[string]error{
		"key twice":      w.Set("a", uint32(2)),
		"empty key":      w.Set("", uint32(2)),
		"alignment":      w.Set(alignmentKey, uint32(64)),
		"type of value":  w.Set("b", 1),
		"tensor twice":   w.Add("a", []uint64{1}, F32, []float32{1}),
		"long name":      w.Add(long, []uint64{1}, F32, []float32{1}),
		"no shape":       w.Add("c", nil, F32, nil),
		"wrong shape":    w.Add("d", []uint64{2}, F32, []float32{1}),
		"half a block":   w.Add("e", []uint64{16}, Q8_0, make([]float32, 16)),
		"read-only type": w.Add("f", []uint64{256}, 16, make([]float32, 256)),
	} {
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// FuzzRead: no input makes the reader panic, and what it accepts keeps doc.go's promises.
func FuzzRead(f *testing.F) {
	data, _ := sample(f)
	f.Add(data)
	f.Add(data[:100])
	f.Add([]byte("GGUF\x03\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := read(data)
		if err != nil {
			known := false
			for _, sentinel := range []error{ErrNotGGUF, ErrTruncated, ErrUnsupportedVersion, ErrMalformed} {
				known = known || errors.Is(err, sentinel)
			}
			if !known {
				t.Errorf("error %v is none of the sentinels", err)
			}
			return
		}
		for i, a := range file.Tensors {
			if a.Offset%file.Alignment != 0 && file.DataOffset%file.Alignment == 0 || a.Offset+a.Size > uint64(len(data)) {
				t.Errorf("tensor %v lies outside", a)
			}
			for _, b := range file.Tensors[:i] {
				if a.Offset < b.Offset+b.Size && b.Offset < a.Offset+a.Size {
					t.Errorf("tensors %v and %v overlap", a, b)
				}
			}
		}
	})
}
