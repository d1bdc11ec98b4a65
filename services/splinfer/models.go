package splinfer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"

	"runa/services/gguf"
	"runa/services/hint"
	"runa/services/rmp"
)

// folder is where models lie as NAME.gguf.
type folder struct {
	path string
}

// modelFile is what the header of a model says, checked.
type modelFile struct {
	name         string
	path         string
	architecture string
	bytes        uint64 // size of the file
	contextTrain uint32 // tokens
	tokenBytes   uint64 // of keys and values that one token keeps in the context
	embeds       bool   // it makes vectors of text and can't generate
}

const extension = ".gguf"

// scratch is what llama.cpp takes beside weights and context: graph, batch
// buffers, logits. It is about 20 MiB for the models we ship.
const scratch = 32 << 20

// names lists the models of the folder by the alphabet.
func (f folder) names() ([]string, error) {
	entries, err := os.ReadDir(f.path)
	if err != nil {
		return nil, fmt.Errorf("list models: %w", err)
	}
	var names []string
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

// defaultName is the configured default model, or the first in the alphabet
// that can generate and whose header is sound. If none is, it is the first that is
// not sound, so that whoever asks learns what is wrong with it.
func (f folder) defaultName(configured string) (string, error) {
	if configured != "" {
		return configured, nil
	}
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
		case err == nil && !file.embeds:
			return name, nil
		case err != nil && unsound == "":
			unsound = name
		}
	}
	if unsound != "" {
		return unsound, nil
	}
	err = fmt.Errorf("list models: %s has only models that embed and none that generates text", f.path)
	return "", fail(rmp.CodeModelUnknown, hint.New(err, "put a model there as NAME%s", extension))
}

// inspect checks the header of a model's file without loading it.
func (f folder) inspect(name string) (modelFile, error) {
	if !validName(name) {
		return modelFile{}, fail(rmp.CodeModelUnknown, f.hintNames(errors.New("find model: that is no name of a model")))
	}
	file := modelFile{name: name, path: filepath.Join(f.path, name+extension)}
	header, err := gguf.Open(file.path)
	if errors.Is(err, fs.ErrNotExist) {
		return modelFile{}, fail(rmp.CodeModelUnknown, f.hintNames(fmt.Errorf("find model %s: %s does not exist", name, file.path)))
	}
	if err != nil {
		return modelFile{}, fail(rmp.CodeModelInvalid, err) // names the file and has a hint
	}
	if err := file.read(header.Get); err != nil {
		err = fmt.Errorf("check model %s: %w", file.path, err)
		return modelFile{}, fail(rmp.CodeModelInvalid, hint.New(err, "use a model made for text generation"))
	}
	file.bytes = uint64(header.Size)
	return file, nil
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
		file, err := f.inspect(name)
		models[i] = rmp.Model{
			Name: name, Architecture: file.architecture, Bytes: file.bytes,
			ContextTrain: file.contextTrain, Loaded: name == loaded,
		}
		if err != nil {
			models[i].Problem = err.Error()
		}
	}
	return models
}

// memory is about how many bytes the model takes with a context of that many tokens.
func (m modelFile) memory(context int) uint64 {
	tokens := uint64(max(context, 0))
	if m.contextTrain > 0 {
		tokens = min(tokens, uint64(m.contextTrain))
	}
	return m.bytes + tokens*m.tokenBytes + scratch
}
