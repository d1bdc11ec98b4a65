package gguf

import (
	"encoding/binary"
	"fmt"
	"math"
)

// blockQ8 is the number of weights that share one scale in Q8_0.
const blockQ8 = 32

// quantise stores values as t. A row (rowLength values) must be a whole number
// of t's blocks.
func quantise(t TensorType, values []float32, rowLength uint64) ([]byte, error) {
	switch t {
	case F32:
		out := make([]byte, 0, 4*len(values))
		for _, v := range values {
			out = binary.LittleEndian.AppendUint32(out, math.Float32bits(v))
		}
		return out, nil
	case F16:
		out := make([]byte, 0, 2*len(values))
		for _, v := range values {
			out = binary.LittleEndian.AppendUint16(out, float16(v))
		}
		return out, nil
	case Q8_0:
		if rowLength%blockQ8 != 0 {
			return nil, fmt.Errorf("row of %d values is not a whole number of Q8_0 blocks of %d", rowLength, blockQ8)
		}
		return quantiseQ8(values), nil
	}
	return nil, fmt.Errorf("%v cannot be written, only F32, F16 and Q8_0", t)
}

// quantiseQ8 stores blocks of 32 values as a half-precision scale (the largest
// magnitude over 127) and 32 signed bytes.
func quantiseQ8(values []float32) []byte {
	out := make([]byte, 0, len(values)/blockQ8*34)
	for ; len(values) >= blockQ8; values = values[blockQ8:] {
		block := values[:blockQ8]
		var largest float32
		for _, v := range block {
			largest = max(largest, float32(math.Abs(float64(v))))
		}
		scale := largest / 127
		var inverse float32
		if scale != 0 {
			inverse = 1 / scale
		}
		out = binary.LittleEndian.AppendUint16(out, float16(scale))
		for _, v := range block {
			out = append(out, byte(int8(math.Round(float64(float32(v*inverse))))))
		}
	}
	return out
}

// float16 rounds v to IEEE 754 half precision, ties to even; what is too
// large becomes infinite.
func float16(v float32) uint16 {
	bits := math.Float32bits(v)
	sign := uint16(bits >> 16 & 0x8000)
	exponent := int(bits>>23&0xff) - 127
	fraction := bits & 0x7fffff
	switch {
	case exponent == 128 && fraction != 0:
		return sign | 0x7e00 // not a number
	case exponent > 15:
		return sign | 0x7c00
	case exponent < -25:
		return sign
	}
	shift := uint(13)
	result := uint32(exponent+15) << 10
	if exponent < -14 { // subnormal: the leading one becomes explicit
		shift = uint(-1 - exponent)
		fraction |= 0x800000
		result = 0
	}
	result += fraction >> shift
	rest, half := fraction&(1<<shift-1), uint32(1)<<(shift-1)
	if rest > half || rest == half && result&1 == 1 {
		result++ // may carry into the exponent, up to infinity: as it should
	}
	return sign | uint16(result)
}
