package llama

// purpose keeps the draws that one position needs apart.
type purpose uint64

const (
	drawToken   purpose = iota + 1 // the token
	drawAgain                      // the token, after a grammar refused the first
	drawExclude                    // whether XTC removes
)

// uniform is a number from [0, 1) that depends on its arguments and on nothing
// else, so that a conversation taken up again after a crash draws what it would have
// drawn. It hashes a counter with the finalizer of SplitMix64 (Steele, Lea, Flood
// 2014), once for each argument.
func uniform(seed uint32, position int, why purpose) float64 {
	h := mix(uint64(seed) + 0x9e3779b97f4a7c15)
	h = mix(h + uint64(position)*0x9e3779b97f4a7c15)
	h = mix(h + uint64(why)*0x9e3779b97f4a7c15)
	return float64(h>>11) / (1 << 53)
}

func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// draw picks a candidate by its probability, which softmax has computed.
func draw(list []candidate, u float64) candidate {
	var sum float64
	for _, c := range list {
		sum += float64(c.p)
	}
	u *= sum // which is 1 but for rounding
	for _, c := range list {
		if u -= float64(c.p); u < 0 {
			return c
		}
	}
	return list[len(list)-1]
}
