// Package loadable says from a GGUF file's header whether llama.cpp can load the
// model without harm, and what memory that takes.
//
// llama.cpp answers many faults of a file with an error, but not all: it ends the
// process (GGML_ASSERT), divides by zero, reads beyond its buffers or never comes back where
// it trusts a header. [Check] refuses such files first, with the key or the
// tensor that is wrong. It was written against llama.cpp v0.5.0, the release that
// package llama binds; each rule says what would happen without it.
//
// # What a caller may rely on
//
// Nothing is loaded: the header alone is read, and memory stays within a small
// multiple of its size. Models of the architectures llama, bert, rwkv6 and rwkv7 are
// checked tensor by tensor. Of others the general rules hold: those of the
// container, the hyper-parameters that all have, the vocabulary.
//
// # What it can't see
//
// The weights. A model of damaged weights loads and says nonsense.
package loadable
