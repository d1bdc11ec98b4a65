// Package environment tells the tests where everything is that they run: the
// built image and its parts, the programs for this machine, the llama.cpp
// libraries and the model. Tests read it from variables, so that they build
// nothing and know no path.
package environment

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"runa/image/build"
	"runa/image/llama"
	"runa/image/model"
	"runa/image/userland"
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
	a := build.In(b.Out)
	variables := [][2]string{
		{"RUNA_IMAGE_QCOW2", a.Image},
		{"RUNA_KERNEL", a.Kernel},
		{"RUNA_VMLINUX", a.Vmlinux},
		{"RUNA_INITRAMFS", a.Initramfs},
		{"RUNA_BIN", b.Programs},
		{"RUNA_LLAMA_DIR", libraries.Dir},
		{"RUNA_MODEL_STORIES15M", stories},
	}
	if bench {
		peer, err := llama.Bench(ctx, b.Fetcher())
		if err != nil {
			return err
		}
		bb, err := userland.Builder{Root: b.Root, Cache: b.Cache, Progress: b.Progress}.Build(ctx)
		if err != nil {
			return err
		}
		variables = append(variables, [2]string{"RUNA_LLAMA_BENCH", peer}, [2]string{"RUNA_USERLAND", bb.Binary})
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
