package llama

import (
	"cmp"
	"math"
	"slices"
)

var negativeInfinity = float32(math.Inf(-1))

// candidate is a token that may follow.
type candidate struct {
	token Token
	logit float32
	p     float32 // probability, valid after softmax
}

// better orders candidates from the likeliest; among equals the lower number is first.
func better(a, b candidate) int {
	return cmp.Or(cmp.Compare(b.logit, a.logit), cmp.Compare(a.token, b.token))
}

// candidates is the set of tokens that may follow. It begins dense, with a
// logit for every word of the vocabulary, and becomes a list once samplers have
// removed most: a sampler that looks at the list of all words costs more than all others.
type candidates struct {
	dense  []float32 // by token, while list is not in use; minus infinity: removed. To be changed through own
	copied []float32 // dense's memory once it was changed; before that it is the caller's
	most   candidate // the likeliest of dense, while known
	known  bool
	list   []candidate // what is left, once sparse
	sparse bool
	sorted bool // list is in the order of better
}

// load starts anew from logits, which must stay as they are until the next load. It
// returns the highest, or NaN if one of them is.
func (c *candidates) load(logits []float32) float32 {
	c.dense, c.copied = logits, c.copied[:0]
	c.list, c.sparse, c.sorted = c.list[:0], false, false
	c.most, c.known = highest(logits), true
	return c.most.logit
}

// own returns dense to be changed.
func (c *candidates) own() []float32 {
	if len(c.copied) == 0 {
		c.copied = append(c.copied, c.dense...)
		c.dense = c.copied
	}
	c.known = false
	return c.dense
}

// highest is the first token with the largest of logits, or one with NaN.
func highest(logits []float32) candidate {
	at, most := 0, negativeInfinity
	for t, logit := range logits {
		if !(logit <= most) {
			at, most = t, logit
			if logit != logit {
				break
			}
		}
	}
	return candidate{token: Token(at), logit: most}
}

// asList makes the set a list and returns it.
func (c *candidates) asList() []candidate {
	if c.sparse {
		return c.list
	}
	c.list = slices.Grow(c.list[:0], len(c.dense))
	for t, logit := range c.dense {
		if logit > negativeInfinity {
			c.list = append(c.list, candidate{token: Token(t), logit: logit})
		}
	}
	c.sparse, c.sorted = true, false
	return c.list
}

// use replaces the list by what is left of it.
func (c *candidates) use(list []candidate, sorted bool) {
	c.list, c.sparse, c.sorted = list, true, sorted
}

// sort orders the list from the likeliest.
func (c *candidates) sort() []candidate {
	list := c.asList()
	if !c.sorted {
		slices.SortFunc(list, better)
		c.sorted = true
	}
	return list
}

// change gives the logit of each of tokens, which are in ascending order, to f,
// which returns the new one.
func (c *candidates) change(tokens []Token, f func(t Token, logit float32) float32) {
	if len(tokens) == 0 {
		return
	}
	if !c.sparse {
		dense := c.own()
		for _, t := range tokens {
			dense[t] = f(t, dense[t])
		}
		return
	}
	for i := range c.list {
		t := c.list[i].token
		if _, found := slices.BinarySearch(tokens, t); found {
			c.list[i].logit = f(t, c.list[i].logit)
		}
	}
	c.sorted = false
}

// best is the likeliest token, false if none is left.
func (c *candidates) best() (candidate, bool) {
	if !c.sparse {
		if !c.known {
			c.most, c.known = highest(c.dense), true
		}
		return c.most, c.most.logit > negativeInfinity
	}
	var best candidate
	for i, other := range c.list {
		if i == 0 || better(other, best) < 0 {
			best = other
		}
	}
	return best, len(c.list) > 0
}

// top keeps the k likeliest, in order.
func (c *candidates) top(k int) {
	if c.sparse && c.sorted {
		c.list = c.list[:min(k, len(c.list))]
		return
	}
	if c.sparse && k >= len(c.list) || k >= len(c.dense) {
		list := c.sort()
		c.use(list[:min(k, len(list))], true)
		return
	}
	heap := topHeap{limit: k}
	if c.sparse {
		heap.list = make([]candidate, 0, k)
		for _, other := range c.list {
			heap.offer(other)
		}
	} else {
		heap.list = slices.Grow(c.list[:0], k)
		heap.offerAll(c.dense)
	}
	slices.SortFunc(heap.list, better)
	c.use(heap.list, true)
}

// softmax computes the probabilities of the list.
func (c *candidates) softmax() []candidate {
	list := c.asList()
	best, _ := c.best()
	var sum float64
	for i := range list {
		p := float32(math.Exp(float64(list[i].logit - best.logit)))
		list[i].p = p
		sum += float64(p)
	}
	for i := range list {
		list[i].p = float32(float64(list[i].p) / sum)
	}
	return list
}

// topHeap keeps the limit likeliest of the candidates it is offered; its root is
// the least likely of them.
type topHeap struct {
	list  []candidate
	limit int
}

func (h *topHeap) offer(c candidate) {
	if len(h.list) < h.limit {
		h.list = append(h.list, c)
		h.up(len(h.list) - 1)
	} else if better(c, h.list[0]) < 0 {
		h.list[0] = c
		h.down()
	}
}

// offerAll offers a whole vocabulary; most words are refused by one comparison.
func (h *topHeap) offerAll(logits []float32) {
	least := negativeInfinity
	for t, logit := range logits {
		if logit > least {
			h.offer(candidate{token: Token(t), logit: logit})
			if len(h.list) == h.limit {
				least = h.list[0].logit
			}
		}
	}
}

func (h *topHeap) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if better(h.list[parent], h.list[i]) > 0 {
			return
		}
		h.list[parent], h.list[i] = h.list[i], h.list[parent]
		i = parent
	}
}

func (h *topHeap) down() {
	for i := 0; ; {
		worst := i
		for _, child := range []int{2*i + 1, 2*i + 2} {
			if child < len(h.list) && better(h.list[child], h.list[worst]) > 0 {
				worst = child
			}
		}
		if worst == i {
			return
		}
		h.list[i], h.list[worst] = h.list[worst], h.list[i]
		i = worst
	}
}
