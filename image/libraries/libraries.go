// Package libraries finds the shared libraries that dynamically linked programs
// need, in folders of unpacked packages: what a root file system must hold beside
// the programs themselves. It reads ELF files and runs nothing.
package libraries

import (
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// Closure returns the shared libraries that the programs and libraries in files
// need, and those in turn, found by name in the folders of search. The result
// maps a library's name to its file; what is among files itself is left out.
func Closure(files, search []string) (map[string]string, error) {
	found := map[string]string{}
	given := map[string]bool{}
	for _, f := range files {
		given[filepath.Base(f)] = true
	}
	queue := slices.Clone(files)
	for len(queue) > 0 {
		needed, err := Imports(queue[0])
		if err != nil {
			return nil, err
		}
		for _, name := range needed {
			if given[name] || found[name] != "" {
				continue
			}
			path, err := LookUp(name, search)
			if err != nil {
				return nil, fmt.Errorf("%s needs %s: %w", filepath.Base(queue[0]), name, err)
			}
			found[name] = path
			queue = append(queue, path)
		}
		queue = queue[1:]
	}
	return found, nil
}

// Imports returns the names of the shared libraries that a program or library asks for
// itself; none if it is statically linked.
func Imports(path string) ([]string, error) {
	f, err := elf.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the libraries that %s needs: %w", path, err)
	}
	defer f.Close()
	libs, err := f.ImportedLibraries()
	if err != nil {
		return nil, fmt.Errorf("read the libraries that %s needs: %w", path, err)
	}
	return libs, nil
}

// LookUp returns the file of that name in the first folder of search that has one, with
// symbolic links followed.
func LookUp(name string, search []string) (string, error) {
	for _, dir := range search {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err == nil {
			return filepath.EvalSymlinks(path)
		}
	}
	return "", fmt.Errorf("none of the pinned packages has it (looked in %d folders)", len(search))
}
