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

	CodePersonaUnknown      = "persona.unknown"
	CodeConversationUnknown = "conversation.unknown"
	CodeConversationBusy    = "conversation.busy" // another request goes on with it
	CodeConversationDamaged = "conversation.damaged"
	CodeDiskFull            = "disk.full"
	CodeHookFailed          = "hook.failed" // nobody could judge the answer, so nobody gets it
)

// CodeExpired is the code of Report for a request that came after its deadline.
const CodeExpired = "request.expired"

// Reasons of Done.
const (
	ReasonStop   = "stop"   // the model ended its text
	ReasonLength = "length" // n-predict or the context was used up
	ReasonCancel = "cancel" // the asker went away
	ReasonHook   = "hook"   // the token hook ended the answer
)

// Priorities of Generate. Who waits for an answer goes before who does not.
const (
	PriorityPerson     = "person" // the default
	PriorityBackground = "background"
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

	// Conversation makes the answer part of a conversation that splinfer keeps:
	// Messages or Prompt are then only what is new in it. A name is of
	// [a-zA-Z0-9_-]{1,64}. With neither Messages nor Prompt the answer that was
	// interrupted goes on; its tokens are given again from index From on.
	Conversation string `msgpack:"conversation,omitempty"`
	From         uint32 `msgpack:"from,omitempty"`

	Persona  string `msgpack:"persona,omitempty"`  // its prompt stands first, its parameters are defaults
	Priority string `msgpack:"priority,omitempty"` // PriorityPerson or PriorityBackground
}

// Queued (schema 22) tells who waits for an answer how many are before them. It is sent
// when a request has to wait and each time that changes.
type Queued struct {
	Position uint32 `msgpack:"position"` // 1: the next
	Waiting  uint32 `msgpack:"waiting"`  // requests in all that wait
}

// Notice (schema 23) is a plain remark for a person while they wait, or what is
// said in place of an answer that the token hook has ended.
type Notice struct {
	Code string `msgpack:"code"` // one of the notices below
	Text string `msgpack:"text"`
}

// Codes of Notice.
const (
	NoticeLoading = "model.loading" // the model is being loaded
	NoticeReading = "reading"       // the conversation is being read again
	NoticeRefusal = "refusal"       // the token hook has ended the answer: its words
)

// Token (schema 17) is one token of an answer as it is sampled.
type Token struct {
	Index   uint32  `msgpack:"index"` // from 0, in the order of the answer
	ID      int32   `msgpack:"id"`    // in the model's vocabulary
	Text    string  `msgpack:"text"`  // whole UTF-8 characters; may be empty
	LogProb float32 `msgpack:"logprob"`

	Top []TopToken `msgpack:"top,omitempty"` // the likeliest ones, as many as n-probs says
}

// TopToken is one of the likeliest tokens at a place of an answer.
type TopToken struct {
	ID      int32   `msgpack:"id"`
	Text    string  `msgpack:"text"`
	LogProb float32 `msgpack:"logprob"`
}

// Done (schema 18) ends an answer.
type Done struct {
	Reason       string  `msgpack:"reason"`
	PromptTokens uint32  `msgpack:"prompt_tokens"`
	Tokens       uint32  `msgpack:"tokens"`
	PrefillMs    float64 `msgpack:"prefill_ms"`
	DecodeMs     float64 `msgpack:"decode_ms"`

	// Text is what was held back of the last token until it was clear that the
	// answer ends there: it belongs behind the tokens' texts.
	Text string `msgpack:"text,omitempty"`

	// CachedTokens are those of the conversation before the answer that did not
	// have to be read again.
	CachedTokens uint32 `msgpack:"cached_tokens"`
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

	EmbedsOnly bool `msgpack:"embeds_only,omitempty"` // it makes vectors of text and can't generate
	Adapter    bool `msgpack:"adapter,omitempty"`     // a LoRA adapter, for the parameter lora
	Recurrent  bool `msgpack:"recurrent,omitempty"`   // its memory does not grow with a conversation
}

// EmbedRequest (schema 24) asks for the vectors of texts.
type EmbedRequest struct {
	Model string   `msgpack:"model"` // empty: the first that embeds
	Texts []string `msgpack:"texts"`
}

// Embeddings (schema 25) are as many vectors of length 1 as there were texts.
type Embeddings struct {
	Model   string      `msgpack:"model"`
	Vectors [][]float32 `msgpack:"vectors"`
}

// Actions of ModelAction.
const (
	ModelLoad       = "load"       // make Name the model that is loaded
	ModelUnload     = "unload"     // give its memory back
	ModelAdd        = "add"        // copy Source from the import folder, as Name if that is not empty
	ModelRequantize = "requantize" // write Name anew with weights of Type, as Name-Type
	ModelRemove     = "remove"     // delete its file
)

// ModelAction (schema 26) changes which models there are or are loaded. It is answered by
// any number of Progress and then by Models or a Report.
type ModelAction struct {
	Action string `msgpack:"action"`
	Name   string `msgpack:"name,omitempty"`
	Source string `msgpack:"source,omitempty"` // a file's name within the import folder
	Type   string `msgpack:"type,omitempty"`   // llama.cpp's name, such as q4_0
}

// Progress (schema 27) is how far a long action is.
type Progress struct {
	Part float64 `msgpack:"part"` // 0 to 1
	Text string  `msgpack:"text"` // what is being done
}

// StatsRequest (schema 28) asks how busy inference is.
type StatsRequest struct{}

// Stats (schema 29) are counts and speeds, never words.
type Stats struct {
	Model            string  `msgpack:"model"` // loaded; empty: none
	Answering        uint32  `msgpack:"answering"`
	Waiting          uint32  `msgpack:"waiting"`
	Seats            uint32  `msgpack:"seats"`              // conversations that are computed at once
	KVTokens         uint64  `msgpack:"kv_tokens"`          // tokens in memory
	KVSize           uint64  `msgpack:"kv_size"`            // tokens there is room for
	SavedBytes       uint64  `msgpack:"saved_bytes"`        // states of conversations kept in memory
	TokensPerSecond  float64 `msgpack:"tokens_per_second"`  // written, over the last 10 s
	PrefillPerSecond float64 `msgpack:"prefill_per_second"` // read, over the last 10 s
	Tokens           uint64  `msgpack:"tokens"`             // written since the start
	Threads          uint32  `msgpack:"threads"`
	Conversations    uint32  `msgpack:"conversations"` // that are kept on the disk
}

// ConversationsRequest (schema 30) asks which conversations are kept, after
// deleting the one named by Remove.
type ConversationsRequest struct {
	Remove string `msgpack:"remove,omitempty"`
}

// Conversations (schema 31) lists them.
type Conversations struct {
	Conversations []Conversation `msgpack:"conversations"`
}

// Conversation is one that is kept.
type Conversation struct {
	ID         string `msgpack:"id"`
	Bytes      uint64 `msgpack:"bytes"`       // of its tokens on the disk
	StateBytes uint64 `msgpack:"state_bytes"` // of the model's memory of it on the disk
	ModifiedMs int64  `msgpack:"modified_ms"` // since 1970
	Unfinished bool   `msgpack:"unfinished"`  // its last answer was interrupted
}

// Report (schema 10) answers a request that failed. It never carries a person's words.
type Report struct {
	Code    string `msgpack:"code"` // dotted, for programs
	Message string `msgpack:"message"`
	Hint    string `msgpack:"hint,omitempty"` // what a person can do about it
}
