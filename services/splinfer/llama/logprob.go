package llama

import (
	"math"
	"slices"
)

// TokenLogProb is a token with its natural log-probability under the model.
type TokenLogProb struct {
	Token   Token
	LogProb float32
}

// LogProb is a token's natural log-probability by the logits of its place; minus
// infinity for a token that has none.
func LogProb(logits []float32, t Token) float32 {
	if t < 0 || int(t) >= len(logits) {
		return negativeInfinity
	}
	most := highest(logits).logit
	return logits[t] - most - logSumExp(logits, most)
}

// logSumExp is log(sum(exp(logit - highest))). It is computed for every token
// of an answer over the whole vocabulary, so exp reads a table; what is more
// than 20 below the highest adds less than 1e-4 for 32,000 words and is left out.
//
// It adds up blocks in float32, where many small terms would vanish beside a large
// sum, and the blocks in float64.
func logSumExp(logits []float32, highest float32) float32 {
	var total float64
	for block := range slices.Chunk(logits, 128) {
		total += float64(blockExp(block, highest))
	}
	return float32(math.Log(total))
}

// blockExp is sum(exp(logit - highest)), in four chains of additions that need not
// wait for one another.
func blockExp(logits []float32, highest float32) float32 {
	var a, b, c, d float32
	for len(logits) >= 4 {
		a += expOrNothing(logits[0] - highest)
		b += expOrNothing(logits[1] - highest)
		c += expOrNothing(logits[2] - highest)
		d += expOrNothing(logits[3] - highest)
		logits = logits[4:]
	}
	for _, logit := range logits {
		a += expOrNothing(logit - highest)
	}
	return (a + b) + (c + d)
}

func expOrNothing(x float32) float32 {
	if x <= -20 {
		return 0
	}
	return fastExp(x)
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
