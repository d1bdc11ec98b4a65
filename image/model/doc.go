// Package model makes the model files that an image carries, from weights that
// a registry ships: a catalogue of three, each with its licence, its source and the
// hash of the finished file. Two chat, the third embeds.
//
// A finished model is a GGUF file that libllama loads. It is kept in the
// cache and refused, whatever its sources were, if its bytes aren't those
// of the catalogue. The package never runs a model.
package model
