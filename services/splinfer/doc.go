// Package splinfer is Runa's inference service: it loads a GGUF model with
// llama.cpp and answers the requests that arrive on the bus, token by token.
//
// It owns the loaded model, the one goroutine that computes (locked to its
// thread), and the queue before it. Requests are answered one after another in
// the order they arrive; a queue that is full answers "busy" at once. Closing a
// connection cancels its request within one token.
//
// What a client may rely on: a request is answered by any number of tokens and
// then by exactly one Done or Report; texts of tokens are whole UTF-8
// characters; tokens are numbered from 0 without a gap.
//
// Others see from steps that the computing goroutine leaves behind (progress.go)
// whether it works; heart-beats and answers to pings come from those alone.
//
// The package must never write a person's words to a log, an error or a
// metric, and must never let bad input reach libllama, which aborts the
// process on a caller's mistake.
package splinfer
