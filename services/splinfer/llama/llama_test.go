package llama

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// shared is opened once: llama.cpp is global in a process.
var shared struct {
	once    sync.Once
	library *Library
	model   *Model
	err     error
}

func environment(t testing.TB, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		t.Fatalf("%s is not set; run the tests with `make test`, which sets it", name)
	}
	return value
}

func open(t testing.TB) (*Library, *Model) {
	t.Helper()
	dir, path := environment(t, "RUNA_LLAMA_DIR"), environment(t, "RUNA_MODEL_STORIES15M")
	shared.once.Do(func() {
		if shared.library, shared.err = Open(dir, nil); shared.err == nil {
			shared.model, shared.err = shared.library.LoadModel(path)
		}
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.library, shared.model
}

func newContext(t testing.TB, m *Model) *Context {
	t.Helper()
	c, err := m.NewContext(ContextOptions{Size: 256, Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// defaults switches every sampler off but the greedy one.
func defaults() Sampling {
	return Sampling{TopP: 1, TypicalP: 1, RepeatPenalty: 1}
}

// write answers prompt with up to n tokens and returns text and choices.
func write(t testing.TB, m *Model, c *Context, prompt string, n int, s Sampling) (string, []Choice) {
	t.Helper()
	c.Clear()
	sampler, err := m.NewSampler(s)
	if err != nil {
		t.Fatal(err)
	}
	defer sampler.Close()
	tokens, err := m.Tokenize(prompt, true, true)
	if err != nil {
		t.Fatal(err)
	}
	sampler.Remember(tokens)
	var text []byte
	var choices []Choice
	for range n {
		if err := c.Decode(tokens); err != nil {
			t.Fatal(err)
		}
		choice, err := sampler.Sample(c)
		if err != nil {
			t.Fatal(err)
		}
		if m.EndsGeneration(choice.Token) {
			break
		}
		choices = append(choices, choice)
		text = append(text, m.Piece(choice.Token, false)...)
		tokens = []Token{choice.Token}
	}
	return string(text), choices
}

func TestStructsHaveTheSizesOfTheHeader(t *testing.T) {
	for name, sizes := range map[string][2]uintptr{
		"llama_model_params":     {unsafe.Sizeof(modelParams{}), 80},
		"llama_context_params":   {unsafe.Sizeof(contextParams{}), 160},
		"context abort_callback": {unsafe.Offsetof(contextParams{}.abortCallback), 112},
		"context samplers":       {unsafe.Offsetof(contextParams{}.samplers), 136},
		"llama_batch":            {unsafe.Sizeof(batch{}), 56},
		"llama_quantize_params":  {unsafe.Sizeof(quantizeParams{}), 64},
		"llama_token_data":       {unsafe.Sizeof(tokenData{}), 12},
		"llama_token_data_array": {unsafe.Sizeof(tokenDataArray{}), 32},
		"llama_chat_message":     {unsafe.Sizeof(chatMessage{}), 16},
		"ggml_threadpool_params": {unsafe.Sizeof(threadpoolParams{}), 528},
	} {
		if sizes[0] != sizes[1] {
			t.Errorf("%s: %d, want %d", name, sizes[0], sizes[1])
		}
	}
}

func TestABICheckNamesTheFirstDifference(t *testing.T) {
	library, _ := open(t)
	if !strings.HasPrefix(library.Version(), Release) {
		t.Fatalf("version %q", library.Version())
	}
	var got probe
	*(*contextParams)(unsafe.Pointer(&got)) = expectedContextParams()
	if err := compareDefaults("x", got, expectedContextParams()); err != nil {
		t.Fatalf("equal defaults were refused: %v", err)
	}
	moved := expectedContextParams()
	moved.nUbatch = 1024
	if err := compareDefaults("llama_context_params", got, moved); err == nil || !strings.Contains(err.Error(), "byte 8") {
		t.Fatalf("a changed default gave %v", err)
	}
	got.word[20] = 1 // a field beyond our struct's 160 bytes
	if err := compareDefaults("llama_context_params", got, expectedContextParams()); err == nil || !strings.Contains(err.Error(), "byte 160") {
		t.Fatalf("a grown struct gave %v", err)
	}
}

func TestOpenNamesTheMissingLibrary(t *testing.T) {
	_, err := Open(t.TempDir(), nil)
	if err == nil || !strings.Contains(err.Error(), "libggml-base.so") {
		t.Fatalf("got %v", err)
	}
}

func TestTemperatureZeroIsDeterministic(t *testing.T) {
	_, m := open(t)
	c := newContext(t, m)
	first, choices := write(t, m, c, "Once upon a time", 40, defaults())
	again, _ := write(t, m, c, "Once upon a time", 40, defaults())
	if first != again || !strings.HasPrefix(first, ", there was a") {
		t.Fatalf("first %q, then %q", first, again)
	}
	for _, choice := range choices {
		if choice.LogProb > 1e-4 || choice.LogProb < -10 {
			t.Fatalf("log-probability %g of a greedy choice", choice.LogProb)
		}
	}
}

func TestSeedDecidesTheDraw(t *testing.T) {
	_, m := open(t)
	c := newContext(t, m)
	s := Sampling{Temp: 1, TopK: 40, TopP: 0.95, MinP: 0.05, TypicalP: 1, RepeatPenalty: 1.1, RepeatLastN: 64, Seed: 7}
	one, _ := write(t, m, c, "Once", 30, s)
	two, _ := write(t, m, c, "Once", 30, s)
	s.Seed = 8
	other, _ := write(t, m, c, "Once", 30, s)
	if one != two || one == other {
		t.Fatalf("seed 7: %q and %q, seed 8: %q", one, two, other)
	}
	for _, version := range []int{1, 2} {
		s.Mirostat, s.MirostatEnt, s.MirostatLR = version, 5, 0.1
		if text, _ := write(t, m, c, "Once", 10, s); text == "" {
			t.Fatalf("mirostat %d wrote nothing", version)
		}
	}
}

func TestLogProbIsTheSoftmaxOfTheLogits(t *testing.T) {
	logits := make([]float32, 32000)
	for i := range logits {
		logits[i] = float32(math.Sin(float64(i))) * 9
	}
	var exact float64
	for _, logit := range logits {
		exact += math.Exp(float64(logit) - 9)
	}
	if got := float64(logSumExp(logits, 9)); math.Abs(got-math.Log(exact)) > 1e-4 {
		t.Fatalf("got %g, want %g", got, math.Log(exact))
	}
	for x := float32(-20); x <= 0; x += 0.001 {
		want := math.Exp(float64(x))
		if got := float64(fastExp(x)); math.Abs(got-want)/want > 2e-5 {
			t.Fatalf("exp(%g): got %g, want %g", x, got, want)
		}
	}
}

func TestTextSurvivesTokenizing(t *testing.T) {
	_, m := open(t)
	for _, text := range []string{"", "Hello", "🙂 emoji and ümlauts", "a\nb\tc"} {
		tokens, err := m.Tokenize(text, false, false)
		if err != nil {
			t.Fatal(err)
		}
		var back []byte
		for _, token := range tokens {
			back = append(back, m.Piece(token, false)...)
		}
		if strings.TrimPrefix(string(back), " ") != text {
			t.Fatalf("%q became %q", text, back)
		}
	}
}

func TestCallersMistakesAreErrorsNotAborts(t *testing.T) {
	_, m := open(t)
	c := newContext(t, m)
	tooMany := make([]Token, c.Batch()+1)
	for name, call := range map[string]func() error{
		"no tokens":         func() error { return c.Decode(nil) },
		"too many tokens":   func() error { return c.Decode(tooMany) },
		"unknown token":     func() error { return c.Decode([]Token{Token(m.VocabularySize())}) },
		"negative token":    func() error { return c.Decode([]Token{-1}) },
		"nothing decoded":   func() error { return sampleOnce(m, c, defaults()) },
		"not a number":      func() error { s := defaults(); s.Temp = float32(math.NaN()); return sampleOnce(m, c, s) },
		"zero penalty":      func() error { s := defaults(); s.RepeatPenalty = 0; return sampleOnce(m, c, s) },
		"mirostat 3":        func() error { s := defaults(); s.Mirostat = 3; return sampleOnce(m, c, s) },
		"no threads":        func() error { _, err := m.NewContext(ContextOptions{Size: 64}); return err },
		"too small context": func() error { _, err := m.NewContext(ContextOptions{Size: 1, Threads: 1}); return err },
		"no such model":     func() error { _, err := m.library.LoadModel("/nowhere.gguf"); return err },
	} {
		if err := call(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := c.Decode(make([]Token, c.Size())); err != nil {
		t.Fatalf("a whole context: %v", err)
	}
	if err := c.Decode([]Token{1}); !errors.Is(err, ErrContextFull) {
		t.Fatalf("one token more: %v", err)
	}
}

func sampleOnce(m *Model, c *Context, s Sampling) error {
	sampler, err := m.NewSampler(s)
	if err != nil {
		return err
	}
	defer sampler.Close()
	_, err = sampler.Sample(c)
	return err
}

func TestGrammarShapesTheAnswer(t *testing.T) {
	_, m := open(t)
	c := newContext(t, m)
	s := defaults()
	s.Grammar = `root ::= "yes" | "no"`
	if text, _ := write(t, m, c, "Is it so?", 20, s); text != "yes" && text != "no" {
		t.Fatalf("got %q", text)
	}
	s.Temp, s.Seed, s.Grammar = 2, 3, "root ::= [0-9]+"
	if text, _ := write(t, m, c, "One", 5, s); strings.Trim(text, "0123456789") != "" || text == "" {
		t.Fatalf("got %q", text)
	}
}

func TestGrammarFaultsNameThePlaceAndNothingElse(t *testing.T) {
	_, m := open(t)
	secret := "meinGeheimnis"
	for grammar, want := range map[string]string{
		"root ::= \"a\"\n" + secret + " = x":           "line 2, column 15: expecting ::=",
		"x ::= \"a\"":                                  "no rule named root",
		"root ::= " + secret:                           "undefined rule",
		"root ::= root \"a\"":                          "begins with itself",
		"root ::= " + strings.Repeat("(", 200):         "nested over 128",
		strings.Repeat("#", maxGrammarBytes+1):         "at most",
		"root ::= \"a" + "\x00":                        "UTF-8",
		"root ::= \"" + secret:                         "unexpected end",
		"root ::= [a-z" + secret:                       "unexpected end",
		"root ::= \"" + strings.Repeat("(", 200) + ")": "unexpected end",
	} {
		s := defaults()
		s.Grammar = grammar
		_, err := m.NewSampler(s)
		if !errors.Is(err, ErrGrammar) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), secret) {
			t.Errorf("%.40q gave %v, want %q", grammar, err, want)
		}
	}
}

func TestAFaultyGrammarPrintsNothing(t *testing.T) {
	_, m := open(t)
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	saved, err := unix.Dup(2)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(saved)
	if err := unix.Dup3(int(file.Fd()), 2, 0); err != nil {
		t.Fatal(err)
	}
	_, faulty := m.NewSampler(Sampling{RepeatPenalty: 1, Grammar: "root = meinGeheimnis"})
	os.Stderr.WriteString("after")
	if err := unix.Dup3(saved, 2, 0); err != nil {
		t.Fatal(err)
	}
	printed, err := os.ReadFile(file.Name())
	if faulty == nil || err != nil || string(printed) != "after" {
		t.Fatalf("%v, %v, printed %q", faulty, err, printed)
	}
}

func TestGrammarWithoutAWayOutIsAnError(t *testing.T) {
	_, m := open(t)
	c := newContext(t, m)
	if err := c.Decode([]Token{1}); err != nil {
		t.Fatal(err)
	}
	s := defaults()
	s.Grammar = "root ::= \"\\x00\""
	if err := sampleOnce(m, c, s); err == nil {
		t.Fatal("a grammar that only allows a zero byte found a token")
	}
}

func TestAbortStopsADecodeAndResumeLetsItGoOn(t *testing.T) {
	_, m := open(t)
	c := newContext(t, m)
	c.Abort()
	if err := c.Decode(make([]Token, 200)); !errors.Is(err, ErrAborted) {
		t.Fatalf("got %v", err)
	}
	c.Resume()
	c.Clear()
	if err := c.Decode(make([]Token, 200)); err != nil {
		t.Fatal(err)
	}
}

func TestAbortReachesARunningDecode(t *testing.T) {
	_, m := open(t)
	c := newContext(t, m)
	timer := time.AfterFunc(2*time.Millisecond, c.Abort)
	defer timer.Stop()
	for {
		if err := c.Decode(make([]Token, c.Size())); errors.Is(err, ErrAborted) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
		c.Clear()
	}
}

func TestModelWithoutTemplateContinuesTheLastMessage(t *testing.T) {
	_, m := open(t)
	text, err := m.FormatChat([]Message{{"system", "x"}, {"user", "Once"}})
	if err != nil || text != "Once" || m.HasChatTemplate() {
		t.Fatalf("got %q, %v", text, err)
	}
	known := *m
	known.template = "{% for message in messages %}{{'<|im_start|>' + message['role']}}{% endfor %}"
	text, err = known.FormatChat([]Message{{"user", strings.Repeat("Hi ", 1000)}})
	if err != nil || !strings.HasPrefix(text, "<|im_start|>user\nHi ") || !strings.HasSuffix(text, "<|im_start|>assistant\n") {
		t.Fatalf("got %.80q, %v", text, err)
	}
	known.template = "unheard of"
	if _, err := known.FormatChat([]Message{{"user", "Hi"}}); !errors.Is(err, ErrTemplate) {
		t.Fatalf("an unknown template gave %v", err)
	}
}

func TestTwoThreadsWriteTheSameWords(t *testing.T) {
	_, m := open(t)
	one := newContext(t, m)
	two, err := m.NewContext(ContextOptions{Size: 256, Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer two.Close()
	a, _ := write(t, m, one, "Once upon a time", 8, defaults())
	b, _ := write(t, m, two, "Once upon a time", 8, defaults())
	if a != b || a == "" {
		t.Fatalf("one thread %q, two threads %q", a, b)
	}
}

func BenchmarkTokenAfterDecode(b *testing.B) {
	_, m := open(b)
	c := newContext(b, m)
	if err := c.Decode([]Token{1}); err != nil {
		b.Fatal(err)
	}
	for _, temp := range []float32{0, 0.8} {
		b.Run(fmt.Sprintf("temp=%g", temp), func(b *testing.B) {
			s := Sampling{Temp: temp, TopK: 40, TopP: 0.95, MinP: 0.05, TypicalP: 1, RepeatPenalty: 1}
			sampler, err := m.NewSampler(s)
			if err != nil {
				b.Fatal(err)
			}
			defer sampler.Close()
			for b.Loop() {
				if _, err := sampler.Sample(c); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
