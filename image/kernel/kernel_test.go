package kernel

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"runa/image/cache"
	"runa/image/progress"
	"runa/services/hint"
)

// toyMakefile behaves towards the builder as the kernel's does, in a moment: its
// allnoconfig silently drops CONFIG_DROPPED, bzImage can fail or hang.
const toyMakefile = `
allnoconfig:
	grep -v CONFIG_DROPPED $(KCONFIG_ALLCONFIG) > .config
bzImage:
	@echo '  CC      init/main.o'
	@if grep -q '^CONFIG_HANG=y' .config; then echo $$$$ > "$$HOME/hanging"; mv "$$HOME/hanging" "$$HOME/hangs"; exec sleep 600; fi
	@if grep -q '^CONFIG_FAIL=y' .config; then echo 'init/main.c:1: error: no such thing' >&2; exit 1; fi
	@mkdir -p arch/x86/boot include/config
	@{ cat .config; echo "$$KBUILD_BUILD_USER $$KBUILD_BUILD_TIMESTAMP"; } > arch/x86/boot/bzImage
	@cp "$$(command -v make)" vmlinux
	@echo 6.0.1 > include/config/kernel.release
	@echo '  BUILD   arch/x86/boot/bzImage'
`

// toy returns a builder whose source is an archive of a toy kernel, laid out as
// Debian's package is, and whose vm target is the given fragment.
func toy(t *testing.T, fragment string) Builder {
	t.Helper()
	t.Setenv("HOME", t.TempDir())
	if err := checkTools(host{}); err != nil {
		t.Fatalf("%v (%s)", err, hint.Of(err))
	}
	root := t.TempDir()
	tree := filepath.Join(root, "linux-source-6.0")
	files := map[string]string{
		"Makefile":                    toyMakefile,
		"Kconfig":                     "config GOOD\nconfig DROPPED\nconfig FAIL\nconfig HANG\n",
		"Documentation/Kconfig":       "\n",
		"Documentation/admin/long.md": "not needed\n",
	}
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(tree, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(tree, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	source := filepath.Join(root, "package")
	if err := os.MkdirAll(filepath.Join(source, "usr/src"), 0o755); err != nil {
		t.Fatal(err)
	}
	archive := filepath.Join(source, "usr/src/linux-source-6.0.tar.xz")
	if out, err := exec.Command("tar", "-C", root, "-cJf", archive, "linux-source-6.0").CombinedOutput(); err != nil {
		t.Fatalf("pack the toy kernel: %v: %s", err, out)
	}
	config := writeConfig(t, map[string]string{
		"targets.yaml": "vm: {fragments: [toy], steps: 2}\n",
		"toy.config":   fragment,
	})
	return Builder{Source: source, Config: config, Cache: cache.Cache{Root: t.TempDir()}, Jobs: 1}
}

func TestAKernelIsBuiltOnceAndThenFound(t *testing.T) {
	builder := toy(t, "CONFIG_GOOD=y\n")
	var shown bytes.Buffer
	builder.Progress = progress.New(&shown)
	first, err := builder.Build(context.Background(), "vm")
	if err != nil {
		t.Fatal(err)
	}
	if first.Version != "6.0.1" {
		t.Errorf("version = %q, want 6.0.1", first.Version)
	}
	image, err := os.ReadFile(first.BzImage)
	if err != nil {
		t.Fatal(err)
	}
	if want := "CONFIG_GOOD=y\nruna Tue Jan  1 00:00:00 UTC 1980\n"; string(image) != want {
		t.Errorf("bzImage is %q, want %q", image, want)
	}
	for _, name := range []string{"vmlinux", "config", "build.log"} {
		if info, err := os.Stat(filepath.Join(first.Dir, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if _, err := os.Stat(filepath.Join(first.Dir, "source")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the source is still beside the kernel: %v", err)
	}
	if !strings.Contains(shown.String(), "compile the kernel: done in") {
		t.Errorf("progress was %q", shown.String())
	}

	shown.Reset()
	second, err := builder.Build(context.Background(), "vm")
	if err != nil || second != first {
		t.Errorf("second build: %+v, %v; want %+v", second, err, first)
	}
	if shown.Len() != 0 {
		t.Errorf("the second build worked: %q", shown.String())
	}
}

func TestPatchesAreAppliedAndPartOfWhatAKernelIs(t *testing.T) {
	builder := toy(t, "CONFIG_GOOD=y\n")
	builder.Archive = []byte("an archive")
	plain, err := builder.Build(context.Background(), "vm")
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(builder.Config, "patches")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(folder, "a.patch"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("Why.\n--- a/Makefile\n+++ b/Makefile\n@@ -6,3 +6,3 @@\n \t@if grep -q '^CONFIG_HANG=y' .config; then echo $$$$ > \"$$HOME/hanging\"; mv \"$$HOME/hanging\" \"$$HOME/hangs\"; exec sleep 600; fi\n" +
		"-\t@if grep -q '^CONFIG_FAIL=y' .config; then echo 'init/main.c:1: error: no such thing' >&2; exit 1; fi\n+\t@test -f preinit.cpio && echo patched >> .config\n \t@mkdir -p arch/x86/boot include/config\n")
	patched, err := builder.Build(context.Background(), "vm")
	if err != nil {
		t.Fatal(err)
	}
	image, err := os.ReadFile(patched.BzImage)
	if err != nil || !strings.Contains(string(image), "patched") || patched.Dir == plain.Dir {
		t.Errorf("bzImage is %q in %s (%v), the one before was in %s", image, patched.Dir, err, plain.Dir)
	}
	builder.Archive = []byte("another archive")
	if again, err := builder.Build(context.Background(), "vm"); err != nil || again.Dir == patched.Dir {
		t.Errorf("with another archive: %s (%v)", again.Dir, err)
	}
	write("--- a/Makefile\n+++ b/Makefile\n@@ -1,2 +1,2 @@\n-never there\n+else\n")
	if _, err := builder.Build(context.Background(), "vm"); err == nil || !strings.Contains(hint.Of(err), "make it anew") {
		t.Errorf("a patch for another source: %v, hint %q", err, hint.Of(err))
	}
}

func TestAChangedFragmentIsAnotherKernel(t *testing.T) {
	builder := toy(t, "CONFIG_GOOD=y\n")
	first, err := builder.Build(context.Background(), "vm")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(builder.Config, "toy.config"), []byte("CONFIG_GOOD=n\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	second, err := builder.Build(context.Background(), "vm")
	if err != nil {
		t.Fatal(err)
	}
	if first.Dir == second.Dir {
		t.Error("the changed fragment found the old kernel")
	}
}

func TestASymbolThatTheKernelDropsEndsTheBuildBeforeCompiling(t *testing.T) {
	builder := toy(t, "CONFIG_GOOD=y\nCONFIG_DROPPED=y\nCONFIG_FAIL=y\n")
	_, err := builder.Build(context.Background(), "vm")
	if err == nil || !strings.Contains(err.Error(), "toy.config:2: CONFIG_DROPPED was asked for as y but is n") {
		t.Errorf("error = %v", err)
	}
}

func TestAFailedBuildShowsTheCompilersLastLinesAndKeepsTheLog(t *testing.T) {
	builder := toy(t, "CONFIG_FAIL=y\n")
	_, err := builder.Build(context.Background(), "vm")
	if err == nil || !strings.Contains(err.Error(), "init/main.c:1: error: no such thing") {
		t.Fatalf("error = %v, want the compiler's message", err)
	}
	advice, path, _ := strings.Cut(hint.Of(err), " is in ")
	if advice != "the whole output" {
		t.Fatalf("hint = %q", hint.Of(err))
	}
	log, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(log), "no such thing") {
		t.Errorf("log %s: %q, %v", path, log, err)
	}
}

func TestGivingUpEndsTheCompilers(t *testing.T) {
	builder := toy(t, "CONFIG_HANG=y\n")
	ctx, cancel := context.WithCancel(context.Background())
	hangs := filepath.Join(os.Getenv("HOME"), "hangs")
	go func() { // give up as soon as the build hangs
		for ctx.Err() == nil {
			if _, err := os.Stat(hangs); err == nil {
				cancel()
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	_, err := builder.Build(ctx, "vm")
	cancel()
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v, want %v", err, context.Canceled)
	}
	pid, err := os.ReadFile(hangs)
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		stat, err := os.ReadFile(filepath.Join("/proc", strings.TrimSpace(string(pid)), "stat"))
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return // gone, or dead and waiting for its parent
		}
		if time.Now().After(deadline) {
			t.Fatalf("the compiler still runs: %s", stat)
		}
	}
}

func TestTheSourceIsFoundOrItsAbsenceExplained(t *testing.T) {
	root := t.TempDir()
	if _, err := findTarball(root); err == nil || !strings.Contains(err.Error(), "linux-source-*.tar.xz") {
		t.Errorf("empty folder: error = %v", err)
	}
	if _, err := findTarball(filepath.Join(root, "absent")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent folder: error = %v", err)
	}
	one := filepath.Join(root, "linux-source-6.1.tar.xz")
	if err := os.WriteFile(one, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, source := range []string{root, one} {
		if got, err := findTarball(source); err != nil || got != one {
			t.Errorf("%s: %q, %v; want %s", source, got, err, one)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "linux-source-6.2.tar.xz"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := findTarball(root); err == nil || !strings.Contains(err.Error(), "2 archives") {
		t.Errorf("two archives: error = %v", err)
	}
}
