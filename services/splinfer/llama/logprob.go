package llama

import "math"

// logSumExp is log(sum(exp(logit - highest))). It is computed for every token
// of an answer over the whole vocabulary, so exp reads a table; what is more
// than 20 below the highest adds less than 1e-4 for 32,000 words and is left out.
func logSumExp(logits []float32, highest float32) float32 {
	var sum float32
	for _, logit := range logits {
		if d := logit - highest; d > -20 {
			sum += fastExp(d)
		}
	}
	return float32(math.Log(float64(sum)))
}

// powers are the bits of 2^(i/256).
var powers = func() (bits [256]uint32) {
	for i := range bits {
		bits[i] = math.Float32bits(float32(math.Exp2(float64(i) / 256)))
	}
	return bits
}()

// fastExp is exp(x) for -80 <= x <= 0 with a relative error below 1e-5. With
// k the number of whole 256ths in log2(exp(x)) and r what is left, exp(x) is
// 2^(k>>8), added to the exponent's bits, times 2^((k&255)/256) times 1+r.
func fastExp(x float32) float32 {
	y := x * (256 * math.Log2E)
	k := int32(y)
	r := (y - float32(k)) * (math.Ln2 / 256)
	return math.Float32frombits(powers[k&255]+uint32(k>>8)<<23) * (1 + r)
}
