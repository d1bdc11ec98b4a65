package rmp

// The token hook: splinfer asks, over a connection that all its answers share,
// somebody who judges each token before it leaves splinfer. For each answer
//
//	splinfer            judge
//	HookBegin       ->          the prompt
//	                <-  HookVerdict, Index HookPrompt
//	HookToken       ->          a token; the next one only after the verdict
//	                <-  HookVerdict, the token's Index
//	HookEnd         ->          at any time, also while a verdict is awaited
//	                <-  HookEnd, for that answer nothing follows
//
// A verdict of HookHold is followed by one more for the same index. A judge that
// sends HookEnd without having got one can't judge the answer any more.

// HookPrompt is the Index of a verdict on the prompt.
const HookPrompt = -1

// Actions of HookVerdict, from the mildest to the strictest.
const (
	HookAllow   = "allow"
	HookBias    = "bias"
	HookWhisper = "whisper"
	HookMask    = "mask"
	HookHold    = "hold"
	HookStop    = "stop"
)

// HookBegin (schema 128) begins an answer and gives its prompt. The frame's
// trace id is that of the request.
type HookBegin struct {
	Answer       uint64 `msgpack:"answer"` // its number on this connection, each greater than the one before, from 1
	Conversation string `msgpack:"conversation,omitempty"`
	Persona      string `msgpack:"persona,omitempty"`
	Prompt       []byte `msgpack:"prompt"` // ids of its tokens, 4 bytes each, big-endian
	Text         []byte `msgpack:"text"`   // their bytes one after another
	Ends         []byte `msgpack:"ends"`   // where each one's bytes end in Text, 4 bytes each, big-endian
}

// HookToken (schema 129) is a token to be judged.
type HookToken struct {
	Answer  uint64  `msgpack:"answer"`
	Index   uint32  `msgpack:"index"` // in the answer
	ID      int32   `msgpack:"id"`
	Piece   []byte  `msgpack:"piece"` // the token's bytes
	Text    string  `msgpack:"text"`  // whole characters that would be shown with it, may be empty
	LogProb float32 `msgpack:"logprob"`
}

// HookVerdict (schema 130) is what the judge says of the prompt or a token.
type HookVerdict struct {
	Answer uint64       `msgpack:"answer"`
	Index  int64        `msgpack:"index"`  // of the token, or HookPrompt
	Action string       `msgpack:"action"` // one of the above
	Mask   int64        `msgpack:"mask,omitempty"`
	Text   string       `msgpack:"text,omitempty"`
	Bias   []HookWeight `msgpack:"bias,omitempty"`
	Rule   string       `msgpack:"rule,omitempty"` // a name for the log, never words
}

// HookWeight is what is added to the logit of one token, for the next choice only.
type HookWeight struct {
	Token int64   `msgpack:"token"`
	Bias  float32 `msgpack:"bias"`
}

// HookEnd (schema 131) ends an answer; see above for who sends it when.
type HookEnd struct {
	Answer uint64 `msgpack:"answer"`
	Reason string `msgpack:"reason,omitempty"` // one of the reasons of Done, or a plain word; never a person's
}
