package stream

// matcher finds one stop string in a text that comes byte by byte (Knuth,
// Morris, Pratt 1977): matched is the length of its longest beginning that the
// text ends with.
type matcher struct {
	stop    string
	borders []int // borders[n]: the longest beginning of stop[:n], shorter than n, that stop[:n] ends with
	matched int
}

func newMatcher(stop string) matcher {
	borders := make([]int, len(stop)+1)
	for n, border := 1, 0; n < len(stop); n++ {
		for border > 0 && stop[n] != stop[border] {
			border = borders[border]
		}
		if stop[n] == stop[border] {
			border++
		}
		borders[n+1] = border
	}
	return matcher{stop: stop, borders: borders}
}

// step takes the next byte in. It must not be called once the stop string is whole.
func (m *matcher) step(b byte) {
	for m.matched > 0 && m.stop[m.matched] != b {
		m.matched = m.borders[m.matched]
	}
	if m.stop[m.matched] == b {
		m.matched++
	}
}
