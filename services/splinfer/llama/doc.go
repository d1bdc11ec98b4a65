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
// The package must never log or return text of a prompt, an answer or a
// grammar: what llama.cpp prints about those is caught and dropped.
package llama
