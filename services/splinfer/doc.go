// Package splinfer is Runa's inference service: it loads a GGUF model with
// llama.cpp and answers the requests that arrive on the bus, token by token, many
// at once.
//
// It owns the loaded model, the one goroutine that computes (locked to its
// thread), the queue before it, and the folder of conversations. Closing a
// connection cancels its request within one token.
//
// # How an answer is made
//
// A job waits in the queue until it gets a seat: a sequence of llama.cpp's context,
// with cells of its own. There it is a turn: its prompt is read piece by piece, then
// its tokens are drawn one by one. Each step of the engine computes one batch: the
// next token of every turn that writes, and a piece of one prompt, as large as the
// others can bear. A chosen token is judged by the hook, written into the
// conversation's journal, and only then shown.
//
// A conversation (talk) keeps its tokens in its seat until another needs that; then
// its state goes to the shelf in memory and to the disk. What neither has is read
// again from the journal, each part as it was read the first time (history), because
// llama.cpp computes single tokens by other code than many.
//
// # What a client may rely on
//
// A request is answered by any number of tokens, places in the queue and remarks,
// and then by exactly one Done or Report; texts of tokens are whole UTF-8
// characters; tokens are numbered from 0 without a gap. What an answer says does not
// depend on what else is computed, nor on whether it was interrupted, bit for bit with
// weights of 8 bits or more (F16, Q8_0). llama.cpp computes weights of fewer bits (Q4_K,
// IQ2_XXS and so on) by other code where several rows come together, so with those
// another word of nearly the same likelihood may follow.
//
// # What it must never do
//
// It must never write a person's words to a log, an error or a metric, never let
// bad input reach libllama, which aborts the process on a caller's mistake, and never
// show a token that the hook has not judged or the journal does not have.
//
// Others see from steps that the computing goroutine leaves behind (progress.go)
// whether it works; heart-beats and answers to pings come from those alone.
package splinfer
