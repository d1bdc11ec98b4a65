package llama

import (
	"cmp"
	"math"
	"slices"
)

// The samplers below remove unlikely candidates, as those of llama.cpp
// (src/llama-sampler.cpp) with the same names do.

// topP keeps the likeliest candidates that together have probability p.
func (c *candidates) topP(p float32, minKeep int) {
	if p >= 1 {
		return
	}
	list := c.softmax()
	total := len(list)
	// Only the front needs an order: a vocabulary is sorted in growing parts.
	for front := 128; ; front *= 8 {
		part := candidates{list: list, sparse: true, sorted: c.sorted}
		part.top(min(front, total))
		var sum float64
		for i, other := range part.list {
			sum += float64(other.p)
			if float32(sum) >= p && i+1 >= minKeep {
				c.use(part.list[:i+1], true)
				return
			}
		}
		if front >= total {
			c.use(part.list, true)
			return
		}
	}
}

// minP keeps candidates whose probability is at least p times the best one's.
func (c *candidates) minP(p float32, minKeep int) {
	best, some := c.best()
	if p <= 0 || !some {
		return
	}
	least := best.logit + float32(math.Log(float64(p)))
	if !c.sparse {
		list := c.list[:0]
		for t, logit := range c.dense {
			if logit >= least {
				list = append(list, candidate{token: Token(t), logit: logit})
			}
		}
		if len(list) >= minKeep {
			c.use(list, false)
			return
		}
	}
	c.keep(minKeep, func(other candidate) bool { return other.logit >= least })
}

// keep keeps the candidates that pass, or the minKeep likeliest if they are fewer.
func (c *candidates) keep(minKeep int, pass func(candidate) bool) {
	list := c.asList()
	passed := 0
	for _, other := range list {
		if pass(other) {
			passed++
		}
	}
	if passed < minKeep {
		c.top(minKeep)
		return
	}
	c.use(slices.DeleteFunc(list, func(other candidate) bool { return !pass(other) }), c.sorted)
}

// typical keeps candidates whose surprise is near the expected one (locally
// typical sampling, Meister et al. 2022) until they have probability p.
func (c *candidates) typical(p float32, minKeep int) {
	if p >= 1 {
		return
	}
	list := c.softmax()
	entropy := entropyOf(list)
	distance := func(other candidate) float32 {
		return float32(math.Abs(-math.Log(float64(other.p)) - entropy))
	}
	slices.SortFunc(list, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(distance(a), distance(b)), better(a, b))
	})
	var sum float64
	for i, other := range list {
		sum += float64(other.p)
		if float32(sum) > p && (minKeep == 0 || i >= minKeep-1) {
			list = list[:i+1]
			break
		}
	}
	c.use(list, false)
}

// entropyOf is the expected surprise of candidates with probabilities, in nats.
func entropyOf(list []candidate) (entropy float64) {
	for _, other := range list {
		if other.p > 0 {
			entropy -= float64(other.p) * math.Log(float64(other.p))
		}
	}
	return entropy
}

// topNSigma keeps candidates whose logit is at most n standard deviations
// below the best one.
func (c *candidates) topNSigma(n float32) {
	if n <= 0 {
		return
	}
	var sum, squares, count float64
	each := func(visit func(logit float64)) {
		if c.sparse {
			for _, other := range c.list {
				visit(float64(other.logit))
			}
			return
		}
		for _, logit := range c.dense {
			if logit > negativeInfinity {
				visit(float64(logit))
			}
		}
	}
	each(func(logit float64) { sum, count = sum+logit, count+1 })
	if count <= 1 {
		return
	}
	mean := sum / count
	each(func(logit float64) { squares += (logit - mean) * (logit - mean) })
	best, _ := c.best()
	least := best.logit - n*float32(math.Sqrt(squares/count))
	if c.sparse {
		c.keep(0, func(other candidate) bool { return other.logit >= least })
		return
	}
	dense := c.own()
	for t, logit := range dense {
		if logit < least {
			dense[t] = negativeInfinity
		}
	}
}

// excludeTop removes, with the given probability, all candidates that reach the
// threshold but the least likely of them (XTC). draw is from [0, 1).
func (c *candidates) excludeTop(probability, threshold float32, minKeep int, draw float64) {
	if probability <= 0 || threshold > 0.5 || draw > float64(probability) {
		return
	}
	list := c.softmax()
	reached := 0
	var least candidate
	for _, other := range list {
		if other.p >= threshold {
			if reached == 0 || better(other, least) > 0 {
				least = other
			}
			reached++
		}
	}
	if reached < 2 || len(list)-(reached-1) < minKeep {
		return
	}
	c.use(slices.DeleteFunc(list, func(other candidate) bool {
		return other.p >= threshold && other.token != least.token
	}), c.sorted)
}

// temperature divides logits by t; with a range, by one from t-spread to
// t+spread that grows with the entropy of what is left.
func (c *candidates) temperature(t, spread, exponent float32) {
	if spread > 0 && len(c.asList()) > 1 {
		low, high := max(0, t-spread), t+spread
		entropy := entropyOf(c.softmax()) / math.Log(float64(len(c.list)))
		t = low + (high-low)*float32(math.Pow(entropy, float64(exponent)))
	}
	if t <= 0 {
		c.top(1)
		return
	}
	for i := range c.asList() {
		c.list[i].logit /= t
	}
}
