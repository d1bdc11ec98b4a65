package gguf

import (
	"errors"
	"fmt"
	"os"

	"runa/services/hint"
)

// File is the header of a GGUF file that was read and checked.
type File struct {
	Version    uint32
	Alignment  uint64 // of tensors' offsets, in bytes
	Metadata   []KeyValue
	Tensors    []Tensor // in the order of the file
	DataOffset uint64   // where tensor data begins, in bytes from the file's start
	Size       int64    // of the whole file in bytes
}

// Open reads and checks the header of the file at path. Its errors name the path
// and wrap the sentinels of this package or os's.
func Open(path string) (*File, error) {
	in, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open model: %w", err)
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return nil, fmt.Errorf("open model: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("open model %s: %w: not a regular file", path, ErrNotGGUF)
	}
	f, err := Read(in, info.Size())
	if err != nil {
		return nil, hint.New(fmt.Errorf("open model %s: %w", path, err), "%s", advice(err))
	}
	return f, nil
}

func advice(err error) string {
	switch {
	case errors.Is(err, ErrNotGGUF):
		return "models are GGUF files, as llama.cpp's; convert this one first or choose another"
	case errors.Is(err, ErrTruncated):
		return "the copy stopped early or the disk was full: copy the model again"
	case errors.Is(err, ErrUnsupportedVersion):
		return "convert the model with a llama.cpp that writes GGUF version 3, little-endian"
	}
	return "the file is damaged or was written by a faulty tool: copy or convert the model again"
}

// Get returns the value of a metadata key.
func (f *File) Get(key string) (value any, ok bool) {
	for _, entry := range f.Metadata {
		if entry.Key == key {
			return entry.Value, true
		}
	}
	return nil, false
}

// Text returns the string under key, "" if there is none.
func (f *File) Text(key string) string {
	value, _ := f.Get(key)
	text, _ := value.(string)
	return text
}

// Uint returns the whole number under key, whatever its width; false if there is
// none or it is negative.
func (f *File) Uint(key string) (uint64, bool) {
	value, _ := f.Get(key)
	switch v := value.(type) {
	case uint8:
		return uint64(v), true
	case uint16:
		return uint64(v), true
	case uint32:
		return uint64(v), true
	case uint64:
		return v, true
	case int8:
		return uint64(v), v >= 0
	case int16:
		return uint64(v), v >= 0
	case int32:
		return uint64(v), v >= 0
	case int64:
		return uint64(v), v >= 0
	}
	return 0, false
}

// Architecture is llama.cpp's name of the kind of model, e.g. "llama" or "rwkv7".
func (f *File) Architecture() string { return f.Text("general.architecture") }

// Name is the model's full name, for people; often empty.
func (f *File) Name() string { return f.Text("general.name") }

// License is the licence as the file states it, often as SPDX; may be empty.
func (f *File) License() string { return f.Text("general.license") }

// ContextLength is the number of tokens the model was trained to look back on, 0
// if the file doesn't say.
func (f *File) ContextLength() uint64 {
	n, _ := f.Uint(f.Architecture() + ".context_length")
	return n
}

// TensorBytes is the sum of all tensors' sizes: about the memory the weights take.
func (f *File) TensorBytes() (sum uint64) {
	for _, t := range f.Tensors {
		sum += t.Size
	}
	return sum
}
