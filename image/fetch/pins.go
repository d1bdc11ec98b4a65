package fetch

import (
	"bytes"
	_ "embed"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
)

// The registries a pin can name.
const (
	Debian = "debian"
	NPM    = "npm"
)

// Pin names one archive and the hash its bytes must have.
type Pin struct {
	Name     string `yaml:"name"`
	Registry string `yaml:"registry"` // Debian or NPM
	Version  string `yaml:"version"`
	Hash     string `yaml:"hash"`    // "sha256:hex" of a .deb, npm's "sha512-base64" of a .tgz
	Size     int64  `yaml:"size"`    // of the archive in bytes, to tell how much is left
	License  string `yaml:"license"` // SPDX, from the package's own licence file
}

//go:embed pins.yaml
var pinsText []byte

// Pins returns the pins that this program was built with.
func Pins() []Pin {
	pins, err := parsePins(pinsText)
	if err != nil {
		panic("fetch: embedded pins.yaml: " + err.Error()) // a test reads it, so it can't ship broken
	}
	return pins
}

// parsePins reads a pins file: unknown and missing keys are errors with their line.
func parsePins(text []byte) ([]Pin, error) {
	var pins []Pin
	if err := yaml.NewDecoder(bytes.NewReader(text), yaml.Strict()).Decode(&pins); err != nil {
		return nil, fmt.Errorf("read pins: %w", err)
	}
	seen := map[string]bool{}
	for i, p := range pins {
		if err := p.check(); err != nil {
			return nil, fmt.Errorf("read pins: entry %d (%s): %w", i+1, p.Name, err)
		}
		if seen[p.Name] {
			return nil, fmt.Errorf("read pins: entry %d: %s is pinned twice", i+1, p.Name)
		}
		seen[p.Name] = true
	}
	return pins, nil
}

func (p Pin) check() error {
	for key, value := range map[string]string{"name": p.Name, "version": p.Version, "license": p.License} {
		if value == "" || strings.HasPrefix(value, "-") {
			return fmt.Errorf("%s is %q", key, value)
		}
	}
	if p.Size <= 0 {
		return fmt.Errorf("size is %d bytes", p.Size)
	}
	switch p.Registry {
	case Debian:
		digits, ok := strings.CutPrefix(p.Hash, "sha256:")
		if sum, err := hex.DecodeString(digits); !ok || err != nil || len(sum) != 32 {
			return fmt.Errorf("hash %q is not sha256:hex", p.Hash)
		}
	case NPM:
		digits, ok := strings.CutPrefix(p.Hash, "sha512-")
		if sum, err := base64.StdEncoding.DecodeString(digits); !ok || err != nil || len(sum) != 64 {
			return fmt.Errorf("hash %q is not sha512-base64", p.Hash)
		}
	default:
		return fmt.Errorf("registry %q is neither %s nor %s", p.Registry, Debian, NPM)
	}
	return nil
}

// Origin says in words where the archive comes from.
func (p Pin) Origin() string { return p.Registry + " package " + p.Name + " " + p.Version }

// Find returns the pin of that name.
func Find(name string) (Pin, error) {
	for _, p := range Pins() {
		if p.Name == name {
			return p, nil
		}
	}
	return Pin{}, fmt.Errorf("find pin %q: pins.yaml has no such name", name)
}

// fileName is what the archive is called in the cache.
func (p Pin) fileName() string {
	flat := strings.ReplaceAll(strings.TrimPrefix(p.Name, "@"), "/", "-")
	if p.Registry == Debian {
		return flat + "_" + strings.ReplaceAll(p.Version, ":", "%3a") + ".deb"
	}
	return flat + "-" + p.Version + ".tgz"
}
