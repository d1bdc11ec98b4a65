package gguf

import "fmt"

// ValueType is the type tag of a metadata value.
type ValueType uint32

// The value types of docs/gguf.md.
const (
	Uint8 ValueType = iota
	Int8
	Uint16
	Int16
	Uint32
	Int32
	Float32
	Bool
	String
	Array
	Uint64
	Int64
	Float64
)

// size is the number of bytes one value takes in the file; for strings and
// arrays the least it can take; 0 for an unknown type.
func (t ValueType) size() uint64 {
	switch t {
	case Uint8, Int8, Bool:
		return 1
	case Uint16, Int16:
		return 2
	case Uint32, Int32, Float32:
		return 4
	case Uint64, Int64, Float64, String:
		return 8
	case Array:
		return 12
	}
	return 0
}

// TensorType says how a tensor's elements are stored.
type TensorType uint32

// The tensor types this package can write; a reader knows all of
// [tensorLayouts].
const (
	F32  TensorType = 0
	F16  TensorType = 1
	Q8_0 TensorType = 8
)

// layout of a tensor type: a row is cut in blocks of elements, each of which
// takes a fixed number of bytes.
type layout struct {
	name            string
	elements, bytes uint64
}

// tensorLayouts holds the block sizes of ggml (ggml-common.h), by type number.
// Numbers that are missing were withdrawn from GGUF.
var tensorLayouts = map[TensorType]layout{
	F32: {"F32", 1, 4}, F16: {"F16", 1, 2}, 30: {"BF16", 1, 2}, 28: {"F64", 1, 8},
	24: {"I8", 1, 1}, 25: {"I16", 1, 2}, 26: {"I32", 1, 4}, 27: {"I64", 1, 8},
	2: {"Q4_0", 32, 18}, 3: {"Q4_1", 32, 20}, 6: {"Q5_0", 32, 22}, 7: {"Q5_1", 32, 24},
	Q8_0: {"Q8_0", 32, 34}, 9: {"Q8_1", 32, 36},
	10: {"Q2_K", 256, 84}, 11: {"Q3_K", 256, 110}, 12: {"Q4_K", 256, 144},
	13: {"Q5_K", 256, 176}, 14: {"Q6_K", 256, 210}, 15: {"Q8_K", 256, 292},
	16: {"IQ2_XXS", 256, 66}, 17: {"IQ2_XS", 256, 74}, 18: {"IQ3_XXS", 256, 98},
	19: {"IQ1_S", 256, 50}, 20: {"IQ4_NL", 32, 18}, 21: {"IQ3_S", 256, 110},
	22: {"IQ2_S", 256, 82}, 23: {"IQ4_XS", 256, 136}, 29: {"IQ1_M", 256, 56},
	34: {"TQ1_0", 256, 54}, 35: {"TQ2_0", 256, 66},
	39: {"MXFP4", 32, 17}, 40: {"NVFP4", 64, 36}, 41: {"Q1_0", 128, 18}, 42: {"Q2_0", 64, 18},
}

// String is ggml's name of the type, e.g. "Q8_0".
func (t TensorType) String() string {
	if l, ok := tensorLayouts[t]; ok {
		return l.name
	}
	return fmt.Sprintf("type %d", uint32(t))
}

// Bits is how many bits an element takes, rounded down; 0 of an unknown type.
func (t TensorType) Bits() uint64 {
	l, ok := tensorLayouts[t]
	if !ok {
		return 0
	}
	return 8 * l.bytes / l.elements
}

// KeyValue is one metadata entry. Value is one of Go's sized integers or floats,
// bool, string, or a slice of one of them ([]uint8 is an array, not a string).
type KeyValue struct {
	Key   string
	Value any
}

// Tensor describes where and how one tensor is stored.
type Tensor struct {
	Name   string
	Shape  []uint64 // elements along each dimension; the first is contiguous (a row's length)
	Type   TensorType
	Offset uint64 // bytes from the start of the file
	Size   uint64 // bytes
}
