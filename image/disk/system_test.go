package disk

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/containerd/go-dmverity/pkg/verity"

	"runa/init/systemdisk"
	"runa/services/hint"
)

// aTree makes a folder with what a root file system has; order is that in which
// its files are made.
func aTree(t *testing.T, order ...string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range order {
		content := bytes.Repeat([]byte(name), 30_000)
		if err := os.WriteFile(filepath.Join(dir, "bin", name), content, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Symlink("bin/gilgul", filepath.Join(dir, "init")), os.Mkdir(filepath.Join(dir, "tmp"), 0o755), os.Chmod(filepath.Join(dir, "tmp"), 0o777)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func writeOne(t *testing.T, tree string) (systemdisk.System, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "system")
	s, err := WriteSystem(t.Context(), tree, path, time.Time{}, Tools{})
	if err != nil {
		t.Fatalf("%v\nhint: %s", err, hint.Of(err))
	}
	return s, path
}

func TestASystemIsTheSameBytesWhereverItIsMade(t *testing.T) {
	one, first := writeOne(t, aTree(t, "gilgul", "runa", "bb"))
	other, second := writeOne(t, aTree(t, "bb", "runa", "gilgul"))
	a, errA := os.ReadFile(first)
	b, errB := os.ReadFile(second)
	if err := errors.Join(errA, errB); err != nil {
		t.Fatal(err)
	}
	if one != other || !bytes.Equal(a, b) {
		t.Errorf("the same files gave %v and %v", one, other)
	}
	if different, _ := writeOne(t, aTree(t, "gilgul", "runa")); different.Root == one.Root {
		t.Error("other files gave the same root")
	}
}

func TestASystemHoldsItsFilesUnderItsTreeOfHashes(t *testing.T) {
	tree := aTree(t, "gilgul", "runa")
	s, path := writeOne(t, tree)
	back := filepath.Join(t.TempDir(), "back")
	output(t, "fsck.erofs", "erofs-utils", "--extract="+back, path)
	for _, name := range []string{"bin/gilgul", "bin/runa"} {
		want, errA := os.ReadFile(filepath.Join(tree, name))
		got, errB := os.ReadFile(filepath.Join(back, name))
		if errors.Join(errA, errB) != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes differ (%v, %v)", name, len(got), errA, errB)
		}
	}
	if target, err := os.Readlink(filepath.Join(back, "init")); err != nil || target != "bin/gilgul" {
		t.Errorf("init leads to %q (%v)", target, err)
	}

	check := func() error {
		return verity.Verify(&verity.Params{
			HashName: "sha256", HashType: 1, DataBlockSize: systemdisk.BlockSize, HashBlockSize: systemdisk.BlockSize,
			DataBlocks: s.Blocks, HashAreaOffset: s.Blocks * systemdisk.BlockSize, NoSuperblock: true,
		}, path, path, s.Root[:])
	}
	if err := check(); err != nil {
		t.Errorf("the tree of hashes is not that of the files: %v", err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{0, len(content) / 2, int(s.Blocks)*systemdisk.BlockSize - 1, len(content) - 1} {
		content[at] ^= 1
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if check() == nil {
			t.Errorf("byte %d was changed and nothing is wrong", at)
		}
		content[at] ^= 1
	}
}

func TestASystemThatCannotBeMadeLeavesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "system")
	if _, err := WriteSystem(t.Context(), filepath.Join(t.TempDir(), "nowhere"), path, time.Time{}, Tools{}); err == nil {
		t.Error("a folder that isn't there was taken")
	}
	if _, err := WriteSystem(t.Context(), t.TempDir(), path, time.Time{}, Tools{MkfsErofs: "/nowhere/mkfs.erofs"}); err == nil || hint.Of(err) == "" {
		t.Errorf("without the tool: %v, hint %q", err, hint.Of(err))
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something is left: %v", err)
	}
}
