// Package persona reads persona files: YAML front matter that shapes how an
// answer is written, and below it the prompt that says who answers. It owns the
// keys of the front matter and their bounds, and tells every mistake with file,
// line and column. It must never know llama.cpp's parameters by heart (Verify
// lets the engine check them), and a bad file must never hide a good one.
//
//	---
//	persona: plain-helper
//	temperature: 0.7
//	tags: [general]
//	access: [anna]
//	parameters: {top-k: 40, stop: ["User:"]}
//	---
//	You are a helpful assistant.
package persona

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"runa/services/hint"
)

// Bounds of a persona file. A prompt is read again by the model for each
// conversation that can't share it, so it should be far shorter than it may be.
const (
	MaxBytes       = 64 << 10 // of a file
	MaxFrontMatter = 16 << 10 // bytes between the two ---
	MaxPrompt      = 32 << 10 // bytes
	MaxName        = 64       // bytes of a name, a tag or a user
	MaxTags        = 32
	MaxUsers       = 256
	MaxParameters  = 64
	MaxText        = 8 << 10 // bytes of one parameter's text
	MaxTexts       = 64      // in one parameter's list
)

// Persona is one persona file.
type Persona struct {
	Name   string   // by which it is asked for: the key persona, or the file's name without .md
	File   string   // the file it was read from, for messages
	Tags   []string // what it is for, for lists of personas
	Access []string // the users who may use it; nil: everybody, none: nobody
	Prompt string   // the text below the front matter, without blank lines around it

	// Parameters are by llama.cpp's own names, those of the keys of their own
	// (temperature is temp) among them. A value is int64, float64, bool, string
	// or []string.
	Parameters map[string]any

	places map[string]place // where each parameter stands
}

type place struct{ line, column int }

// Allows says whether a user may use the persona.
func (p Persona) Allows(user string) bool {
	return p.Access == nil || slices.Contains(p.Access, user)
}

// Verify gives each parameter to check, in the order of the file, and returns
// what it refuses with file, line and column; hints are kept. The engine, which
// knows the parameters of this version of llama.cpp, calls it once after Load.
func (p Persona) Verify(check func(name string, value any) error) error {
	names := make([]string, 0, len(p.Parameters))
	for name := range p.Parameters {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		at, bt := p.places[a], p.places[b]
		return cmp.Or(cmp.Compare(at.line, bt.line), cmp.Compare(at.column, bt.column), cmp.Compare(a, b))
	})
	var errs []error
	for _, name := range names {
		if err := check(name, p.Parameters[name]); err != nil {
			at := p.places[name]
			located := fmt.Errorf("%s:%d:%d: %w", p.File, at.line, at.column, err)
			errs = append(errs, located)
		}
	}
	return errors.Join(errs...)
}

// hinted attaches advice to an error, if there is any.
func hinted(err error, advice string) error {
	if advice == "" {
		return err
	}
	return hint.New(err, "%s", advice)
}
