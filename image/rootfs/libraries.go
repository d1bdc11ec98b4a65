package rootfs

import (
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// closure returns the shared libraries that the programs and libraries in files
// need, and those in turn, found by name in the folders of search. The result
// maps a library's name to its file; what is among files itself is left out.
func closure(files, search []string) (map[string]string, error) {
	found := map[string]string{}
	given := map[string]bool{}
	for _, f := range files {
		given[filepath.Base(f)] = true
	}
	queue := slices.Clone(files)
	for len(queue) > 0 {
		needed, err := imports(queue[0])
		if err != nil {
			return nil, err
		}
		for _, name := range needed {
			if given[name] || found[name] != "" {
				continue
			}
			path, err := lookUp(name, search)
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

func imports(path string) ([]string, error) {
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

func lookUp(name string, search []string) (string, error) {
	for _, dir := range search {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err == nil {
			return filepath.EvalSymlinks(path)
		}
	}
	return "", fmt.Errorf("none of the pinned packages has it (looked in %d folders)", len(search))
}
