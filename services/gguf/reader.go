package gguf

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// maxHeader bounds metadata and tensor infos together. The largest vocabularies
// take some ten MiB.
const maxHeader = 256 << 20 // bytes

// Least sizes in the file, in bytes, by which an announced count is judged.
const (
	minKeyValue = 8 + 1 + 4 + 1         // key of one byte, type, value
	minTensor   = 8 + 1 + 4 + 8 + 4 + 8 // name of one byte, dimensions, one length, type, offset
)

// Read reads and checks the header of a file of size bytes. It reads forward
// from the start, and nothing of the tensors' data.
func Read(in io.ReaderAt, size int64) (*File, error) {
	r := &reader{in: bufio.NewReaderSize(io.NewSectionReader(in, 0, size), 64<<10), size: uint64(max(size, 0))}
	f := &File{Size: size, Alignment: defaultAlignment}
	tensors, entries, err := r.start(f)
	if err != nil {
		return nil, err
	}
	if err := r.metadata(f, entries); err != nil {
		return nil, err
	}
	if err := r.tensors(f, tensors); err != nil {
		return nil, err
	}
	return f, f.place(r.at)
}

// reader takes the header apart byte by byte and knows where it is.
type reader struct {
	in   *bufio.Reader
	at   uint64 // bytes read
	size uint64 // bytes there are
	word [8]byte
}

// start reads magic, version and the two counts.
func (r *reader) start(f *File) (tensors, entries uint64, err error) {
	first := make([]byte, min(4, r.size))
	if err := r.fill(first); err != nil {
		return 0, 0, err
	}
	if string(first) != magic {
		return 0, 0, fmt.Errorf("%w: first bytes are %q, want %q", ErrNotGGUF, first, magic)
	}
	number, err := r.number(4)
	if err != nil {
		return 0, 0, fmt.Errorf("version: %w", err)
	}
	f.Version = uint32(number)
	switch {
	case f.Version == 2 || f.Version == version:
	case f.Version&0xffff == 0:
		return 0, 0, fmt.Errorf("%w: big-endian", ErrUnsupportedVersion)
	default:
		return 0, 0, fmt.Errorf("%w: %d, want 2 or 3", ErrUnsupportedVersion, f.Version)
	}
	if tensors, err = r.count(minTensor); err != nil {
		return 0, 0, fmt.Errorf("number of tensors: %w", err)
	}
	if entries, err = r.count(minKeyValue); err != nil {
		return 0, 0, fmt.Errorf("number of metadata keys: %w", err)
	}
	return tensors, entries, nil
}

func (r *reader) metadata(f *File, entries uint64) error {
	seen := map[string]bool{}
	for i := range entries {
		key, err := r.text()
		if err != nil {
			return fmt.Errorf("metadata key %d of %d: %w", i+1, entries, err)
		}
		if key == "" || seen[key] {
			return fmt.Errorf("%w: metadata key %d, %s, is empty or there twice", ErrMalformed, i+1, quote(key))
		}
		seen[key] = true
		t, err := r.valueType()
		if err == nil {
			var value any
			value, err = r.value(t)
			f.Metadata = append(f.Metadata, KeyValue{key, value})
		}
		if err != nil {
			return fmt.Errorf("metadata key %s: %w", quote(key), err)
		}
	}
	value, ok := f.Get(alignmentKey)
	if !ok {
		return nil
	}
	alignment, isUint32 := value.(uint32)
	if !isUint32 || alignment == 0 || alignment&(alignment-1) != 0 {
		return fmt.Errorf("%w: %s is %v, want a uint32 power of two", ErrMalformed, alignmentKey, value)
	}
	f.Alignment = uint64(alignment)
	return nil
}

func (r *reader) valueType() (ValueType, error) {
	number, err := r.number(4)
	t := ValueType(number)
	if err == nil && t.size() == 0 {
		err = fmt.Errorf("%w: value type %d is unknown", ErrMalformed, number)
	}
	return t, err
}

// value reads one value of type t.
func (r *reader) value(t ValueType) (any, error) {
	switch t {
	case String:
		return r.text()
	case Array:
		return r.array()
	}
	n, err := r.number(int(t.size()))
	if err != nil {
		return nil, err
	}
	switch t {
	case Uint8:
		return uint8(n), nil
	case Int8:
		return int8(n), nil
	case Uint16:
		return uint16(n), nil
	case Int16:
		return int16(n), nil
	case Uint32:
		return uint32(n), nil
	case Int32:
		return int32(n), nil
	case Float32:
		return math.Float32frombits(uint32(n)), nil
	case Int64:
		return int64(n), nil
	case Float64:
		return math.Float64frombits(n), nil
	case Bool:
		if n > 1 {
			return nil, fmt.Errorf("%w: a bool is %d", ErrMalformed, n)
		}
		return n == 1, nil
	}
	return n, nil
}

// array reads element type, count and elements. Arrays of arrays are
// refused, as llama.cpp does.
func (r *reader) array() (any, error) {
	t, err := r.valueType()
	if err != nil {
		return nil, err
	}
	if t == Array {
		return nil, fmt.Errorf("%w: an array of arrays", ErrMalformed)
	}
	n, err := r.count(t.size())
	if err != nil {
		return nil, fmt.Errorf("array: %w", err)
	}
	switch t {
	case Uint8:
		return elements[uint8](r, t, n)
	case Int8:
		return elements[int8](r, t, n)
	case Uint16:
		return elements[uint16](r, t, n)
	case Int16:
		return elements[int16](r, t, n)
	case Uint32:
		return elements[uint32](r, t, n)
	case Int32:
		return elements[int32](r, t, n)
	case Float32:
		return elements[float32](r, t, n)
	case Bool:
		return elements[bool](r, t, n)
	case String:
		return elements[string](r, t, n)
	case Uint64:
		return elements[uint64](r, t, n)
	case Int64:
		return elements[int64](r, t, n)
	}
	return elements[float64](r, t, n)
}

func elements[T any](r *reader, t ValueType, n uint64) ([]T, error) {
	out := make([]T, 0, n) // n was compared with the file's size
	for i := range n {
		v, err := r.value(t)
		if err != nil {
			return nil, fmt.Errorf("element %d of %d: %w", i+1, n, err)
		}
		out = append(out, v.(T))
	}
	return out, nil
}

// count reads a number of things that take at least each bytes in the file.
func (r *reader) count(each uint64) (uint64, error) {
	n, err := r.number(8)
	if err != nil {
		return 0, err
	}
	if n > (r.size-r.at)/each {
		return 0, fmt.Errorf("%w: %d announced, too many for the %d bytes that are left", ErrTruncated, n, r.size-r.at)
	}
	if n > maxHeader/each {
		return 0, fmt.Errorf("%w: %d announced, a header takes at most %d bytes", ErrMalformed, n, maxHeader)
	}
	return n, nil
}

func (r *reader) text() (string, error) {
	n, err := r.count(1)
	if err != nil {
		return "", fmt.Errorf("length of a string: %w", err)
	}
	out := make([]byte, n)
	err = r.fill(out)
	return string(out), err
}

// number reads a little-endian integer of width bytes.
func (r *reader) number(width int) (uint64, error) {
	clear(r.word[:])
	err := r.fill(r.word[:width])
	return binary.LittleEndian.Uint64(r.word[:]), err
}

func (r *reader) fill(out []byte) error {
	if uint64(len(out)) > r.size-r.at {
		return fmt.Errorf("%w: byte %d is needed, the file has %d", ErrTruncated, r.at+uint64(len(out)), r.size)
	}
	if r.at+uint64(len(out)) > maxHeader {
		return fmt.Errorf("%w: header takes more than %d bytes", ErrMalformed, maxHeader)
	}
	n, err := io.ReadFull(r.in, out)
	r.at += uint64(n)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it shrank to %d bytes while it was read", ErrTruncated, r.at)
	}
	return err
}

// quote shows bytes of a file in an error, at most 80 of them.
func quote(s string) string {
	if len(s) > 80 {
		return fmt.Sprintf("%q...", s[:80])
	}
	return fmt.Sprintf("%q", s)
}
