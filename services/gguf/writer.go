package gguf

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

// Writer collects metadata and tensors and writes them as one file. The zero
// value is ready for use. It is not safe for concurrent use.
type Writer struct {
	metadata []KeyValue
	tensors  []Tensor // Offset from the start of the data section
	data     [][]byte
	end      uint64 // of the data section so far, aligned
	names    map[string]bool
}

// Set adds a metadata entry; value must be of a type named at [KeyValue].
// Keys keep the order in which they were set.
func (w *Writer) Set(key string, value any) error {
	if key == "" || w.used("key "+key) {
		return fmt.Errorf("gguf metadata key %q: empty or set twice", key)
	}
	if key == alignmentKey {
		return fmt.Errorf("gguf metadata key %q: the writer always aligns to %d bytes", key, defaultAlignment)
	}
	if _, err := appendValue(nil, value); err != nil {
		return fmt.Errorf("gguf metadata key %q: %w", key, err)
	}
	w.metadata = append(w.metadata, KeyValue{key, value})
	return nil
}

// Add adds a tensor whose values are quantised to t at once. shape[0] is the
// contiguous dimension; the product of shape must be len(values).
func (w *Writer) Add(name string, shape []uint64, t TensorType, values []float32) error {
	if name == "" || len(name) > maxTensorName || w.used("tensor "+name) {
		return fmt.Errorf("gguf tensor %q: name is empty, longer than %d bytes or used twice", name, maxTensorName)
	}
	if len(shape) == 0 || len(shape) > maxDimensions {
		return fmt.Errorf("gguf tensor %q: %d dimensions, want 1 to %d", name, len(shape), maxDimensions)
	}
	count := uint64(1)
	for _, n := range shape {
		count *= n
	}
	if count != uint64(len(values)) || count == 0 {
		return fmt.Errorf("gguf tensor %q: shape %v does not fit %d values", name, shape, len(values))
	}
	data, err := quantise(t, values, shape[0])
	if err != nil {
		return fmt.Errorf("gguf tensor %q: %w", name, err)
	}
	w.tensors = append(w.tensors, Tensor{Name: name, Shape: append([]uint64(nil), shape...), Type: t, Offset: w.end, Size: uint64(len(data))})
	w.data = append(w.data, data)
	w.end = alignUp(w.end+uint64(len(data)), defaultAlignment)
	return nil
}

// WriteTo writes the whole file and returns the number of bytes written.
func (w *Writer) WriteTo(out io.Writer) (int64, error) {
	header := w.header()
	buffered := bufio.NewWriterSize(out, 1<<20)
	written := int64(0)
	for _, part := range append([][]byte{header}, w.data...) {
		n, err := buffered.Write(part)
		written += int64(n)
		if err == nil {
			n, err = buffered.Write(make([]byte, alignUp(uint64(written), defaultAlignment)-uint64(written)))
			written += int64(n)
		}
		if err != nil {
			return written, fmt.Errorf("write gguf: %w", err)
		}
	}
	if err := buffered.Flush(); err != nil {
		return written, fmt.Errorf("write gguf: %w", err)
	}
	return written, nil
}

func (w *Writer) header() []byte {
	le := binary.LittleEndian
	out := le.AppendUint32([]byte(magic), version)
	out = le.AppendUint64(out, uint64(len(w.tensors)))
	out = le.AppendUint64(out, uint64(len(w.metadata)))
	for _, entry := range w.metadata {
		out = appendString(out, entry.Key)
		out, _ = appendValue(out, entry.Value) // Set has tried it
	}
	for _, t := range w.tensors {
		out = appendString(out, t.Name)
		out = le.AppendUint32(out, uint32(len(t.Shape)))
		for _, n := range t.Shape {
			out = le.AppendUint64(out, n)
		}
		out = le.AppendUint32(out, uint32(t.Type))
		out = le.AppendUint64(out, t.Offset)
	}
	return out
}

// used tells whether name was given before, and remembers it.
func (w *Writer) used(name string) bool {
	if w.names == nil {
		w.names = map[string]bool{}
	}
	before := w.names[name]
	w.names[name] = true
	return before
}

func alignUp(n, alignment uint64) uint64 {
	return (n + alignment - 1) / alignment * alignment
}

func appendString(out []byte, s string) []byte {
	return append(binary.LittleEndian.AppendUint64(out, uint64(len(s))), s...)
}

// appendValue appends the type tag and the value.
func appendValue(out []byte, value any) ([]byte, error) {
	le := binary.LittleEndian
	tag := func(t ValueType) []byte { return le.AppendUint32(out, uint32(t)) }
	switch v := value.(type) {
	case uint8:
		return append(tag(Uint8), v), nil
	case int8:
		return append(tag(Int8), byte(v)), nil
	case uint16:
		return le.AppendUint16(tag(Uint16), v), nil
	case int16:
		return le.AppendUint16(tag(Int16), uint16(v)), nil
	case uint32:
		return le.AppendUint32(tag(Uint32), v), nil
	case int32:
		return le.AppendUint32(tag(Int32), uint32(v)), nil
	case float32:
		return le.AppendUint32(tag(Float32), math.Float32bits(v)), nil
	case bool:
		return append(tag(Bool), map[bool]byte{true: 1}[v]), nil
	case string:
		return appendString(tag(String), v), nil
	case uint64:
		return le.AppendUint64(tag(Uint64), v), nil
	case int64:
		return le.AppendUint64(tag(Int64), uint64(v)), nil
	case float64:
		return le.AppendUint64(tag(Float64), math.Float64bits(v)), nil
	}
	return appendArray(tag(Array), value)
}

// appendArray appends the element type, the count and the elements.
func appendArray(out []byte, value any) ([]byte, error) {
	le := binary.LittleEndian
	start := func(t ValueType, n int) {
		out = le.AppendUint64(le.AppendUint32(out, uint32(t)), uint64(n))
	}
	if v, ok := value.([]string); ok {
		start(String, len(v))
		for _, s := range v {
			out = appendString(out, s)
		}
		return out, nil
	}
	t, n := ValueType(0), 0
	switch v := value.(type) {
	case []uint8:
		t, n = Uint8, len(v)
	case []int8:
		t, n = Int8, len(v)
	case []uint16:
		t, n = Uint16, len(v)
	case []int16:
		t, n = Int16, len(v)
	case []uint32:
		t, n = Uint32, len(v)
	case []int32:
		t, n = Int32, len(v)
	case []float32:
		t, n = Float32, len(v)
	case []bool:
		t, n = Bool, len(v)
	case []uint64:
		t, n = Uint64, len(v)
	case []int64:
		t, n = Int64, len(v)
	case []float64:
		t, n = Float64, len(v)
	default:
		return nil, fmt.Errorf("a value of Go type %T has no GGUF type", value)
	}
	start(t, n)
	return binary.Append(out, le, value)
}
