package llama

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"runa/image/cache"
	"runa/image/fetch"
	"runa/services/hint"
)

// peer is one of llama.cpp's own programs and how it is built: g++ compiles its
// sources and links them to the libraries of Fetch.
type peer struct {
	name    string
	sources []string          // patterns in llama.cpp's tree
	include []string          // folders in it, beside those of every peer
	added   map[string]string // files that are put into the tree, by path
}

// Bench returns the path of llama-bench, compiled from the source package of the
// same version and linked to the libraries of Fetch.
func Bench(ctx context.Context, f fetch.Fetcher) (string, error) {
	return peer{name: "llama-bench", sources: []string{"tools/llama-bench/*.cpp"}}.build(ctx, f)
}

// What llama-server is given in place of parts that it does not need to answer
// over HTTP: pages for a browser, and models that see and hear.
var (
	//go:embed server/ui.h
	noPages string
	//go:embed server/no-media.cpp
	noMedia string
)

// Server returns the path of llama-server, made as [Bench] makes llama-bench. It
// has no pages for a browser and takes nothing but text.
func Server(ctx context.Context, f fetch.Fetcher) (string, error) {
	return peer{
		name: "llama-server", sources: []string{"tools/server/*.cpp"},
		include: []string{"tools/server", "tools/mtmd"},
		added:   map[string]string{"tools/server/ui.h": noPages, "tools/server/no-media.cpp": noMedia},
	}.build(ctx, f)
}

func (p peer) build(ctx context.Context, f fetch.Fetcher) (string, error) {
	l, err := Fetch(ctx, f)
	if err != nil {
		return "", err
	}
	src, pin, err := f.Unpack(ctx, source)
	if err != nil {
		return "", err
	}
	if pin.Version != l.Package.Version {
		return "", fmt.Errorf("llama.cpp's source package is %s but its libraries are %s: pin the same version", pin.Version, l.Package.Version)
	}
	for _, tool := range []string{"git", "g++"} {
		if _, err := exec.LookPath(tool); err != nil {
			return "", hint.New(fmt.Errorf("build %s: %w", p.name, err), "apt-get install %s", tool)
		}
	}
	dir, err := f.Cache.Build(ctx, p.name, p.key(pin, l.Package), func(ctx context.Context, dir string) error {
		task := f.Progress.Task(p.name)
		if err := p.compile(ctx, filepath.Join(src, "llama", "gitRelease.bundle"), l.Dir, dir, task.Set); err != nil {
			return fmt.Errorf("build %s: %w", p.name, err)
		}
		task.Done()
		return nil
	})
	return filepath.Join(dir, p.name), err
}

// key covers all that goes into the program.
func (p peer) key(pins ...fetch.Pin) string {
	parts := []string{"3", strings.Join(flags, " "), strings.Join(p.include, " "), strings.Join(p.sources, " ")}
	for _, pin := range pins {
		parts = append(parts, pin.Hash)
	}
	for _, name := range slices.Sorted(maps.Keys(p.added)) {
		parts = append(parts, name, p.added[name])
	}
	return cache.Key(parts...)
}

// flags are those of every source. LLAMA_SUBPROCESS is what the libraries were
// built with; it changes the size of a structure that they share with programs.
var flags = []string{
	"-O2", "-std=c++17", "-w", "-DNDEBUG", "-DLLAMA_SUBPROCESS",
	"-Iinclude", "-Iggml/include", "-Icommon", "-Ivendor", "-I.",
}

// linked are the libraries that llama.cpp's programs call.
var linked = []string{"libllama-common.so", "libllama.v0.5.0.so", "libggml.v0.5.0.so", "libggml-base.so"}

// compile makes the program in dir and tells how far it is.
func (p peer) compile(ctx context.Context, bundle, libraries, dir string, told func(done, total int64, unit string)) error {
	tree := filepath.Join(dir, "source")
	if err := run(exec.CommandContext(ctx, "git", "clone", "--quiet", "--config", "advice.detachedHead=false", bundle, tree)); err != nil {
		return err
	}
	for name, content := range p.added {
		if err := os.WriteFile(filepath.Join(tree, name), []byte(content), 0o644); err != nil {
			return fmt.Errorf("add to the sources: %w", err)
		}
	}
	objects, err := p.objects(ctx, tree, told)
	if err != nil {
		return err
	}
	args := append([]string{"-o", filepath.Join(dir, p.name)}, objects...)
	for _, name := range linked {
		args = append(args, filepath.Join(libraries, name))
	}
	if err := run(exec.CommandContext(ctx, "g++", append(args, "-Wl,-rpath,"+libraries, "-lpthread")...)); err != nil {
		return err
	}
	// The program looks for the processor variants in its own folder.
	variants, err := filepath.Glob(filepath.Join(libraries, "libggml-cpu-*.so"))
	if err != nil {
		return fmt.Errorf("find the processor variants: %w", err)
	}
	for _, v := range variants {
		if err := os.Symlink(v, filepath.Join(dir, filepath.Base(v))); err != nil {
			return fmt.Errorf("put the processor variants beside the program: %w", err)
		}
	}
	return os.RemoveAll(tree)
}

// objects compiles the sources, as many at once as there are processors.
func (p peer) objects(ctx context.Context, tree string, told func(done, total int64, unit string)) ([]string, error) {
	var sources []string
	for _, pattern := range p.sources {
		found, err := filepath.Glob(filepath.Join(tree, pattern))
		if err != nil || len(found) == 0 {
			return nil, errors.Join(fmt.Errorf("find the sources %s: none is there", pattern), err)
		}
		sources = append(sources, found...)
	}
	args := slices.Clone(flags)
	for _, folder := range p.include {
		args = append(args, "-I"+folder)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	objects, failed := make([]string, len(sources)), make([]error, len(sources))
	room := make(chan struct{}, runtime.NumCPU())
	var running sync.WaitGroup
	var mu sync.Mutex
	done := int64(0)
	for i, path := range sources {
		objects[i] = strings.TrimSuffix(path, ".cpp") + ".o"
		room <- struct{}{}
		running.Go(func() {
			defer func() { <-room }()
			cmd := exec.CommandContext(ctx, "g++", append(slices.Clone(args), "-c", path, "-o", objects[i])...)
			cmd.Dir = tree
			if failed[i] = run(cmd); failed[i] != nil {
				cancel() // the rest would be for nothing
				return
			}
			mu.Lock()
			defer mu.Unlock()
			done++
			told(done, int64(len(sources)), "files")
		})
	}
	running.Wait()
	return objects, errors.Join(failed...)
}

func run(cmd *exec.Cmd) error {
	out, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return errors.Join(fmt.Errorf("%s: %w", filepath.Base(cmd.Path), err),
		errors.New(strings.Join(lines[max(0, len(lines)-10):], "\n")))
}
