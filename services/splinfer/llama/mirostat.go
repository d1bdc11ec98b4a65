package llama

import "math"

// Mirostat keeps the surprise of an answer near a target (Basu et al. 2021): it
// cuts the candidates at mu bits and moves mu after each token by how far the
// token's surprise was from the target.
type mirostat struct {
	version      int
	target, rate float32
	mu           float32
}

func newMirostat(s Sampling) mirostat {
	return mirostat{version: s.Mirostat, target: s.MirostatEnt, rate: s.MirostatLR, mu: 2 * s.MirostatEnt}
}

// cut removes candidates that are too surprising and computes the probabilities
// of the others.
func (m *mirostat) cut(c *candidates, vocabulary int) []candidate {
	if m.version == 1 {
		m.cutEstimated(c, vocabulary)
	} else {
		c.softmax()
		c.keep(1, func(other candidate) bool { return -math.Log2(float64(other.p)) <= float64(m.mu) })
	}
	return c.softmax()
}

// mirostatTop is how many of the likeliest candidates version 1 looks at.
const mirostatTop = 100

// cutEstimated is version 1: from the slope of the likeliest candidates it
// estimates the exponent of Zipf's law, and from that how many to keep.
func (m *mirostat) cutEstimated(c *candidates, vocabulary int) {
	list := c.softmax()
	front := candidates{list: list, sparse: true, sorted: c.sorted}
	front.top(min(mirostatTop, len(list)))
	var sumTB, sumTT float64
	for i := range len(front.list) - 1 {
		t := math.Log(float64(i+2) / float64(i+1))
		b := math.Log(float64(front.list[i].p) / float64(front.list[i+1].p))
		sumTB += t * b
		sumTT += t * t
	}
	s := sumTB / sumTT
	epsilon := s - 1
	k := math.Pow(epsilon*math.Exp2(float64(m.mu))/(1-math.Pow(float64(vocabulary), -epsilon)), 1/s)
	keep := 1
	if k >= 1 {
		keep = int(min(k, float64(len(list))))
	}
	c.top(keep)
}

// after is mu once a token of probability p was chosen.
func (m *mirostat) after(p float32) float32 {
	surprise := float32(-math.Log2(float64(p)))
	return m.mu - float32(m.rate*(surprise-m.target))
}
