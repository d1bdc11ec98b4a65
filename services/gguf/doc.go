// Package gguf reads and writes GGUF files, the container llama.cpp keeps
// models in: a header with metadata and tensor infos, then the tensors' data.
//
// # What a reader may rely on
//
// [Open] and [Read] read the header only, never the weights. They take any
// bytes: every count, length and offset is compared with the size of the file
// before memory is allocated for it, so the memory a header takes is bounded by a
// small multiple of the file's own size. A [File] that was returned without an error
// has every tensor whole, aligned and inside the file, and no two of them overlap.
//
// # What a writer may rely on
//
// [Writer] emits version 3, little-endian, keys and tensors in the order they
// were given: the same calls give the same bytes.
//
// The package knows nothing of what a model computes and must never load one:
// that is splinfer's duty, and libllama's. The format is described in ggml's
// docs/gguf.md.
package gguf

import "errors"

// Errors a caller can test with errors.Is.
var (
	// ErrNotGGUF: the file does not begin with the four bytes "GGUF".
	ErrNotGGUF = errors.New("not a GGUF file")
	// ErrTruncated: something the file announces lies beyond its end.
	ErrTruncated = errors.New("file is cut off")
	// ErrUnsupportedVersion: neither version 2 nor 3, or big-endian.
	ErrUnsupportedVersion = errors.New("unsupported GGUF version")
	// ErrMalformed: the bytes are there but contradict the format.
	ErrMalformed = errors.New("malformed GGUF file")
)

const (
	magic            = "GGUF"
	version          = 3
	defaultAlignment = 32
	maxDimensions    = 4
	maxTensorName    = 63 // ggml keeps names in 64 bytes with a closing zero
	alignmentKey     = "general.alignment"
)
