package splinfer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"runa/services/gguf/loadable"
	"runa/services/hint"
	"runa/services/rmp"
)

// folder is where models lie as NAME.gguf: those of the machine, which are only
// read, and those that were added here. Where both have a name the machine's counts.
type folder struct {
	path  string
	added string // empty: none can be added
	known *headers
}

// headers are what was found out of files that have not changed since: to check a
// header takes milliseconds, and every request looks for its model.
type headers struct {
	mu    sync.Mutex
	files map[string]header
}

type header struct {
	size    int64
	changed time.Time
	info    loadable.Info
	err     error
}

// check is loadable.Check, once for each file as it is.
func (h *headers) check(path string) (loadable.Info, error) {
	file, err := os.Stat(path)
	if h == nil || err != nil {
		return loadable.Check(path)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if known, ok := h.files[path]; ok && known.size == file.Size() && known.changed.Equal(file.ModTime()) {
		return known.info, known.err
	}
	info, err := loadable.Check(path)
	h.files[path] = header{file.Size(), file.ModTime(), info, err}
	return info, err
}

// modelFile is what the header of a model says, checked.
type modelFile struct {
	name string
	path string
	info loadable.Info
}

const extension = ".gguf"

// scratch is what llama.cpp takes beside weights and context: graph, batch
// buffers, logits. It is about 20 MiB for the models we ship.
const scratch = 32 << 20

// names lists the models: the machine's own by the alphabet, then those that were
// added.
func (f folder) names() ([]string, error) {
	names, err := namesIn(f.path)
	if err != nil || f.added == "" {
		return names, err
	}
	added, err := namesIn(f.added)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	added = slices.DeleteFunc(added, func(name string) bool { return slices.Contains(names, name) })
	return append(names, added...), nil
}

func namesIn(path string) (names []string, err error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("list models: %w", err)
	}
	for _, entry := range entries {
		name, found := strings.CutSuffix(entry.Name(), extension)
		if found && validName(name) && !entry.IsDir() {
			names = append(names, name)
		}
	}
	return names, nil
}

// validName keeps requests inside the folder.
func validName(name string) bool {
	return name != "" && len(name) <= 200 && name[0] != '.' && !strings.Contains(name, "/") &&
		utf8.ValidString(name) && !strings.ContainsFunc(name, unicode.IsControl)
}

// find is where a model of that name lies, or would.
func (f folder) find(name string) string {
	path := filepath.Join(f.path, name+extension)
	if f.added == "" {
		return path
	}
	if _, err := os.Stat(path); err == nil {
		return path
	}
	if other := filepath.Join(f.added, name+extension); exists(other) {
		return other
	}
	return path
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// defaultName is the configured default model, or the first of names that can
// generate and whose header is sound: one that is added changes nothing. If none is, it is the first that is
// not sound, so that whoever asks learns what is wrong with it.
func (f folder) defaultName(configured string) (string, error) {
	if configured != "" {
		return configured, nil
	}
	return f.firstOf("generates text", func(info loadable.Info) bool { return !info.EmbedsOnly })
}

// embeddingName is the first of names that is made for embeddings.
func (f folder) embeddingName() (string, error) {
	return f.firstOf("embeds", func(info loadable.Info) bool { return info.EmbedsOnly })
}

// firstOf is the first of names that does what is wanted.
func (f folder) firstOf(what string, does func(loadable.Info) bool) (string, error) {
	names, err := f.names()
	if err == nil && len(names) == 0 {
		err = fmt.Errorf("list models: %s has no file that ends in %s", f.path, extension)
	}
	if err != nil {
		return "", fail(rmp.CodeModelUnknown, hint.New(err, "put a model there as NAME%s", extension))
	}
	unsound := ""
	for _, name := range names {
		switch file, err := f.inspect(name); {
		case err == nil && does(file.info):
			return name, nil
		case err != nil && unsound == "" && !errors.Is(err, loadable.ErrAdapter):
			unsound = name
		}
	}
	if unsound != "" {
		return unsound, nil
	}
	err = fmt.Errorf("list models: %s has no model that %s", f.path, what)
	return "", fail(rmp.CodeModelUnknown, hint.New(err, "put a model there as NAME%s", extension))
}

// inspect checks the header of a model's file without loading it.
func (f folder) inspect(name string) (modelFile, error) {
	if !validName(name) {
		return modelFile{}, fail(rmp.CodeModelUnknown, f.hintNames(errors.New("find model: that is no name of a model")))
	}
	file := modelFile{name: name, path: f.find(name)}
	info, err := f.known.check(file.path)
	if errors.Is(err, fs.ErrNotExist) {
		return modelFile{}, fail(rmp.CodeModelUnknown, f.hintNames(fmt.Errorf("find model %s: %s does not exist", name, file.path)))
	}
	if err != nil {
		return modelFile{}, fail(rmp.CodeModelInvalid, err) // names the file and has a hint
	}
	file.info = info
	return file, nil
}

// adapter checks a LoRA adapter's file and returns its path.
func (f folder) adapter(name string) (string, error) {
	if !validName(name) {
		return "", fail(rmp.CodeModelUnknown, f.hintNames(errors.New("find adapter: that is no name of an adapter")))
	}
	path := f.find(name)
	if _, err := loadable.CheckAdapter(path); err != nil {
		code := rmp.CodeModelInvalid
		if errors.Is(err, fs.ErrNotExist) {
			code = rmp.CodeModelUnknown
		}
		return "", fail(code, err)
	}
	return path, nil
}

func (f folder) hintNames(err error) error {
	names, listError := f.names()
	if listError != nil || len(names) == 0 {
		return hint.New(err, "put a model into %s as NAME%s", f.path, extension)
	}
	return hint.New(err, "the models here are: %s", strings.Join(names, ", "))
}

// list describes all models for a client, those with a problem too.
func (f folder) list(loaded string) []rmp.Model {
	names, err := f.names()
	if err != nil {
		return nil
	}
	models := make([]rmp.Model, len(names))
	for i, name := range names {
		models[i] = f.describe(name)
		models[i].Loaded = name == loaded
	}
	return models
}

func (f folder) describe(name string) rmp.Model {
	file, err := f.inspect(name)
	if err == nil {
		i := file.info
		return rmp.Model{
			Name: name, Architecture: i.Architecture, Bytes: i.FileBytes, ContextTrain: uint32(min(i.ContextTrain, 1<<31)),
			EmbedsOnly: i.EmbedsOnly, Recurrent: i.Recurrent,
		}
	}
	m := rmp.Model{Name: name, Problem: err.Error()}
	if info, err := os.Stat(f.find(name)); err == nil {
		m.Bytes = uint64(info.Size())
	}
	if errors.Is(err, loadable.ErrAdapter) {
		m.Adapter, m.Problem = true, ""
	}
	return m
}

// memory is about how many bytes the model takes with that many conversations of
// that many tokens each.
func (m modelFile) memory(context, seats int) uint64 {
	tokens := uint64(max(context, 0))
	if m.info.ContextTrain > 0 && !m.info.Recurrent {
		tokens = min(tokens, m.info.ContextTrain)
	}
	return m.info.Memory(tokens*uint64(seats), uint64(seats)) + scratch
}
