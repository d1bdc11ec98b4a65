package sbom

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/google/licensecheck" // the texts of licences, by which the Go project's own pages tell them

	"runa/services/hint"
)

// standardLibrary is the name by which vulnerability databases know it.
const standardLibrary = "stdlib"

// licencesOf returns for each module's path the SPDX expression of the licences whose
// texts are in its folder, as Go keeps it; a module without such a text is not in it.
func (b *builder) licencesOf(ctx context.Context, modules []*debug.Module) (map[string]string, error) {
	folders, err := b.folders(ctx, modules)
	if err != nil {
		return nil, err
	}
	licences := map[string]string{}
	for module, folder := range folders {
		expression, err := licenceIn(folder)
		if err != nil {
			return nil, fmt.Errorf("the licence of %s: %w", module, err)
		}
		if expression != "" {
			licences[module] = expression
		}
	}
	return licences, nil
}

// folders asks Go where it keeps the modules that it compiled.
func (b *builder) folders(ctx context.Context, modules []*debug.Module) (map[string]string, error) {
	root, err := b.ask(ctx, "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	folders := map[string]string{standardLibrary: strings.TrimSpace(root)}
	arguments := []string{"list", "-m", "-json=Path,Dir"}
	for _, m := range modules {
		arguments = append(arguments, m.Path)
	}
	if len(modules) == 0 {
		return folders, nil // the question would be about this module
	}
	said, err := b.ask(ctx, arguments...)
	if err != nil {
		return nil, err
	}
	for d := json.NewDecoder(strings.NewReader(said)); ; {
		var m struct{ Path, Dir string }
		err := d.Decode(&m)
		switch {
		case errors.Is(err, io.EOF):
			return folders, nil
		case err != nil:
			return nil, fmt.Errorf("read what go list printed: %w", err)
		case m.Dir == "":
			return nil, hint.New(fmt.Errorf("the source of %s is not on this machine", m.Path), "go mod download %s", m.Path)
		}
		folders[m.Path] = m.Dir
	}
}

// ask runs the go command in the checkout and returns what it printed.
func (b *builder) ask(ctx context.Context, arguments ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", arguments...)
	cmd.Dir = b.Root
	said, err := cmd.Output()
	var ended *exec.ExitError
	if errors.As(err, &ended) {
		err = fmt.Errorf("%w: %s", err, strings.TrimSpace(string(ended.Stderr)))
	}
	if err != nil {
		return "", fmt.Errorf("go %s: %w", arguments[0], err)
	}
	return string(said), nil
}

// licenceFile is what projects call the text of their licence.
var licenceFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|unlicense)([-._].*)?$`)

// Of a text this much in per cent has to be a known licence's words, and no file longer
// than this, in bytes, is read for it.
const (
	mostlyLicence  = 90
	longestLicence = 1 << 20
)

// licenceIn returns the licences whose texts are at the top of folder, "" if none is known.
func licenceIn(folder string) (expression string, err error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return "", err
	}
	var found []string
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			return "", err
		}
		if !licenceFile.MatchString(e.Name()) || !info.Mode().IsRegular() || info.Size() > longestLicence {
			continue
		}
		text, err := os.ReadFile(filepath.Join(folder, e.Name()))
		if err != nil {
			return "", err
		}
		covered := licensecheck.Scan(text)
		if covered.Percent < mostlyLicence {
			continue
		}
		for _, match := range covered.Match {
			found = append(found, match.ID)
		}
	}
	slices.Sort(found)
	return strings.Join(slices.Compact(found), " AND "), nil
}
