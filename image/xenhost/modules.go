package xenhost

import (
	"debug/elf"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"runa/image/initramfs"
)

// moduleFolder holds the drivers, and the file order that says in which order they load.
const moduleFolder = "lib/modules"

// addModules adds the drivers of the unpacked kernel package and the modules they need.
func addModules(t *initramfs.Tree, root string) error {
	files, err := modules(filepath.Join(root, moduleFolder))
	if err != nil {
		return err
	}
	names, err := order(drivers, func(name string) ([]string, error) {
		file, found := files[name]
		if !found {
			return nil, fmt.Errorf("the kernel has no module %s", name)
		}
		return dependencies(file)
	})
	if err != nil {
		return err
	}
	var list strings.Builder
	for _, name := range names {
		file := name + ".ko"
		if err := t.File(moduleFolder+"/"+file, files[name], 0o644); err != nil {
			return err
		}
		list.WriteString(file + "\n")
	}
	t.Bytes(moduleFolder+"/order", []byte(list.String()), 0o644)
	return nil
}

// modules maps the names of all modules below dir to their files.
func modules(dir string) (map[string]string, error) {
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if name, ok := strings.CutSuffix(d.Name(), ".ko"); ok && err == nil {
			files[canonical(name)] = path
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look for the kernel's modules: %w", err)
	}
	return files, nil
}

// canonical is a module's name as the kernel has it: files have dashes as well.
func canonical(name string) string { return strings.ReplaceAll(name, "-", "_") }

// order returns the wanted modules and those that they need, each behind all that it
// needs itself. needs tells what one module needs.
func order(wanted []string, needs func(string) ([]string, error)) ([]string, error) {
	var sorted []string
	state := map[string]int{} // 1 while what it needs is added, 2 once it is added
	var add func(name string) error
	add = func(name string) error {
		name = canonical(name)
		switch state[name] {
		case 1:
			return fmt.Errorf("module %s needs itself", name)
		case 2:
			return nil
		}
		state[name] = 1
		first, err := needs(name)
		if err != nil {
			return err
		}
		for _, other := range first {
			if err := add(other); err != nil {
				return err
			}
		}
		state[name] = 2
		sorted = append(sorted, name)
		return nil
	}
	for _, name := range wanted {
		if err := add(name); err != nil {
			return nil, err
		}
	}
	return sorted, nil
}

// dependencies reads which modules the module at path needs, from the words that the
// kernel's build put in its section .modinfo ("depends=a,b").
func dependencies(path string) ([]string, error) {
	file, err := elf.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read module %s: %w", filepath.Base(path), err)
	}
	defer file.Close()
	section := file.Section(".modinfo")
	if section == nil {
		return nil, fmt.Errorf("read module %s: it has no section .modinfo", filepath.Base(path))
	}
	words, err := section.Data()
	if err != nil {
		return nil, fmt.Errorf("read module %s: %w", filepath.Base(path), err)
	}
	return depends(words), nil
}

func depends(modinfo []byte) []string {
	for word := range strings.SplitSeq(string(modinfo), "\x00") {
		if list, ok := strings.CutPrefix(word, "depends="); ok && list != "" {
			return strings.Split(list, ",")
		}
	}
	return nil
}
