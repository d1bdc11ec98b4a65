package persona

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"runa/services/hint"
)

// Bounds of a folder: how many files are read, and how many errors are told.
const (
	maxFiles  = 1 << 12
	maxErrors = 64
)

// Load reads every *.md file of a folder, sorted by file name. Each bad file
// gives an error that joins one line per mistake, and no persona; the others
// are returned. Two files may not have the same persona: the first one has it.
func Load(dir string) ([]Persona, []error) {
	names, err := namesIn(dir)
	if err != nil {
		return nil, []error{fmt.Errorf("read the personas: %w", err)}
	}
	var personas []Persona
	var errs []error
	more := 0
	fail := func(err error) {
		if len(errs) == maxErrors {
			more++
			return
		}
		errs = append(errs, err)
	}
	if len(names) > maxFiles {
		fail(hint.New(fmt.Errorf("%s: there are more than %d files, the first ones are read", dir, maxFiles), "keep only personas there"))
		names = names[:maxFiles]
	}
	files := map[string]string{}
	for _, name := range names {
		file := filepath.Join(dir, name)
		persona, err := read(file)
		if err != nil {
			fail(err)
			continue
		}
		if first, twice := files[persona.Name]; twice {
			fail(hint.New(fmt.Errorf("%s:1:1: the persona %s is there twice, first in %s", file, persona.Name, first), "give it another name with persona:"))
			continue
		}
		files[persona.Name] = file
		personas = append(personas, persona)
	}
	if more > 0 {
		errs = append(errs, fmt.Errorf("%s: and %d more files with mistakes", dir, more))
	}
	return personas, errs
}

// namesIn lists the personas of a folder, sorted; one more than is read tells
// that there are too many.
func namesIn(dir string) ([]string, error) {
	folder, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	var names []string
	for len(names) <= maxFiles {
		some, err := folder.Readdirnames(256)
		for _, name := range some {
			if filepath.Ext(name) == ".md" {
				names = append(names, name)
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(names)
	return names, nil
}

func read(file string) (Persona, error) {
	info, err := os.Stat(file)
	if err != nil {
		return Persona{}, fmt.Errorf("read a persona: %w", err)
	}
	if !info.Mode().IsRegular() { // a pipe would be waited for
		return Persona{}, fmt.Errorf("%s:1:1: this is not a regular file", file)
	}
	in, err := os.Open(file)
	if err != nil {
		return Persona{}, fmt.Errorf("read a persona: %w", err)
	}
	defer in.Close()
	text, err := io.ReadAll(io.LimitReader(in, MaxBytes+1))
	if err != nil {
		return Persona{}, fmt.Errorf("read a persona: %w", err)
	}
	return Parse(file, text)
}
