// Package model makes the model files that an image carries, from weights that
// a registry ships: a catalogue of two, each with its licence, its source and the
// hash of the finished file, and a writer of tiny models with random weights for tests.
//
// A finished model is a GGUF file that libllama loads. It is kept in the
// cache and refused, whatever its sources were, if its bytes aren't those
// of the catalogue. The package never runs a model.
package model
