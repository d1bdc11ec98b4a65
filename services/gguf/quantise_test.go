package gguf

import (
	"encoding/binary"
	"math"
	"testing"

	"pgregory.net/rapid"
)

// widen is the inverse of float16, written from IEEE 754's definition.
func widen(h uint16) float64 {
	sign, exponent, fraction := 1-2*float64(h>>15), int(h>>10&31), float64(h&1023)
	switch exponent {
	case 0:
		return sign * math.Ldexp(fraction, -24)
	case 31:
		if fraction != 0 {
			return math.NaN()
		}
		return math.Inf(int(sign))
	}
	return sign * math.Ldexp(1024+fraction, exponent-25)
}

func TestFloat16IsTheNearestHalf(t *testing.T) {
	for h := range 1 << 16 {
		v := widen(uint16(h))
		if math.IsNaN(v) {
			continue
		}
		if got := float16(float32(v)); got != uint16(h) {
			t.Fatalf("%v: %#04x, want %#04x", v, got, h)
		}
		next := widen(uint16(h + 1))
		if h&0x7fff >= 0x7bff {
			continue // no finite neighbour
		}
		even := uint16(h + h&1)
		if got := float16(float32((v + next) / 2)); got != even {
			t.Fatalf("tie between %v and %v: %#04x, want %#04x", v, next, got, even)
		}
	}
	if got := float16(65520); got != 0x7c00 {
		t.Errorf("65520: %#04x, want infinity", got)
	}
	if !math.IsNaN(widen(float16(float32(math.NaN())))) {
		t.Error("not a number became one")
	}
}

func TestQ8KeepsEveryWeightWithinHalfAStep(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Float32Range(-100, 100), blockQ8, blockQ8).Draw(t, "block")
		data, err := quantise(Q8_0, values, blockQ8)
		if err != nil || len(data) != 34 {
			t.Fatalf("%d bytes, %v", len(data), err)
		}
		scale := widen(binary.LittleEndian.Uint16(data))
		for i, v := range values {
			got := scale * float64(int8(data[2+i]))
			// Half a step, and what rounding the scale itself to a half can add over 127 steps.
			if bound := scale/2 + 127*scale/2048 + 1e-6; math.Abs(got-float64(v)) > bound {
				t.Fatalf("weight %d: %v became %v, more than %v off", i, v, got, bound)
			}
		}
	})
}
