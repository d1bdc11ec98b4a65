package llama

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"runa/services/gguf"
)

func TestAQuantisedModelLoadsAndIsSmaller(t *testing.T) {
	library, _ := open(t)
	in := tinyLlama(t, 1, gguf.F16)
	for _, kind := range []string{"Q8_0", "Q4_0"} {
		out := filepath.Join(t.TempDir(), kind+".gguf")
		var last, total int
		err := library.Quantize(t.Context(), in, out, QuantizeOptions{Type: kind, Progress: func(begun, of int) {
			if begun < last {
				t.Errorf("%d after %d", begun, last)
			}
			last, total = begun, of
		}})
		if err != nil {
			t.Fatal(err)
		}
		if total == 0 || last != total {
			t.Errorf("progress ended at %d of %d", last, total)
		}
		before, after := size(t, in), size(t, out)
		if after >= before || size(t, out+".part") != -1 {
			t.Errorf("%s: %d bytes became %d", kind, before, after)
		}
		c := apart(t, load(t, out), 1)
		feed(t, c, 0, someTokens(c.model, 1, 5), 5)
		in = out // Q8_0 once more to Q4_0: already quantised weights are taken
	}
}

// size is a file's, -1 if there is none.
func size(t testing.TB, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return -1
	}
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

func TestACancelledQuantiseLeavesNothing(t *testing.T) {
	library, _ := open(t)
	in, out := tinyLlama(t, 1, gguf.F16), filepath.Join(t.TempDir(), "out.gguf")
	ctx, cancel := context.WithCancel(t.Context())
	defer watchLog(func(_ int, line string) { // the first tensor's message comes here first
		if strings.HasPrefix(line, "[") {
			cancel()
		}
	})()
	err := library.Quantize(ctx, in, out, QuantizeOptions{Type: "Q4_0"})
	if !errors.Is(err, ErrAborted) || size(t, out) != -1 || size(t, out+".part") != -1 {
		t.Fatalf("%v", err)
	}
	if err := library.Quantize(t.Context(), in, out, QuantizeOptions{Type: "Q4_0"}); err != nil {
		t.Fatalf("the next one: %v", err)
	}
}

func TestQuantiseRefusesWhatCanNotWork(t *testing.T) {
	library, _ := open(t)
	in, folder := tinyLlama(t, 1, gguf.F16), t.TempDir()
	damaged := filepath.Join(folder, "damaged.gguf")
	if err := os.WriteFile(damaged, []byte("GGUF and then nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(folder, "link")
	if err := os.Symlink(in, link); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"unknown type": library.Quantize(t.Context(), in, folder+"/a", QuantizeOptions{Type: "Q9"}),
		"onto itself":  library.Quantize(t.Context(), in, in, QuantizeOptions{Type: "Q8_0"}),
		"no model":     library.Quantize(t.Context(), folder+"/none", folder+"/a", QuantizeOptions{Type: "Q8_0"}),
		"damaged":      library.Quantize(t.Context(), damaged, folder+"/a", QuantizeOptions{Type: "Q8_0"}),
		"no folder":    library.Quantize(t.Context(), in, folder+"/none/a", QuantizeOptions{Type: "Q8_0"}),
		"threads":      library.Quantize(t.Context(), in, folder+"/a", QuantizeOptions{Type: "Q8_0", Threads: -1}),
		"a folder":     library.Quantize(t.Context(), in, folder, QuantizeOptions{Type: "Q8_0"}),
		"a link":       library.Quantize(t.Context(), in, link, QuantizeOptions{Type: "Q8_0"}),
	} {
		if err == nil || size(t, folder+"/a") != -1 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAFullDiskIsAnErrorAndNoAbort(t *testing.T) {
	library, _ := open(t)
	in, full := tinyLlama(t, 1, gguf.F16), filepath.Join(t.TempDir(), "full")
	if err := os.Symlink("/dev/full", full); err != nil { // the device itself is only written to
		t.Fatal(err)
	}
	params := library.c.quantDefault()
	params.nThread = 1
	if err := library.quantizeInto(t.Context(), in, full, params, nil); err == nil {
		t.Fatal("a model was written to a full disk")
	}
}
