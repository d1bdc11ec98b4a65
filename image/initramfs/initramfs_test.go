package initramfs

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
)

func sample(t *testing.T, stamp time.Time) []byte {
	t.Helper()
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"etc/issue": 0o600, "bin/run": 0o700} {
		p := filepath.Join(dir, name)
		os.MkdirAll(filepath.Dir(p), 0o700)
		if err := os.WriteFile(p, []byte(name), mode); err != nil {
			t.Fatal(err)
		}
		os.Chtimes(p, stamp, stamp)
	}
	tree := New()
	if err := tree.Overlay(dir); err != nil {
		t.Fatal(err)
	}
	if err := tree.Folder("usr/lib", filepath.Join(dir, "etc")); err != nil {
		t.Fatal(err)
	}
	tree.Symlink("bin/sh", "run")
	tree.Directory("data", 0o755)
	var out bytes.Buffer
	if err := tree.Write(&out, 3); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestTheSameFilesGiveTheSameBytes(t *testing.T) {
	if !bytes.Equal(sample(t, time.Unix(1, 0)), sample(t, time.Now())) {
		t.Fatal("the archive depends on when or where its files were written")
	}
}

func TestCpioListsWhatWasAdded(t *testing.T) {
	if _, err := exec.LookPath("cpio"); err != nil {
		t.Fatal("cpio is missing: apt-get install cpio")
	}
	z, err := zstd.NewReader(bytes.NewReader(sample(t, time.Now())))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	cmd := exec.Command("cpio", "-itv", "--quiet")
	cmd.Stdin = z
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, want := range []string{"-rwxr-xr-x", "bin/sh -> run", "-rw-r--r--", "drwxr-xr-x", "dev/console", "usr/lib/issue"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
}

func TestATreeIsUnpackedAsItWouldBeAtBoot(t *testing.T) {
	tree := New()
	tree.Bytes("bin/run", []byte("program"), 0o755)
	tree.Bytes("etc/a/b", []byte("text"), 0o600)
	tree.Symlink("init", "bin/run")
	tree.Directory("tmp", 0o777)
	dir := filepath.Join(t.TempDir(), "root")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := tree.Unpack(dir); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]os.FileMode{".": os.ModeDir | 0o755, "bin": os.ModeDir | 0o755, "bin/run": 0o755, "etc/a/b": 0o600, "tmp": os.ModeDir | 0o777, "dev": os.ModeDir | 0o755} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode() != want {
			t.Errorf("%s: %v (%v), want %v", name, info, err, want)
		}
	}
	if text, err := os.ReadFile(filepath.Join(dir, "init")); err != nil || string(text) != "program" {
		t.Errorf("init is %q (%v)", text, err)
	}
	if _, err := os.Lstat(filepath.Join(dir, "dev/console")); !os.IsNotExist(err) {
		t.Errorf("a device node was made: %v", err)
	}
	if err := tree.Unpack(dir); err == nil {
		t.Error("it unpacked over what was there")
	}
}
