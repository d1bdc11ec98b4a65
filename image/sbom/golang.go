package sbom

import (
	"context"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/CycloneDX/cyclonedx-go"

	"runa/image/cache"
	"runa/image/inventory"
	"runa/services/hint"
)

// ownOrigin begins the inventory's origin of our own programs.
const ownOrigin = "this repository, "

// What a multicall binary is made of beside its commands, and where u-root's are.
const (
	multicall    = "github.com/u-root/gobusybox/src/pkg/bb/bbmain"
	uroot        = "github.com/u-root/u-root"
	urootSubpath = "cmds/core"
)

// program enters one of our programs with the modules in its build information.
func (b *builder) program(ctx context.Context, p inventory.Part) error {
	source := filepath.Join(b.Programs, p.Name)
	info, err := buildInfo(source, p)
	if err != nil {
		return err
	}
	url, err := packageURL("generic", "", "runa", b.Version, nil, strings.TrimPrefix(p.Origin, ownOrigin))
	if err != nil {
		return err
	}
	return b.goProgram(ctx, url, p, info, info.Deps)
}

// userland enters the multicall binary. Its build information has no modules, because
// gobusybox compiles copies of the commands; so Go is asked what they import.
func (b *builder) userland(ctx context.Context, p inventory.Part) error {
	info, err := buildInfo(b.Userland, p)
	if err != nil {
		return err
	}
	modules, err := b.modules(ctx, info)
	if err != nil {
		return err
	}
	namespace, name := splitModule(uroot)
	url, err := packageURL("golang", namespace, name, p.Version, nil, urootSubpath)
	if err != nil {
		return err
	}
	return b.goProgram(ctx, url, p, info, modules)
}

func (b *builder) goProgram(ctx context.Context, url string, p inventory.Part, info *buildinfo.BuildInfo, modules []*debug.Module) error {
	licences, err := b.licencesOf(ctx, modules)
	if err != nil {
		return err
	}
	compiler, _, _ := strings.Cut(info.GoVersion, " ") // experiments may follow
	for _, m := range append([]*debug.Module{{Path: standardLibrary, Version: strings.TrimPrefix(compiler, "go")}}, modules...) {
		expression := licences[m.Path]
		if m.Replace != nil {
			m = m.Replace
		}
		ref, err := b.module(m, expression)
		if err != nil {
			return err
		}
		b.use(url, ref)
	}
	c := cyclonedx.Component{BOMRef: url, Type: cyclonedx.ComponentTypeApplication, Version: p.Version, PackageURL: url}
	return b.add(located(c, p, "runa:go:version", compiler))
}

// module enters a Go module once. Its sum is that of go.sum, a hash over the hashes of
// the module's files; CycloneDX's own field is for the hash of one file, so it is a property.
func (b *builder) module(m *debug.Module, expression string) (ref string, err error) {
	namespace, name := splitModule(m.Path)
	url, err := packageURL("golang", namespace, name, m.Version, nil, "")
	if err != nil || b.components[url] != nil {
		return url, err
	}
	c := cyclonedx.Component{BOMRef: url, Type: cyclonedx.ComponentTypeLibrary, Name: m.Path, Version: m.Version, PackageURL: url, Licenses: licence(expression)}
	if m.Sum != "" {
		c.Properties = properties("runa:go:sum", m.Sum)
	}
	if m.Path == standardLibrary {
		c.Description = "The Go standard library and run time"
	}
	return url, b.add(c)
}

// splitModule cuts the last element off a module's path.
func splitModule(module string) (namespace, name string) {
	cut := strings.LastIndexByte(module, '/')
	return module[:max(cut, 0)], module[cut+1:]
}

// buildInfo reads what Go's linker wrote into the program at path, which must be
// the one that went into the image as p.
func buildInfo(path string, p inventory.Part) (*buildinfo.BuildInfo, error) {
	hash, err := cache.FileHash(path)
	if err != nil {
		return nil, err
	}
	if hash != p.SHA256 {
		err := fmt.Errorf("%s has sha256 %s, the file in the image %s", path, hash, p.SHA256)
		return nil, hint.New(err, "it was built again meanwhile: build the image again")
	}
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read what %s was built from: %w", path, err)
	}
	return info, nil
}

// modules asks Go which modules the userland's commands are compiled from, for the
// system and with the tags that the binary was built for.
func (b *builder) modules(ctx context.Context, info *buildinfo.BuildInfo) ([]*debug.Module, error) {
	var env []string
	for _, name := range []string{"CGO_ENABLED", "GOOS", "GOARCH"} {
		env = append(env, name+"="+setting(info, name))
	}
	said, err := b.ask(ctx, env, append([]string{"list", "-deps", "-json=Module", "-tags", setting(info, "-tags"), multicall}, b.Commands...)...)
	if err != nil {
		return nil, fmt.Errorf("list the userland's modules: %w", err)
	}
	return parseModules(strings.NewReader(said))
}

// ask runs the go command in the checkout, with env beside the environment, and
// returns what it printed.
func (b *builder) ask(ctx context.Context, env []string, arguments ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", arguments...)
	cmd.Dir = b.Root
	cmd.Env = slices.Concat(os.Environ(), []string{"GOFLAGS=-buildvcs=false"}, env)
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

// parseModules reads what `go list -json=Module` prints: an object for each
// package, empty for one of the standard library. Each module is returned once.
func parseModules(r io.Reader) ([]*debug.Module, error) {
	var modules []*debug.Module
	seen := map[string]bool{}
	for d := json.NewDecoder(r); ; {
		var entry struct{ Module *debug.Module }
		err := d.Decode(&entry)
		if errors.Is(err, io.EOF) {
			return modules, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read what go list printed: %w", err)
		}
		if m := entry.Module; m != nil && !seen[m.Path] {
			seen[m.Path] = true
			modules = append(modules, m)
		}
	}
}

func setting(info *buildinfo.BuildInfo, key string) string {
	for _, s := range info.Settings {
		if s.Key == key {
			return s.Value
		}
	}
	return ""
}
