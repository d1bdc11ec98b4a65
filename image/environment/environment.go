// Package environment tells the tests where everything is that they run: the
// built image and its parts, the programs for this machine, the llama.cpp
// libraries, the models and a Xen host. Tests read it from variables, so that they build
// nothing and know no path.
package environment

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"runa/image/build"
	"runa/image/initramfs"
	"runa/image/llama"
	"runa/image/model"
	"runa/image/userland"
	"runa/image/xenhost"
)

// Print writes shell assignments, one a line. With bench it also makes what the
// benchmarks compare with.
func Print(ctx context.Context, out io.Writer, b build.Builder, bench bool) error {
	libraries, err := llama.Fetch(ctx, b.Fetcher())
	if err != nil {
		return err
	}
	stories, _, err := model.Make(ctx, b.Fetcher(), "stories15m")
	if err != nil {
		return err
	}
	embedding, _, err := model.Make(ctx, b.Fetcher(), model.Embedding)
	if err != nil {
		return err
	}
	xen, err := xenhost.Make(ctx, b.Fetcher())
	if err != nil {
		return err
	}
	a := build.In(b.Out)
	variables := [][2]string{
		{"RUNA_IMAGE_QCOW2", a.Image},
		{"RUNA_KERNEL", a.Kernel},
		{"RUNA_VMLINUX", a.Vmlinux},
		{"RUNA_INITRAMFS", a.Initramfs},
		{"RUNA_INVENTORY", a.Inventory},
		{"RUNA_IMAGE_RAW", a.Raw},
		{"RUNA_CHROME", a.Chrome},
		{"RUNA_SYSTEM", a.System},
		{"RUNA_BIN", b.Programs},
		{"RUNA_LLAMA_DIR", libraries.Dir},
		{"RUNA_MODEL_STORIES15M", stories},
		{"RUNA_MODEL_MINILM", embedding},
		{"RUNA_XEN", xen.Hypervisor},
		{"RUNA_XEN_HOST_KERNEL", xen.Kernel},
		{"RUNA_XEN_HOST_INITRAMFS", xen.Initramfs},
	}
	if bench {
		more, err := benchVariables(ctx, b)
		if err != nil {
			return err
		}
		variables = append(variables, more...)
	}
	for _, v := range variables {
		path, err := filepath.Abs(v[1])
		if err != nil {
			return fmt.Errorf("find %s: %w", v[0], err)
		}
		fmt.Fprintf(out, "export %s='%s'\n", v[0], strings.ReplaceAll(path, "'", `'\''`))
	}
	return nil
}

// benchVariables name what only the benchmarks need.
func benchVariables(ctx context.Context, b build.Builder) ([][2]string, error) {
	bench, err := llama.Bench(ctx, b.Fetcher())
	if err != nil {
		return nil, err
	}
	server, err := llama.Server(ctx, b.Fetcher())
	if err != nil {
		return nil, err
	}
	tinyLlama, _, err := model.Make(ctx, b.Fetcher(), "tinyllama-1.1b-chat")
	if err != nil {
		return nil, err
	}
	bare, err := bareInitramfs(ctx, b)
	return [][2]string{
		{"RUNA_LLAMA_BENCH", bench},
		{"RUNA_LLAMA_SERVER", server},
		{"RUNA_MODEL_TINYLLAMA", tinyLlama},
		{"RUNA_BARE_INITRAMFS", bare},
	}, err
}

// bareInitramfs makes the root file system of a bare u-root: the limit that the
// appliance's boot is measured against.
func bareInitramfs(ctx context.Context, b build.Builder) (string, error) {
	bb, err := userland.Builder{Root: b.Root, List: userland.Bare, Cache: b.Cache, Progress: b.Progress}.Build(ctx)
	if err != nil {
		return "", err
	}
	tree := initramfs.New()
	if err := tree.File("bbin/bb", bb.Binary, 0o755); err != nil {
		return "", err
	}
	tree.Symlink("init", "bbin/init")
	tree.Symlink("bbin/init", "bb")
	tree.Symlink("bbin/gosh", "bb")
	tree.Symlink("bin/sh", "../bbin/gosh")
	path := filepath.Join(b.Out, "bare.cpio.zst")
	f, err := os.Create(path)
	if err != nil {
		return "", fmt.Errorf("write the bare root file system: %w", err)
	}
	return path, errors.Join(tree.Write(f, 9), f.Close())
}
