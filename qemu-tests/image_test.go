package qemutests

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"runa/image/build"
	"runa/image/cache"
)

// buildImage makes all targets of this checkout, as `make image TARGET=all` does. What
// is slow to make is kept in the empty folder, or without one in the person's own cache.
func buildImage(t testing.TB, out, model, emptyCache string) {
	t.Helper()
	bin := FindArtefacts(t).Bin
	t.Helper()
	command := exec.Command(filepath.Join(bin, "runa-image"), "build", "--root", "..", "--programs", bin, "--out", out, "--model", model, "--target", "all")
	if emptyCache != "" {
		command.Env = append(os.Environ(), "XDG_CACHE_HOME="+emptyCache)
	}
	if said, err := command.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", out, err, said)
	}
}

// With RUNA_EMPTY_CACHES (make test-all) each build also compiles a kernel and all else
// of its own; without, both take those from the cache.
func TestTwoBuildsInDifferentFoldersGiveTheSameBytes(t *testing.T) {
	first, second := t.TempDir(), filepath.Join(t.TempDir(), "a", "longer", "path")
	for _, out := range []string{first, second} {
		empty := ""
		if os.Getenv("RUNA_EMPTY_CACHES") != "" {
			empty = t.TempDir()
		}
		buildImage(t, out, "stories15m", empty)
	}
	for _, path := range build.In(first).Files(build.AllTargets...) {
		name := filepath.Base(path)
		one, err := cache.FileHash(path)
		if err != nil {
			t.Fatal(err)
		}
		other, err := cache.FileHash(filepath.Join(second, name))
		if err != nil {
			t.Fatal(err)
		}
		if one != other {
			t.Errorf("%s: %s and %s", name, one, other)
		}
	}
}

// mostImage is the most that an image without a model may have, in bytes.
const mostImage = 64 << 20

func TestAnImageWithoutAModelIsSmallAndSound(t *testing.T) {
	out := t.TempDir()
	buildImage(t, out, "none", "")
	image := filepath.Join(out, "runa.qcow2")
	info, err := os.Stat(image)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > mostImage {
		t.Errorf("the image has %d bytes, more than 64 MiB", info.Size())
	}
	run(t, "qemu-utils", "qemu-img", "check", "-q", image)
}

func TestInspectNamesEveryPartAndNoticesAChangedOne(t *testing.T) {
	artefacts := FindArtefacts(t)
	inspect := filepath.Join(artefacts.Bin, "runa-image")
	said := run(t, "golang", inspect, "inspect", artefacts.Image)
	for _, want := range []string{
		`runa-boot`, `runa-data`, `boot +grub +2\.\S+ +GPL-3\.0`,
		`kernel +linux +6\.12\S* +GPL-2\.0-only`, `model +stories15m .*MIT`, `program +gilgul .*Apache-2\.0`,
		`library +libllama\S* .*MIT`, `library +libc\.so\.6 .*LGPL`, `userland +bb .*BSD-3-Clause`,
		`(?m)^/boot/bzImage is what the inventory says`, `(?m)^partition runa-system is what the inventory says`, `(?m)^partition runa-chromeos is what the inventory says`, `(?m)^/EFI/BOOT/BOOTX64.EFI is what the inventory says`,
	} {
		if !regexp.MustCompile(want).MatchString(said) {
			t.Errorf("nothing matches %q in\n%s", want, said)
		}
	}

	raw := filepath.Join(t.TempDir(), "raw")
	run(t, "qemu-utils", "qemu-img", "convert", "-O", "raw", artefacts.Image, raw)
	kernel, err := os.ReadFile(artefacts.Kernel)
	if err != nil {
		t.Fatal(err)
	}
	disk, err := os.ReadFile(raw)
	if err != nil {
		t.Fatal(err)
	}
	at := strings.Index(string(disk), string(kernel[:4096]))
	if at < 0 {
		t.Fatal("the kernel is nowhere on the disk")
	}
	disk[at+1000] ^= 1
	if err := os.WriteFile(raw, disk, 0o600); err != nil {
		t.Fatal(err)
	}
	changed := fails(t, inspect, "inspect", raw)
	if !strings.Contains(changed, "bzImage is not what the inventory says: its sha256 is") || !strings.Contains(changed, "hint: ") {
		t.Errorf("of a changed kernel it says\n%s", changed)
	}
}
