// Package embed turns texts into vectors with a small model of its own, beside the
// model that answers.
//
// It owns that model and what llama.cpp needs to compute with it, until Close. An
// [Embedder] belongs to one goroutine that is locked to its thread; it starts no
// other. A [Job] is done in steps of one call to llama.cpp each, so that the
// owner can go on with conversations in between.
//
// # What a reader may rely on
//
// A text's vector is the same, bit for bit, whatever other texts are asked for with it
// and in which order: each text is computed by a call of its own, in which nothing but its
// number of tokens decides how. Texts in one call would not be exact, because llama.cpp
// looks from each token at all tokens of the call, leaves those of other texts out by a
// factor of zero, and groups its sums by where in the call a text stands.
//
// Nor would they be faster on the whole: that looking grows with the square of the
// call's tokens. Two texts of 256 tokens take 114 ms in one call and 105 in two (MiniLM
// Q8_0, one thread with AVX-512). Only short texts lose: one of 8 tokens takes 1.7 ms
// alone and 1.2 among others. BenchmarkEmbed compares both.
//
// Vectors have the length 1, so that the cosine of two is the sum of their products.
//
// # What it must never do
//
// No error and no log record has words of a text in it: a text is named by its index.
package embed
