package hook

import "errors"

// ErrGone means that nobody is there (any more) who could judge: the judge can't
// be reached, has died, talks nonsense or is too late. Nothing may be shown then.
var ErrGone = errors.New("token hook is gone")

// A Hook judges answers. Its methods and those of its sessions are called by
// splinfer's computing goroutine: they must not wait for anybody. One call is
// made at a time, but sessions of several answers live side by side.
type Hook interface {
	// Begin tells of an answer before its first token. After an error the answer
	// must not begin. Otherwise the verdict is on the prompt:
	//
	//   Allow, Whisper, BiasNext  the answer may begin
	//   Stop                      it is refused
	//   Hold                      the verdict comes over Later; until then nothing is
	//                             shown and Judge is not called. A Sidecar always says
	//                             this first, for it does not wait.
	//
	// A Mask is not among them and counts as a Stop, also over Later. End must be called in each case without an error.
	Begin(Answer) (Session, Verdict, error)
}

// A Session judges one answer.
type Session interface {
	// Judge looks at a token before anything of it leaves the process. If decided is
	// false, or the verdict is Hold, the verdict comes over Later: until then the
	// token is not shown and Judge not called again.
	Judge(Token) (v Verdict, decided bool)

	// Later is always the same channel, nil for a hook that always decides at once.
	// It gives exactly one verdict, never a Hold, for each that was left open. When
	// it is closed before End, the hook is gone: the answer is to be stopped
	// with nothing more shown (Cause says why).
	Later() <-chan Verdict

	// End says that the answer is over, for a reason as in rmp.Done. It may be called
	// by any goroutine, at any time, again: only the first call counts. Later gives no
	// more verdicts after it and is closed (or nil), so who waits there is let go.
	End(reason string)
}

// Answer is what a hook learns of an answer when it begins.
type Answer struct {
	Trace        [16]byte // of the request
	Conversation string   // empty: the answer is part of none
	Persona      string   // empty: none
	Prompt       []int32  // all tokens that stand before the answer; valid during Begin
	// Piece gives the bytes of a token, and nil for one it does not know. It may be
	// called during Begin and Judge only. Behind a Sidecar it knows the tokens of the prompt.
	Piece func(int32) []byte
}

// Token is one token that the model has chosen and nobody has seen. Piece is
// valid during Judge only.
type Token struct {
	Index   int // in the answer, from 0
	ID      int32
	Piece   []byte  // its bytes, maybe a part of a character
	Text    string  // whole characters that would be shown with it, may be empty
	LogProb float32 // natural logarithm, the model's own
}

// Action is what is to become of a token.
type Action uint8

// The actions. The strictest that anybody wants is done:
// Stop > Hold > Mask > Whisper > BiasNext > Allow.
const (
	Allow    Action = iota // it is shown; with a Rule: and the log tells of it (a flag)
	BiasNext               // it is shown, and Verdict.Bias counts for the choice of the next one
	Whisper                // it is shown, and Verdict.Text is put before the model, marked as the system's
	Mask                   // Verdict.Mask is shown, and kept, in its place
	Hold                   // it waits for a verdict that comes over Later, as long as that takes
	Stop                   // it is not shown and the answer ends; Verdict.Text is said instead
)

// Bias is added to the logit of a token. Minus infinity forbids the token.
type Bias struct {
	Token int32
	Bias  float32
}

// Verdict is what a hook wants. The zero value allows. Fields that do not belong
// to the action are not looked at.
type Verdict struct {
	Action Action
	Mask   int32  // Mask: the token put in its place
	Text   string // Stop: the refusal, empty for the usual one; Whisper: the line
	Bias   []Bias // BiasNext: at most MaxBias; those of one token add up
	Rule   string // what decided, for the log: a name of at most MaxRule of [a-zA-Z0-9._:/-]
}
