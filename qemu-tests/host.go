package qemutests

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"runa/services/splinter"
)

// Question is what every machine is asked; with temperature 0 its answer is a
// function of the model, the library and the processor's variant of it.
var Question = []string{"ask", "--raw", "--temp", "0", "--n-predict", "24", "Once upon a time"}

// QuestionLine is the same as a person types it.
const QuestionLine = `runa ask --raw --temp 0 --n-predict 24 "Once upon a time"`

// HostWords asks the question of the same programs, libraries and model on this
// host. variant names the library for one sort of processor ("haswell" for
// libggml-cpu-haswell.so) that the guest used: others may round differently.
func HostWords(t testing.TB, a Artefacts, variant string) string {
	t.Helper()
	bus, models := hostBus(t), filepath.Join(t.TempDir(), "models")
	if err := os.Mkdir(models, 0o700); err != nil {
		t.Fatal(err)
	}
	link(t, a.Model, filepath.Join(models, "stories15m.gguf"))
	splinfer := exec.Command(filepath.Join(a.Bin, "splinfer"), "--models", models,
		"--libraries", onlyVariant(t, a.LlamaDir, variant), "--threads", "1")
	splinfer.Env = append(os.Environ(), "RUNA_BUS="+bus, "OMP_WAIT_POLICY=passive", "RUNA_NOTIFY_FD=")
	var said strings.Builder
	splinfer.Stderr = &said
	splinfer.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := splinfer.Start(); err != nil {
		t.Fatalf("start splinfer on this host: %v", err)
	}
	defer func() {
		_ = splinfer.Process.Kill()
		_ = splinfer.Wait()
	}()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ask := exec.CommandContext(ctx, filepath.Join(a.Bin, "runa"), Question...)
	ask.Env = append(os.Environ(), "RUNA_BUS="+bus)
	var complaint strings.Builder
	ask.Stderr = &complaint
	words, err := ask.Output()
	if err != nil {
		t.Fatalf("ask on this host: %v\n%s\nsplinfer said:\n%s", err, complaint.String(), said.String())
	}
	return strings.TrimRight(string(words), "\n")
}

// hostBus makes a bus for one test.
func hostBus(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bus")
	bus, err := splinter.Create(path, splinter.Options{Mode: 0o600})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { bus.Close() })
	return path
}

// onlyVariant returns a folder that links to all of llama.cpp's libraries but
// the processor variants that are not the one named.
func onlyVariant(t testing.TB, libraries, variant string) string {
	t.Helper()
	folder := t.TempDir()
	entries, err := os.ReadDir(libraries)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, entry := range entries {
		name := entry.Name()
		if of, other := strings.CutPrefix(name, "libggml-cpu-"); other {
			if of != variant+".so" {
				continue
			}
			found = true
		}
		link(t, filepath.Join(libraries, name), filepath.Join(folder, name))
	}
	if !found {
		t.Fatalf("the guest used libggml-cpu-%s.so, which is not in %s", variant, libraries)
	}
	return folder
}

func link(t testing.TB, to, name string) {
	t.Helper()
	absolute, err := filepath.Abs(to)
	if err == nil {
		err = os.Symlink(absolute, name)
	}
	if err != nil {
		t.Fatal(err)
	}
}
