// Package llama binds the C interface of llama.cpp v0.5.0 (llama.h of that
// release) without cgo: the shared libraries are opened at run time with
// purego.
//
// It owns every pointer that crosses into C: a [Library], its [Model]s, their
// [Context]s and [Sampler]s are freed by Close and by nobody else. libllama
// aborts the whole process when its caller makes a mistake, so every argument
// is checked here before the call, and a mistake becomes a Go error.
//
// A Context and its Samplers belong to one goroutine that is locked to its
// operating-system thread; only [Context.Abort] and [Context.Resume] may be
// called from elsewhere. A Model's vocabulary may be read from anywhere.
//
// # What a reader may rely on
//
// With [ContextOptions.Apart] a conversation's logits are the same, bit for bit,
// whether it is computed alone or beside others, after [Context.Copy] of a prefix
// or reading it, and after [Context.RestoreState] or without a break. One thing decides
// about last bits: llama.cpp computes a single token by other code than two or more.
// So a prompt gives the same logits however it is cut if no piece has one token
// ([Pieces] sees to that), and an answer read again from its tokens is the one that
// was written if it is read as it was written, token by token. (With weights that
// are not quantised to 8 bits or fewer, conversations of one token each in one batch
// are computed by that other code too, and may differ from one alone in last bits.
// Weights of fewer than 8 bits, Q4_K or IQ2_XXS, depend on it more: measured with TinyLlama
// IQ2_XXS, rows from 4 on and pieces that are no multiple of 4 differ.)
//
// A [Sampler] draws by seed and position alone.
//
// Sequences that are computed together should have numbers that follow one
// another: where they are apart llama.cpp makes one pass over the weights for each
// run of numbers.
//
// The package must never log or return text of a prompt, an answer or a
// grammar: what llama.cpp prints about those is caught and dropped.
package llama
