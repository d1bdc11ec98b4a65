package sbom

import (
	"context"
	"fmt"
	"os"
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
	root, err := b.ask(ctx, nil, "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	folders := map[string]string{standardLibrary: strings.TrimSpace(root)}
	if len(modules) == 0 {
		return folders, nil // the question would be about this module
	}
	arguments := []string{"list", "-m", "-f", "{{.Path}} {{.Dir}}"}
	for _, m := range modules {
		arguments = append(arguments, m.Path)
	}
	said, err := b.ask(ctx, nil, arguments...)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(said) {
		module, folder, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if folder == "" {
			return nil, hint.New(fmt.Errorf("the source of %s is not on this machine", module), "go mod download %s", module)
		}
		folders[module] = folder
	}
	return folders, nil
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
