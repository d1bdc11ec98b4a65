package hook

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"unicode"
	"unicode/utf8"
)

// Bounds of a verdict.
const (
	MaxRule = 64      // bytes of Rule
	MaxText = 4 << 10 // bytes of Text
	MaxBias = 32 << 10
)

// Rules of the verdicts that this package makes itself.
const (
	RulePanic   = "hook.panic"     // a hook panicked; the place in the code follows behind a colon
	RuleInvalid = "hook.invalid"   // a verdict did not pass Check
	RuleNoLater = "hook.no-later"  // a hook left a token open and has no channel for its verdict
	RuleOrder   = "hook.too-early" // Judge was called before the verdict on the token before was taken
)

func stop(rule string) Verdict { return Verdict{Action: Stop, Rule: rule} }

var names = [...]string{Allow: "allow", BiasNext: "bias", Whisper: "whisper", Mask: "mask", Hold: "hold", Stop: "stop"}

func (a Action) String() string {
	if int(a) < len(names) {
		return names[a]
	}
	return "unknown"
}

// Check says what is wrong with a verdict: an unknown action, an id that is none
// of a vocabulary of that many tokens, a text or a rule that is too long or has
// characters it must not have. The error quotes none of it. llama.cpp ends the
// process on an id beyond the vocabulary, so who follows a verdict asks first.
func (v Verdict) Check(vocabulary int) error {
	if err := checkRule(v.Rule); err != nil {
		return err
	}
	switch v.Action {
	case Allow, Hold:
		return nil
	case Stop:
		return checkText(v.Text)
	case Whisper:
		if v.Text == "" {
			return errors.New("whisper: the text is empty")
		}
		return checkText(v.Text)
	case Mask:
		if v.Mask < 0 || int(v.Mask) >= vocabulary {
			return errors.New("mask: no such token")
		}
		return nil
	case BiasNext:
		return checkBias(v.Bias, vocabulary)
	}
	return fmt.Errorf("action %d is not known", v.Action)
}

func checkRule(rule string) error {
	if len(rule) > MaxRule {
		return fmt.Errorf("rule: %d bytes, at most %d are taken", len(rule), MaxRule)
	}
	for _, c := range []byte(rule) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case c == '.', c == '_', c == ':', c == '/', c == '-':
		default:
			return errors.New("rule: it has a character that names of rules do not have")
		}
	}
	return nil
}

// checkText keeps what could steer a terminal from a person's screen.
func checkText(text string) error {
	if len(text) > MaxText {
		return fmt.Errorf("text: %d bytes, at most %d are taken", len(text), MaxText)
	}
	if !utf8.ValidString(text) {
		return errors.New("text: it is not UTF-8")
	}
	for _, r := range text {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return errors.New("text: it has a control character")
		}
	}
	return nil
}

func checkBias(all []Bias, vocabulary int) error {
	if len(all) > MaxBias {
		return fmt.Errorf("bias: %d tokens, at most %d are taken", len(all), MaxBias)
	}
	for _, b := range all {
		if b.Token < 0 || int(b.Token) >= vocabulary {
			return errors.New("bias: no such token")
		}
		// Plus infinity minus the infinity of a token that another hook forbids is no number.
		if value := float64(b.Bias); math.IsNaN(value) || math.IsInf(value, 1) {
			return errors.New("bias: it is no number that can be added")
		}
	}
	return nil
}

// anyVocabulary is for checks that can't know the model.
const anyVocabulary = math.MaxInt32

// sound is v, or a Stop if v can't be meant.
func (v Verdict) sound() Verdict {
	if v.Action == Allow && v.Rule == "" { // almost every token
		return Verdict{}
	}
	if v.Check(anyVocabulary) != nil {
		return stop(RuleInvalid)
	}
	return v
}

// final is sound for what came over Later, where a Hold can't be meant, and on
// a prompt no Mask.
func (v Verdict) final(onPrompt bool) Verdict {
	if v.Action == Hold || onPrompt && v.Action == Mask {
		return stop(RuleInvalid)
	}
	return v.sound()
}

// stricter is the one of two sound verdicts that counts, the first if both want
// the same. Two biases both count, and a flag is not lost to one who just allows.
func stricter(a, b Verdict) Verdict {
	switch {
	case b.Action > a.Action:
		return b
	case b.Action < a.Action:
		return a
	case a.Action == Allow && a.Rule == "":
		return b
	case a.Action == BiasNext:
		a.Bias = slices.Concat(a.Bias, b.Bias)
	}
	return a
}
