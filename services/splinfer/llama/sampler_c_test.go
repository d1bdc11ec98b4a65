package llama

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"unsafe"

	"github.com/ebitengine/purego"
)

// samplersInC are llama.cpp's own samplers, to compare ours with.
type samplersInC struct {
	topK       func(k int32) uintptr                                                                                   `c:"llama_sampler_init_top_k"`
	topP       func(p float32, minKeep uintptr) uintptr                                                                `c:"llama_sampler_init_top_p"`
	minP       func(p float32, minKeep uintptr) uintptr                                                                `c:"llama_sampler_init_min_p"`
	typical    func(p float32, minKeep uintptr) uintptr                                                                `c:"llama_sampler_init_typical"`
	topNSigma  func(n float32) uintptr                                                                                 `c:"llama_sampler_init_top_n_sigma"`
	xtc        func(p, threshold float32, minKeep uintptr, seed uint32) uintptr                                        `c:"llama_sampler_init_xtc"`
	temp       func(t float32) uintptr                                                                                 `c:"llama_sampler_init_temp"`
	tempExt    func(t, spread, exponent float32) uintptr                                                               `c:"llama_sampler_init_temp_ext"`
	mirostat   func(vocab int32, seed uint32, tau, eta float32, m int32) uintptr                                       `c:"llama_sampler_init_mirostat"`
	mirostatV2 func(seed uint32, tau, eta float32) uintptr                                                             `c:"llama_sampler_init_mirostat_v2"`
	penalties  func(vocab, lastN int32, repeat, frequency, presence float32) uintptr                                   `c:"llama_sampler_init_penalties"`
	dry        func(vocab uintptr, multiplier, base float32, allowed, lastN int32, breakers **byte, n uintptr) uintptr `c:"llama_sampler_init_dry"`
	bias       func(vocab, n int32, biases *TokenBias) uintptr                                                         `c:"llama_sampler_init_logit_bias"`
}

// inC binds them; the libraries are open already, so this only finds them.
func inC(t testing.TB) *samplersInC {
	t.Helper()
	open(t)
	path, err := findLibrary(environment(t, "RUNA_LLAMA_DIR"), "llama")
	if err != nil {
		t.Fatal(err)
	}
	handle, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_GLOBAL)
	if err != nil {
		t.Fatal(err)
	}
	s := &samplersInC{}
	if err := bindSymbols(s, []uintptr{handle}); err != nil {
		t.Fatal(err)
	}
	return s
}

// applyInC runs a sampler of llama.cpp and returns what it leaves, in order, and
// the token it selected, if it does that.
func applyInC(l *Library, sampler uintptr, logits []float32) (left []candidate, selected Token) {
	data := make([]tokenData, 0, len(logits))
	for t, logit := range logits {
		data = append(data, tokenData{id: Token(t), logit: logit})
	}
	array := &tokenDataArray{data: &data[0], size: uintptr(len(data)), selected: -1}
	l.c.apply(sampler, array)
	selected = -1
	for i, d := range unsafe.Slice(array.data, array.size) {
		if int64(i) == array.selected {
			selected = d.id
		}
		if d.logit > negativeInfinity {
			left = append(left, candidate{token: d.id, logit: d.logit})
		}
	}
	runtime.KeepAlive(data)
	slices.SortFunc(left, better)
	return left, selected
}

// equalCandidates compares sets; logits may differ in rounding.
func equalCandidates(t *testing.T, got *candidates, want []candidate) {
	t.Helper()
	list := slices.Clone(got.asList())
	slices.SortFunc(list, better)
	if len(list) != len(want) {
		t.Fatalf("%d candidates are left, llama.cpp leaves %d", len(list), len(want))
	}
	byToken := map[Token]float32{}
	for _, c := range want {
		byToken[c.token] = c.logit
	}
	for _, c := range list {
		logit, found := byToken[c.token]
		if !found || math.Abs(float64(c.logit-logit)) > 1e-4*(1+math.Abs(float64(logit))) {
			t.Fatalf("token %d: logit %v, llama.cpp has %v (%v)", c.token, c.logit, logit, found)
		}
	}
}

// someLogits are as those of a model: a few likely words, many unlikely ones.
func someLogits(seed uint64, n int) []float32 {
	random := rand.New(rand.NewPCG(seed, 7))
	spread := 1 + 4*random.Float64()
	logits := make([]float32, n)
	for i := range logits {
		logits[i] = float32(random.NormFloat64() * spread)
	}
	return logits
}

func TestSamplersLeaveWhatThoseOfLlamaCppLeave(t *testing.T) {
	c := inC(t)
	library, _ := open(t)
	type comparison struct {
		name string
		c    uintptr
		ours func(*candidates)
	}
	var all []comparison
	add := func(name string, value any, sampler uintptr, ours func(*candidates)) {
		all = append(all, comparison{fmt.Sprint(name, " ", value), sampler, ours})
	}
	for _, k := range []int32{1, 2, 40, 500, 100_000} {
		add("top-k", k, c.topK(k), func(s *candidates) { s.top(int(k)) })
	}
	for _, p := range []float32{0, 0.01, 0.3, 0.9, 0.999, 1} {
		for _, keep := range []int{0, 1, 5, 300} {
			what := []any{p, keep}
			add("top-p", what, c.topP(p, uintptr(keep)), func(s *candidates) { s.topP(p, keep) })
			add("min-p", what, c.minP(p, uintptr(keep)), func(s *candidates) { s.minP(p, keep) })
			add("typical-p", what, c.typical(p, uintptr(keep)), func(s *candidates) { s.typical(p, keep) })
		}
	}
	for _, threshold := range []float32{0.001, 0.02, 0.1, 0.3, 0.51} {
		add("xtc", threshold, c.xtc(1, threshold, 1, 1), func(s *candidates) { s.excludeTop(1, threshold, 1, 0.5) })
		add("xtc never", threshold, c.xtc(0, threshold, 1, 1), func(s *candidates) { s.excludeTop(0, threshold, 1, 0.5) })
		add("xtc keep", threshold, c.xtc(1, threshold, 500, 1), func(s *candidates) { s.excludeTop(1, threshold, 500, 0.5) })
	}
	for _, n := range []float32{-1, 0, 0.5, 1, 3} {
		add("top-n-sigma", n, c.topNSigma(n), func(s *candidates) { s.topNSigma(n) })
	}
	for _, temp := range []float32{0, 0.1, 0.8, 1, 3} {
		add("temp", temp, c.temp(temp), func(s *candidates) { s.temperature(temp, 0, 1) })
		for _, spread := range []float32{0.3, 2} {
			for _, exponent := range []float32{0.5, 1, 2} {
				add("dynatemp", []any{temp, spread, exponent}, c.tempExt(temp, spread, exponent), func(s *candidates) { s.temperature(temp, spread, exponent) })
			}
		}
	}
	for _, one := range all {
		t.Run(one.name, func(t *testing.T) {
			for seed := range uint64(8) {
				logits := someLogits(seed, 1000)
				want, _ := applyInC(library, one.c, logits)
				var dense, sparse candidates
				dense.load(logits)
				one.ours(&dense)
				equalCandidates(t, &dense, want)
				sparse.load(logits)
				sparse.sort()
				one.ours(&sparse)
				equalCandidates(t, &sparse, want)
			}
		})
		library.c.samplerFree(one.c)
	}
}

func TestPenaltiesAreThoseOfLlamaCpp(t *testing.T) {
	c := inC(t)
	library, m := open(t)
	random := rand.New(rand.NewPCG(1, 1))
	for _, s := range []Sampling{
		{RepeatPenalty: 1.3, RepeatLastN: 64},
		{RepeatPenalty: 0.7, RepeatLastN: 5, FrequencyPenalty: 0.2, PresencePenalty: -0.5},
		{RepeatPenalty: 1, RepeatLastN: 10, PresencePenalty: 1.5},
		{RepeatPenalty: 1, RepeatLastN: 1, FrequencyPenalty: 3},
		{RepeatPenalty: 1.5, RepeatLastN: 0},
	} {
		ours, err := m.NewSampler(s)
		if err != nil {
			t.Fatal(err)
		}
		theirs := c.penalties(m.words, int32(s.RepeatLastN), s.RepeatPenalty, s.FrequencyPenalty, s.PresencePenalty)
		for step := range 150 {
			token := Token(random.IntN(20))
			if err := ours.Accept(token); err != nil {
				t.Fatal(err)
			}
			library.c.accept(theirs, token)
			if step%10 != 0 {
				continue
			}
			logits := someLogits(uint64(step), int(m.words))
			want, _ := applyInC(library, theirs, logits)
			for _, sorted := range []bool{false, true} {
				ours.set.load(logits)
				if sorted {
					ours.set.sort()
				}
				ours.apply("penalties", 0)
				equalCandidates(t, &ours.set, want)
			}
		}
		library.c.samplerFree(theirs)
	}
}

func TestDRYIsThatOfLlamaCpp(t *testing.T) {
	c := inC(t)
	library, m := open(t)
	random := rand.New(rand.NewPCG(2, 2))
	text, err := m.Tokenize("One day: \"the cat\" sat.\nThe *cat* sat on the mat. the cat sat on the ", false, false)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range []Sampling{
		{DryMultiplier: 0.8, DryBase: 1.75, DryAllowedLength: 2, DryPenaltyLastN: 200, DrySequenceBreak: []string{"\n", ":", "\"", "*"}},
		{DryMultiplier: 1, DryBase: 1, DryAllowedLength: 1, DryPenaltyLastN: 30},
		{DryMultiplier: 2, DryBase: 3, DryAllowedLength: 4, DryPenaltyLastN: 1000, DrySequenceBreak: []string{"the cat sat", "on"}},
		{DryMultiplier: 0.1, DryBase: 2000, DryAllowedLength: 0, DryPenaltyLastN: 50, DrySequenceBreak: []string{" "}},
	} {
		s.RepeatPenalty = 1
		ours, err := m.NewSampler(s)
		if err != nil {
			t.Fatal(err)
		}
		theirs := newDryInC(c, m, s)
		for step := range 120 {
			token := text[step%len(text)]
			if random.IntN(8) == 0 {
				token = text[random.IntN(len(text))]
			}
			if err := ours.Accept(token); err != nil {
				t.Fatal(err)
			}
			library.c.accept(theirs, token)
			if step%4 != 0 {
				continue
			}
			logits := someLogits(uint64(step), int(m.words))
			want, _ := applyInC(library, theirs, logits)
			ours.set.load(logits)
			ours.apply("dry", 0)
			t.Run(fmt.Sprint(i, " after ", step), func(t *testing.T) { equalCandidates(t, &ours.set, want) })
		}
		library.c.samplerFree(theirs)
	}
}

func newDryInC(c *samplersInC, m *Model, s Sampling) uintptr {
	breakers := make([]*byte, len(s.DrySequenceBreak)+1)
	for i, text := range s.DrySequenceBreak {
		breakers[i] = cString(text)
	}
	sampler := c.dry(m.vocab, s.DryMultiplier, s.DryBase, int32(s.DryAllowedLength), int32(s.DryPenaltyLastN), &breakers[0], uintptr(len(s.DrySequenceBreak)))
	runtime.KeepAlive(breakers)
	return sampler
}

func TestMirostatCutsAndMovesAsThatOfLlamaCpp(t *testing.T) {
	c := inC(t)
	library, m := open(t)
	for version, theirs := range map[int]uintptr{
		1: c.mirostat(m.words, 5, 4, 0.2, mirostatTop),
		2: c.mirostatV2(5, 4, 0.2),
	} {
		ours := newMirostat(Sampling{Mirostat: version, MirostatEnt: 4, MirostatLR: 0.2})
		for step := range 40 {
			logits := someLogits(uint64(step), int(m.words))
			want, selected := applyInC(library, theirs, logits)
			var set candidates
			set.load(logits)
			list := ours.cut(&set, int(m.words))
			// llama.cpp follows the same mu for as long as the same number is left.
			if math.Abs(float64(len(list)-len(want))) > 0.002*float64(len(want)) {
				t.Fatalf("version %d, step %d: %d are left, llama.cpp leaves %d", version, step, len(list), len(want))
			}
			i := slices.IndexFunc(list, func(c candidate) bool { return c.token == selected })
			if i < 0 {
				t.Fatalf("version %d, step %d: token %d is not left", version, step, selected)
			}
			ours.mu = ours.after(list[i].p)
		}
		library.c.samplerFree(theirs)
	}
}

func TestBiasesAreThoseOfLlamaCpp(t *testing.T) {
	c := inC(t)
	library, m := open(t)
	biases := []TokenBias{{5, 3}, {6, -2.5}, {7, negativeInfinity}}
	theirs := c.bias(m.words, int32(len(biases)), &biases[0])
	defer library.c.samplerFree(theirs)
	ours, err := m.NewSampler(Sampling{Temp: 1, TopP: 1, TypicalP: 1, RepeatPenalty: 1, LogitBias: map[Token]float32{5: 3, 6: -2.5, 7: negativeInfinity}})
	if err != nil {
		t.Fatal(err)
	}
	logits := someLogits(1, int(m.words))
	want, _ := applyInC(library, theirs, logits)
	ours.set.load(logits)
	ours.run(0, nil, drawToken)
	equalCandidates(t, &ours.set, want)
}
