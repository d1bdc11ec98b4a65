// Package userland builds a shell and everyday commands: u-root's, rewritten by
// gobusybox into one static multicall binary. The appliance's list of commands is
// appliance.go, that of the system it is measured against is bare.go; their
// versions are those of go.mod. It must never add a command to the appliance that
// talks to a network.
package userland

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"runa/image/cache"
	"runa/image/progress"
)

// List is the source of a Go file that imports u-root's commands.
type List []byte

// Appliance are the commands of the appliance, Bare those of a bare u-root.
var (
	//go:embed appliance.go
	Appliance List
	//go:embed bare.go
	Bare List
)

const (
	recipe  = "1" // raise it when the way of building changes
	makebb  = "github.com/u-root/gobusybox/src/cmd/makebb"
	modules = "github.com/u-root/u-root/"
	// goshsmall leaves out the shell's terminal query, which takes ten seconds on a serial line.
	tags = "goshsmall"
)

// Userland is the built multicall binary and the names it answers to.
type Userland struct {
	Binary   string   // path of the static binary
	Commands []string // its names, sorted
	Version  string   // u-root's version
}

// Builder builds a userland from the module in Root.
type Builder struct {
	Root     string // folder of go.mod
	List     List
	Cache    cache.Cache
	Progress *progress.Printer
}

// Packages returns the import paths of the commands, in order.
func (l List) Packages() ([]string, error) {
	file, err := parser.ParseFile(token.NewFileSet(), "", []byte(l), parser.ImportsOnly)
	if err != nil {
		return nil, fmt.Errorf("read the list of commands: %w", err)
	}
	var list []string
	for _, spec := range file.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, fmt.Errorf("read the list of commands: %w", err)
		}
		if strings.HasPrefix(p, modules) {
			list = append(list, p)
		}
	}
	return list, nil
}

// Build returns the userland, from the cache if it was built before.
func (b Builder) Build(ctx context.Context) (Userland, error) {
	packages, err := b.List.Packages()
	if err != nil {
		return Userland{}, err
	}
	u := Userland{}
	for _, p := range packages {
		u.Commands = append(u.Commands, path.Base(p))
	}
	slices.Sort(u.Commands)
	versions, err := b.output(ctx, "go", "list", "-m", "-f", "{{.Path}} {{.Version}}", "all")
	if err != nil {
		return Userland{}, err
	}
	u.Version = versionOf(versions, strings.TrimSuffix(modules, "/"))
	compiler, err := b.output(ctx, "go", "env", "GOVERSION")
	if err != nil {
		return Userland{}, err
	}
	key := cache.Key(append([]string{recipe, tags, runtime.GOARCH, versions, compiler}, packages...)...)
	dir, err := b.Cache.Build(ctx, "userland", key, func(ctx context.Context, dir string) error {
		return b.make(ctx, dir, packages)
	})
	if err != nil {
		return Userland{}, err
	}
	u.Binary = filepath.Join(dir, "bb")
	return u, nil
}

func (b Builder) make(ctx context.Context, dir string, packages []string) error {
	task := b.Progress.Task("userland (" + strconv.Itoa(len(packages)) + " commands, one binary)")
	scratch, cleanup, err := b.Cache.Temp("userland")
	if err != nil {
		return err
	}
	defer cleanup()
	tool := filepath.Join(scratch, "makebb")
	if _, err := b.output(ctx, "go", "build", "-o", tool, makebb); err != nil {
		return err
	}
	generated := filepath.Join(scratch, "src")
	if err := os.Mkdir(generated, 0o755); err != nil {
		return fmt.Errorf("make a scratch folder: %w", err)
	}
	args := append([]string{"-go-build-tags", tags, "-gen-dir", generated, "-o", filepath.Join(dir, "bb")}, packages...)
	if _, err := b.output(ctx, tool, args...); err != nil {
		return err
	}
	task.Done()
	return nil
}

// output runs a command in the module's folder and returns what it printed.
func (b Builder) output(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = b.Root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOFLAGS=-buildvcs=false")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("build the userland: %s: %w\n%s", filepath.Base(name), err, lastLines(stderr.String(), 20))
	}
	return stdout.String(), nil
}

func versionOf(list, module string) string {
	for line := range strings.Lines(list) {
		if rest, ok := strings.CutPrefix(line, module+" "); ok {
			return strings.TrimSpace(rest)
		}
	}
	return ""
}

func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
