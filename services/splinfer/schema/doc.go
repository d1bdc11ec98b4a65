// Package schema turns a JSON schema into a grammar that llama.cpp makes a model
// follow (Grammar), and reads a person's own grammar before llama.cpp does
// (CheckGrammar). It owns what of JSON Schema is understood and the bounds of a
// grammar. It must never call llama.cpp, and must never let a grammar pass that
// can end, hang or fill the process: llama.cpp 0.5.0 does so with some.
//
// # What a grammar promises
//
// Every text that a generated grammar lets through is JSON and fits the schema.
// The reverse is narrower, so that a model is not led astray:
//
//   - Properties come in the schema's order, each at most once, and only those
//     that are named, unless additionalProperties says otherwise. (A schema of type
//     object that names none lets any through.)
//   - prefixItems without items ends the array; without minItems all of them are there.
//   - Numbers have at most 16 digits before the point, 16 behind it and 3 in the
//     exponent; between bounds they have no exponent.
//   - White space is at most one blank, or one line break with up to 20 blanks,
//     where JSON allows it, and none before or after.
//
// One exception: oneOf is read as anyOf, so a text may fit two of its schemas.
//
// # What is understood (draft 2020-12)
//
// true and false as schemas; type, enum, const; properties, required,
// additionalProperties, minProperties and maxProperties of objects without properties; items,
// prefixItems (and the older list of items), minItems, maxItems; minLength, maxLength, pattern,
// format date, time, date-time and uuid; minimum, maximum, exclusiveMinimum,
// exclusiveMaximum; anyOf, oneOf, allOf; $ref to a place in the same document, also in a
// circle. Titles, descriptions, defaults and the like are passed over. Everything
// else is an error that names the place.
package schema

import "errors"

// Bounds of a schema and of a grammar. Those of a grammar also hold for the
// ones that Grammar makes.
const (
	MaxSchemaBytes  = 64 << 10
	MaxSchemaDepth  = 64 // of lists and objects in each other
	MaxGrammarBytes = 64 << 10
	MaxRules        = 4096
	MaxNesting      = 64   // of brackets and repetitions in each other
	MaxRepetitions  = 1999 // llama.cpp's own bound, less one
)

// ErrSchema and ErrGrammar are wrapped by what is wrong with a schema or a
// grammar, as opposed to with the machine.
var (
	ErrSchema  = errors.New("json-schema")
	ErrGrammar = errors.New("grammar")
)
