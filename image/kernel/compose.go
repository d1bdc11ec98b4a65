package kernel

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml" // the repository's YAML reader: strict, errors with line and column

	"runa/services/hint"
)

// targetsName lists which fragments each target takes.
const targetsName = "targets.yaml"

// Config is what a target asks of the kernel's configuration.
type Config struct {
	Target  string
	Symbols []Symbol // in the order of the fragments; no name twice
	Steps   int      // lines "CC file.o" and the like that its build prints; 0: not measured yet
}

// targetEntry is one entry of targets.yaml.
type targetEntry struct {
	Fragments []string `yaml:"fragments"` // names of files NAME.config beside it
	Steps     int      `yaml:"steps"`     // see Config.Steps
}

// Compose reads the fragments that dir/targets.yaml lists for a target. Two
// fragments may ask for the same symbol if they ask for the same value.
func Compose(dir, target string) (Config, error) {
	entry, err := readTarget(dir, target)
	if err != nil {
		return Config{}, err
	}
	config := Config{Target: target, Steps: entry.Steps}
	asked := map[string]Symbol{}
	for _, fragment := range entry.Fragments {
		symbols, err := readFragment(dir, fragment)
		if err != nil {
			return Config{}, fmt.Errorf("compose the kernel configuration of target %q: %w", target, err)
		}
		for _, s := range symbols {
			before, twice := asked[s.Name]
			switch {
			case twice && before.File == s.File:
				return Config{}, fmt.Errorf("%s: %s was asked for already at %s", s.Place(), s.Name, before.Place())
			case twice && before.Value != s.Value:
				return Config{}, fmt.Errorf("%s: %s contradicts %s at %s", s.Place(), s, before, before.Place())
			case !twice:
				asked[s.Name] = s
				config.Symbols = append(config.Symbols, s)
			}
		}
	}
	return config, nil
}

// Text returns the composed configuration in the form that KCONFIG_ALLCONFIG
// takes. Comments and places are not in it, so a better comment rebuilds nothing.
func (c Config) Text() []byte {
	var text bytes.Buffer
	for _, s := range c.Symbols {
		fmt.Fprintln(&text, s)
	}
	return text.Bytes()
}

func readTarget(dir, target string) (targetEntry, error) {
	path := filepath.Join(dir, targetsName)
	text, err := os.ReadFile(path)
	if err != nil {
		return targetEntry{}, fmt.Errorf("read the kernel's targets: %w", err)
	}
	var targets map[string]targetEntry
	if err := yaml.UnmarshalWithOptions(text, &targets, yaml.Strict()); err != nil {
		return targetEntry{}, fmt.Errorf("read the kernel's targets: %s: %s", path, yaml.FormatError(err, false, false))
	}
	entry, ok := targets[target]
	if !ok {
		var names []string
		for name := range targets {
			names = append(names, name)
		}
		slices.Sort(names)
		err := fmt.Errorf("%s: no target %q", path, target)
		return targetEntry{}, hint.New(err, "the targets are: %s", strings.Join(names, ", "))
	}
	if len(entry.Fragments) == 0 {
		return targetEntry{}, fmt.Errorf("%s: target %q takes no fragments", path, target)
	}
	if entry.Steps < 0 {
		return targetEntry{}, fmt.Errorf("%s: target %q: steps is %d, expected 0 or more", path, target, entry.Steps)
	}
	return entry, nil
}

func readFragment(dir, fragment string) ([]Symbol, error) {
	if fragment != filepath.Base(fragment) {
		return nil, fmt.Errorf("the fragment's name %q is not a plain file name", fragment)
	}
	file := fragment + ".config"
	text, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return nil, fmt.Errorf("read a fragment: %w", err)
	}
	return parseFragment(file, text)
}
