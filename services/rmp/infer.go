package rmp

// Codes of Report that splinfer answers with.
const (
	CodePromptTooLong    = "prompt.too_long"
	CodeParameterUnknown = "parameter.unknown"
	CodeParameterInvalid = "parameter.invalid"
	CodeModelUnknown     = "model.unknown"
	CodeModelInvalid     = "model.invalid"
	CodeBusy             = "busy"
	CodeInternal         = "internal"
)

// CodeExpired is the code of Report for a request that came after its deadline.
const CodeExpired = "request.expired"

// Reasons of Done.
const (
	ReasonStop   = "stop"   // the model ended its text
	ReasonLength = "length" // n-predict or the context was used up
	ReasonCancel = "cancel" // the asker went away
)

// Message is one turn of a conversation.
type Message struct {
	Role    string `msgpack:"role"` // system, user or assistant
	Content string `msgpack:"content"`
}

// Generate (schema 16) asks for the continuation of a conversation or a text.
// Exactly one of Messages and Prompt is set.
type Generate struct {
	Model    string    `msgpack:"model"`    // empty: the default model
	Messages []Message `msgpack:"messages"` // the model's chat template is applied
	Prompt   string    `msgpack:"prompt"`   // continued as it is
	// Parameters go by llama.cpp's own names (temp, top-k, top-p, min-p,
	// repeat-penalty, repeat-last-n, seed, n-predict, mirostat, mirostat-lr,
	// mirostat-ent, grammar, ...); an unknown one is an error.
	Parameters map[string]any `msgpack:"parameters"`
}

// Token (schema 17) is one token of an answer as it is sampled.
type Token struct {
	Index   uint32  `msgpack:"index"` // from 0, in the order of the answer
	ID      int32   `msgpack:"id"`    // in the model's vocabulary
	Text    string  `msgpack:"text"`  // whole UTF-8 characters; may be empty
	LogProb float32 `msgpack:"logprob"`
}

// Done (schema 18) ends an answer.
type Done struct {
	Reason       string  `msgpack:"reason"`
	PromptTokens uint32  `msgpack:"prompt_tokens"`
	Tokens       uint32  `msgpack:"tokens"`
	PrefillMs    float64 `msgpack:"prefill_ms"`
	DecodeMs     float64 `msgpack:"decode_ms"`
}

// ModelsRequest (schema 19) asks which models there are.
type ModelsRequest struct{}

// Models (schema 20) lists them.
type Models struct {
	Models  []Model `msgpack:"models"`
	Default string  `msgpack:"default"`
}

// Model is one model file.
type Model struct {
	Name         string `msgpack:"name"`
	Architecture string `msgpack:"architecture"`
	Bytes        uint64 `msgpack:"bytes"`         // size of the file
	ContextTrain uint32 `msgpack:"context_train"` // tokens of context it was trained with
	Loaded       bool   `msgpack:"loaded"`
	Problem      string `msgpack:"problem"` // why it cannot be used, or empty
}

// Report (schema 10) answers a request that failed. It never carries a person's words.
type Report struct {
	Code    string `msgpack:"code"` // dotted, for programs
	Message string `msgpack:"message"`
	Hint    string `msgpack:"hint,omitempty"` // what a person can do about it
}
