package kernel

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"runa/services/hint"
)

// Dropped is a symbol whose value in the finished configuration is not the one
// that was asked for.
type Dropped struct {
	Symbol
	Got string // the value in .config; "n" also for a symbol that isn't there at all
}

func (d Dropped) String() string {
	return fmt.Sprintf("%s: %s was asked for as %s but is %s", d.Place(), d.Name, d.Value, d.Got)
}

// Check compares what the fragments ask for with the configuration that the
// kernel made of it (the text of .config). The kernel's own tools drop a symbol
// without a word if what it depends on is off or if another choice of the same
// group won, and turn one on against an asked n if another symbol selects it.
// known holds the names, without CONFIG_, that this kernel's Kconfig files
// declare: an unknown name, which "n" would hide, is an error too.
func Check(config Config, dotConfig io.Reader, known map[string]bool) error {
	got, err := parseDotConfig(dotConfig)
	if err != nil {
		return err
	}
	var wrong, dropped []string
	for _, s := range config.Symbols {
		value, ok := got[s.Name]
		if !ok {
			value = "n"
		}
		name := strings.TrimPrefix(s.Name, "CONFIG_")
		switch {
		case !known[name]:
			wrong = append(wrong, fmt.Sprintf("%s: this kernel has no symbol %s", s.Place(), s.Name))
		case value != s.Value:
			wrong = append(wrong, Dropped{Symbol: s, Got: value}.String())
			dropped = append(dropped, name)
		}
	}
	if wrong == nil {
		return nil
	}
	err = fmt.Errorf("the kernel's configuration is not what was asked for: %s", strings.Join(wrong, "; "))
	if dropped == nil {
		return err
	}
	return hint.New(err, "look for \"config %s\" in the source's Kconfig files: something it depends on is not asked for, "+
		"it lost a choice, or something selects it", dropped[0])
}

// knownSymbols collects the names that the Kconfig files of a source tree declare.
func knownSymbols(source fs.FS) (map[string]bool, error) {
	known := map[string]bool{}
	err := fs.WalkDir(source, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasPrefix(entry.Name(), "Kconfig") {
			return err
		}
		text, err := fs.ReadFile(source, path)
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(text)) {
			words := strings.Fields(line)
			if len(words) >= 2 && (words[0] == "config" || words[0] == "menuconfig") {
				known[words[1]] = true
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the kernel's Kconfig files: %w", err)
	}
	return known, nil
}

// parseDotConfig reads the kernel's .config into name -> value. What is "not
// set" is left out.
func parseDotConfig(r io.Reader) (map[string]string, error) {
	values := map[string]string{}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, found := strings.Cut(line, "=")
		if !found || !isSymbolName(name) {
			return nil, fmt.Errorf("read the kernel's .config: unexpected line %q", line)
		}
		values[name] = value
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read the kernel's .config: %w", err)
	}
	return values, nil
}
