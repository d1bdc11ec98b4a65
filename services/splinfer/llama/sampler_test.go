package llama

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
)

// sampler makes one that is closed with the test.
func sampler(t testing.TB, m *Model, s Sampling) *Sampler {
	t.Helper()
	made, err := m.NewSampler(s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(made.Close)
	return made
}

// everything switches all samplers on.
func everything() Sampling {
	return Sampling{
		Temp: 0.9, DynatempRange: 0.4, DynatempExponent: 1.2, TopK: 200, TopP: 0.97, MinP: 0.01, TypicalP: 0.98, TopNSigma: 3,
		XTCProbability: 0.5, XTCThreshold: 0.1, RepeatLastN: 64, RepeatPenalty: 1.1, FrequencyPenalty: 0.1, PresencePenalty: 0.1,
		DryMultiplier: 0.8, DryBase: 1.75, DryAllowedLength: 2, DryPenaltyLastN: -1, DrySequenceBreak: []string{"\n", "."},
		LogitBias: map[Token]float32{100: 1}, Seed: 3, NProbs: 3,
	}
}

func TestADrawDependsOnSeedAndPositionOnly(t *testing.T) {
	_, m := open(t)
	logits := someLogits(4, m.VocabularySize())
	first := make([]Choice, 20)
	one := sampler(t, m, everything())
	for position := range first {
		choice, err := one.Choose(logits, position)
		if err != nil {
			t.Fatal(err)
		}
		first[position] = choice
	}
	other := sampler(t, m, everything())
	for _, position := range []int{19, 3, 11, 3, 0} { // in any order, and again
		choice, err := other.Choose(logits, position)
		if err != nil {
			t.Fatal(err)
		}
		if choice.Token != first[position].Token || choice.LogProb != first[position].LogProb {
			t.Errorf("position %d: %v, then %v", position, first[position], choice)
		}
	}
	if slices.IndexFunc(first, func(c Choice) bool { return c.Token != first[0].Token }) < 0 {
		t.Error("every position drew the same")
	}
}

func TestAResumedAnswerGoesOnAsTheUninterruptedOne(t *testing.T) {
	_, m := open(t)
	for name, change := range map[string]func(*Sampling){
		"everything": func(*Sampling) {},
		"mirostat":   func(s *Sampling) { s.Mirostat, s.MirostatEnt, s.MirostatLR = 2, 4, 0.3 },
		"mirostat 1": func(s *Sampling) { s.Mirostat, s.MirostatEnt, s.MirostatLR = 1, 4, 0.3 },
		"grammar":    func(s *Sampling) { s.Grammar = "root ::= [a-z ,.]+" },
	} {
		s := everything()
		change(&s)
		whole, resumed := sampler(t, m, s), sampler(t, m, s)
		prompt := someTokens(m, 1, 30)
		whole.Remember(prompt)
		resumed.Remember(prompt)
		for i := range 30 {
			logits := someLogits(uint64(i), m.VocabularySize())
			choice, err := whole.Choose(logits, 30+i)
			if err != nil {
				t.Fatal(err)
			}
			if i >= 12 {
				again, err := resumed.Choose(logits, 30+i)
				if err != nil || again.Token != choice.Token {
					t.Fatalf("%s, token %d: %v is %v, %v", name, i, choice, again, err)
				}
			}
			if m.EndsGeneration(choice.Token) {
				break
			}
			if err := errors.Join(whole.Accept(choice.Token), resumed.Accept(choice.Token)); err != nil {
				t.Fatal(err)
			}
			if i == 11 {
				if err := resumed.SetSurprise(whole.Surprise()); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

func TestDrawsAreEvenAndFollowTheProbabilities(t *testing.T) {
	const draws = 20_000
	list := []candidate{{token: 1, p: 0.5}, {token: 2, p: 0.3}, {token: 3, p: 0.2}}
	counts := map[Token]int{}
	var sum float64
	for position := range draws {
		u := uniform(1, position, drawToken)
		if u < 0 || u >= 1 {
			t.Fatalf("drew %v", u)
		}
		sum += u
		counts[draw(list, u).token]++
	}
	if math.Abs(sum/draws-0.5) > 0.01 {
		t.Errorf("the mean is %v", sum/draws)
	}
	for _, c := range list {
		if got := float64(counts[c.token]) / draws; math.Abs(got-float64(c.p)) > 0.02 {
			t.Errorf("token %d was drawn with %v, want %v", c.token, got, c.p)
		}
	}
	if uniform(1, 5, drawToken) == uniform(1, 5, drawAgain) || uniform(1, 5, drawToken) == uniform(2, 5, drawToken) {
		t.Error("purpose or seed make no difference")
	}
	if last := draw(list, math.Nextafter(1, 0)); last.token != 3 {
		t.Errorf("the end of the interval gave %v", last)
	}
}

func TestLikeliestTokensAreListedWithTheirLogProbabilities(t *testing.T) {
	_, m := open(t)
	logits := make([]float32, m.VocabularySize())
	for i := range logits {
		logits[i] = -10
	}
	logits[7], logits[9], logits[8] = 5, 5, 3
	s := defaults()
	s.NProbs = 4
	choice, err := sampler(t, m, s).Choose(logits, 0)
	if err != nil {
		t.Fatal(err)
	}
	var tokens []Token
	for _, top := range choice.Top {
		tokens = append(tokens, top.Token)
		if math.Abs(float64(top.LogProb-LogProb(logits, top.Token))) > 1e-4 {
			t.Errorf("token %d: %v, want %v", top.Token, top.LogProb, LogProb(logits, top.Token))
		}
	}
	if !slices.Equal(tokens, []Token{7, 9, 8, 0}) || choice.Token != 7 || choice.LogProb != choice.Top[0].LogProb {
		t.Fatalf("got %+v", choice)
	}
	want := -math.Log(2 + math.Exp(-2) + float64(len(logits)-3)*math.Exp(-15))
	if math.Abs(float64(choice.LogProb)-want) > 1e-4 {
		t.Fatalf("log-probability %v, want %v", choice.LogProb, want)
	}
	if LogProb(logits, -1) != negativeInfinity || LogProb(logits, Token(len(logits))) != negativeInfinity {
		t.Fatal("a token that is none has a probability")
	}
}

func TestABiasForOneTokenIsForgottenAfterwards(t *testing.T) {
	_, m := open(t)
	s := sampler(t, m, defaults())
	logits := someLogits(1, m.VocabularySize())
	plain, err := s.Choose(logits, 0)
	if err != nil {
		t.Fatal(err)
	}
	masked, err := s.Choose(logits, 0, TokenBias{plain.Token, negativeInfinity})
	if err != nil || masked.Token == plain.Token {
		t.Fatalf("%v, %v", masked, err)
	}
	wanted, err := s.Choose(logits, 0, TokenBias{500, 100})
	if err != nil || wanted.Token != 500 {
		t.Fatalf("%v, %v", wanted, err)
	}
	if again, err := s.Choose(logits, 0); err != nil || again.Token != plain.Token {
		t.Fatalf("%v, %v", again, err)
	}
	for _, bias := range []TokenBias{{-1, 0}, {Token(m.VocabularySize()), 0}, {3, float32(math.NaN())}, {3, float32(math.Inf(1))}} {
		if _, err := s.Choose(logits, 0, bias); err == nil {
			t.Errorf("bias %v was taken", bias)
		}
	}
}

func TestIgnoreEOSNeverEnds(t *testing.T) {
	_, m := open(t)
	logits := someLogits(1, m.VocabularySize())
	for _, end := range m.EndTokens() {
		logits[end] = 1000
	}
	s := defaults()
	if choice, err := sampler(t, m, s).Choose(logits, 0); err != nil || !m.EndsGeneration(choice.Token) {
		t.Fatalf("%v, %v", choice, err)
	}
	for _, temp := range []float32{0, 1} {
		s.IgnoreEOS, s.Temp = true, temp
		if choice, err := sampler(t, m, s).Choose(logits, 0); err != nil || m.EndsGeneration(choice.Token) {
			t.Fatalf("%v, %v", choice, err)
		}
	}
}

func TestSamplersRunInTheOrderGiven(t *testing.T) {
	_, m := open(t)
	logits := make([]float32, m.VocabularySize())
	for i := range logits {
		logits[i] = -50
	}
	logits[3], logits[4], logits[5] = 2, 1.9, 1.8
	// At a temperature of 100 all three are as likely, so top-p 0.5 keeps two of
	// them before the temperature and, after it, thousands of others too.
	s := defaults()
	s.Temp, s.TopP, s.Samplers = 100, 0.5, []string{"top_p", "temperature"}
	first := sampler(t, m, s)
	s.Samplers = []string{"temperature", "top_p"}
	second := sampler(t, m, s)
	s.Samplers = []string{}
	none := sampler(t, m, s)
	for _, one := range []struct {
		*Sampler
		least, most int
	}{{first, 2, 2}, {second, 10_000, 30_000}, {none, m.VocabularySize(), m.VocabularySize()}} {
		if _, err := one.Choose(logits, 0); err != nil {
			t.Fatal(err)
		}
		if n := len(one.set.asList()); n < one.least || n > one.most {
			t.Errorf("%v leaves %d", one.order, n)
		}
	}
}

func TestSamplingThatMakesNoSenseIsRefusedByName(t *testing.T) {
	_, m := open(t)
	nan := float32(math.NaN())
	for want, change := range map[string]func(*Sampling){
		"temp":                 func(s *Sampling) { s.Temp = nan },
		"dynatemp-range":       func(s *Sampling) { s.DynatempRange = nan },
		"xtc-threshold":        func(s *Sampling) { s.XTCThreshold = nan },
		"top-n-sigma":          func(s *Sampling) { s.TopNSigma = nan },
		"repeat-last-n":        func(s *Sampling) { s.RepeatLastN = -2 },
		"dry-penalty-last-n":   func(s *Sampling) { s.DryPenaltyLastN = 1 << 30 },
		"dry-allowed-length":   func(s *Sampling) { s.DryAllowedLength = -1 },
		"dry-base":             func(s *Sampling) { s.DryBase = nan },
		"n-probs":              func(s *Sampling) { s.NProbs = -1 },
		"min-keep":             func(s *Sampling) { s.MinKeep = -1 },
		"samplers":             func(s *Sampling) { s.Samplers = []string{"top_k", "top_q"} },
		"logit-bias":           func(s *Sampling) { s.LogitBias = map[Token]float32{-1: 1} },
		"dry-sequence-breaker": func(s *Sampling) { s.DrySequenceBreak = []string{""} },
	} {
		s := defaults()
		change(&s)
		if _, err := m.NewSampler(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestLogitsThatAreNoNumbersAreAnError(t *testing.T) {
	_, m := open(t)
	s := sampler(t, m, everything())
	for name, value := range map[string]float32{"NaN": float32(math.NaN()), "infinite": float32(math.Inf(1))} {
		logits := someLogits(1, m.VocabularySize())
		logits[77] = value
		if _, err := s.Choose(logits, 0); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	nothing := slices.Repeat([]float32{negativeInfinity}, m.VocabularySize())
	if _, err := s.Choose(nothing, 0); err == nil {
		t.Error("a token was chosen from none")
	}
	if _, err := s.Choose(make([]float32, 5), 0); err == nil {
		t.Error("logits of another model were taken")
	}
}

func TestAcceptRefusesWhatTheGrammarDoesNotAllow(t *testing.T) {
	_, m := open(t)
	s := defaults()
	s.Grammar = `root ::= "yes"`
	one := sampler(t, m, s)
	no, err := m.Tokenize("no", false, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := one.Accept(no[0]); !errors.Is(err, ErrGrammar) {
		t.Fatalf("got %v", err)
	}
	if err := errors.Join(one.Accept(2), one.Accept(2)); err != nil { // the end may come from elsewhere
		t.Fatal(err)
	}
	if err := one.Accept(-1); err == nil {
		t.Fatal("token -1 was accepted")
	}
	choice, err := one.Choose(someLogits(1, m.VocabularySize()), 0)
	if err != nil || !strings.HasPrefix("yes", strings.TrimSpace(string(m.Piece(choice.Token, false)))) {
		t.Fatalf("%q, %v", m.Piece(choice.Token, false), err)
	}
	if one.SetSurprise(float32(math.NaN())) == nil {
		t.Fatal("a surprise of NaN was taken")
	}
}

func FuzzSamplingNeverFailsOnFiniteLogits(f *testing.F) {
	f.Add(uint64(1), float32(0.8), 40, float32(0.95), float32(0.05), float32(0.9), float32(1.1), float32(2), 1)
	f.Add(uint64(2), float32(-3), -1, float32(-1), float32(7), float32(-2), float32(0.1), float32(-1), 0)
	f.Add(uint64(3), float32(1e30), 1<<30, float32(1e-30), float32(1), float32(0), float32(1e30), float32(0.1), 2)
	f.Fuzz(func(t *testing.T, seed uint64, temp float32, k int, p, minP, typical, repeat, sigma float32, mirostat int) {
		_, m := open(t)
		s := everything()
		s.Temp, s.TopK, s.TopP, s.MinP, s.TypicalP, s.RepeatPenalty, s.TopNSigma = temp, k, p, minP, typical, repeat, sigma
		s.Mirostat, s.MirostatEnt, s.MirostatLR = mirostat, minP, sigma
		one, err := m.NewSampler(s)
		if err != nil {
			return
		}
		one.Remember(someTokens(m, int(seed%1000), 40))
		choice, err := one.Choose(someLogits(seed, m.VocabularySize()), int(seed%100))
		if err == nil && !m.valid(choice.Token) {
			t.Fatalf("chose %v", choice)
		}
	})
}
