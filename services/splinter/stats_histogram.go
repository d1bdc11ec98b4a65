package splinter

import (
	"math"
	"math/bits"
	"sync/atomic"
	"time"
)

// Histogram counts durations: element i those of 2^i to 2^(i+1)-1 nanoseconds,
// the last one all that are longer.
type Histogram [histogramBuckets]uint64

// Count is how many durations were counted.
func (h Histogram) Count() (n uint64) {
	for _, c := range h {
		n += c
	}
	return n
}

// Quantile is the duration that the share q (0 to 1) of them was not longer
// than, taken evenly within its bucket; 0 if nothing was counted.
func (h Histogram) Quantile(q float64) time.Duration {
	rank := q * float64(h.Count())
	for i, c := range h {
		if c > 0 && rank <= float64(c) {
			return time.Duration(math.Exp2(float64(i)) * (1 + max(rank, 0)/float64(c)))
		}
		rank -= float64(c)
	}
	return 0
}

func (h *histogram) add(ns int64) {
	h[min(bits.Len64(uint64(max(ns, 1)))-1, histogramBuckets-1)].Add(1)
}

func (h *histogram) read() (out Histogram) {
	for i := range h {
		out[i] = h[i].Load()
	}
	return out
}

func dropsOf(counts *[8]atomic.Uint64) Drops {
	d := Drops{}
	for i, name := range dropNames {
		if n := counts[i].Load(); n > 0 {
			d[name] = n
		}
	}
	return d
}
