package embed

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"runa/services/gguf/loadable"
	"runa/services/hint"
	"runa/services/splinfer/llama"
)

// ErrModel says that a sound model makes no vector of a text.
var ErrModel = errors.New("not a model that embeds text")

// Options shape an Embedder; all have defaults.
type Options struct {
	Threads int // that compute, default 1
	Batch   int // most tokens computed at once, so also of one text; default 512, at least 8

	// Progress, if set, is called before each call into C after Open, with the
	// number of tokens it computes: 0 for one that only reads a text.
	Progress func(tokens int)
}

const defaultBatch = 512

// Embedder is a loaded model that makes vectors of texts.
type Embedder struct {
	name     string
	model    *llama.Model
	contexts contexts
	limit    int // tokens of one text
	progress func(tokens int)
}

// Open checks and loads the model at path, which must be made for embedding. An
// error names the path.
func Open(library *llama.Library, path string, o Options) (*Embedder, error) {
	if o.Progress == nil {
		o.Progress = func(int) {}
	}
	if o.Threads == 0 {
		o.Threads = 1
	}
	if o.Batch == 0 {
		o.Batch = defaultBatch
	}
	info, err := loadable.Check(path)
	if err != nil {
		return nil, err
	}
	if !info.EmbedsOnly {
		err := fmt.Errorf("open model %s: it is made to generate text: %w", path, ErrModel)
		return nil, hint.New(err, "use a model made for embeddings, such as all-MiniLM-L6-v2")
	}
	model, err := library.LoadModel(path)
	if err != nil {
		return nil, err
	}
	e := &Embedder{name: strings.TrimSuffix(filepath.Base(path), ".gguf"), model: model, progress: o.Progress}
	e.contexts, err = newContexts(model, o, !info.Recurrent)
	if err != nil {
		model.Close()
		return nil, fmt.Errorf("open model %s: %w", path, err)
	}
	e.limit = e.contexts.limit()
	return e, nil
}

// Close frees the model.
func (e *Embedder) Close() {
	if e.model == nil {
		return
	}
	e.contexts.close()
	e.model.Close()
	e.model = nil
}

// Name is the model's: its file's without .gguf.
func (e *Embedder) Name() string { return e.name }

// Dimensions is how many numbers a vector has.
func (e *Embedder) Dimensions() int { return e.model.EmbeddingSize() }

// Context is how many tokens a text can have, special ones counted: what the model was
// trained with, but not over Options.Batch.
func (e *Embedder) Context() int { return e.limit }
