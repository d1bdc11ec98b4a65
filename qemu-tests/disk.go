package qemutests

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/u-root/u-root/pkg/cpio"

	"runa/image/disk"
)

// Overlay makes a disk that starts as the image and keeps what a guest writes
// to itself, so that every test has a fresh one at no cost.
func Overlay(t testing.TB, image string) string {
	t.Helper()
	base, err := filepath.Abs(image)
	if err != nil {
		t.Fatal(err)
	}
	overlay := filepath.Join(t.TempDir(), "disk.qcow2")
	run(t, "qemu-utils", "qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", base, overlay)
	return overlay
}

// run runs a tool and fails the test with its words if the tool failed.
// debianPackage names what to install if the tool is missing.
func run(t testing.TB, debianPackage, tool string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(tool); err != nil {
		t.Fatalf("%v: apt-get install %s", err, debianPackage)
	}
	output, err := exec.CommandContext(t.Context(), tool, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", tool, args, err, output)
	}
	return string(output)
}

// DataPartition returns a raw copy of the whole disk and where its data
// partition is: the first byte and the number of bytes.
func DataPartition(t testing.TB, overlay string) (raw string, start, size int64) {
	t.Helper()
	raw = filepath.Join(t.TempDir(), "disk.raw")
	run(t, "qemu-utils", "qemu-img", "convert", "-O", "raw", overlay, raw)
	file, err := os.Open(raw)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	layout, err := disk.Read(file, info.Size())
	if err != nil {
		t.Fatalf("%s: %v", overlay, err)
	}
	part, found := layout.Part(disk.DataName)
	if !found {
		t.Fatalf("%s has no partition %s", overlay, disk.DataName)
	}
	return raw, part.Start, part.Size
}

// RequireCleanData fails the test unless the file system of the data partition
// is without a fault and was unmounted: e2fsck -fn finds nothing and no journal
// has to be replayed.
func RequireCleanData(t testing.TB, overlay string) {
	t.Helper()
	raw, start, _ := DataPartition(t, overlay)
	requireCleanAt(t, raw, start)
}

// requireCleanAt is RequireCleanData for a raw disk whose data partition begins
// at the byte start.
func requireCleanAt(t testing.TB, raw string, start int64) {
	t.Helper()
	output := run(t, "e2fsprogs", "e2fsck", "-fn", fmt.Sprintf("%s?offset=%d", raw, start))
	if strings.Contains(output, "recovery") {
		t.Fatalf("/data was not unmounted:\n%s", output)
	}
}

// Initramfs returns a copy of the initramfs with more files laid over it. The
// kernel unpacks archives that follow each other one after another, so later
// files win.
func Initramfs(t testing.TB, base string, files map[string]string) string {
	t.Helper()
	content, err := os.ReadFile(base)
	if err != nil {
		t.Fatal(err)
	}
	more, err := archive(files)
	if err != nil {
		t.Fatalf("archive more files for the initramfs: %v", err)
	}
	content = append(content, make([]byte, (4-len(content)%4)%4)...) // an archive starts at a multiple of 4
	path := filepath.Join(t.TempDir(), "initramfs")
	if err := os.WriteFile(path, append(content, more...), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// archive packs files (path without the leading slash: content) as cpio. What
// starts like a program may be executed.
func archive(files map[string]string) ([]byte, error) {
	var packed bytes.Buffer
	writer := cpio.Newc.Writer(&packed)
	for path, content := range files {
		mode := uint64(0o644)
		if bytes.HasPrefix([]byte(content), []byte("\x7fELF")) {
			mode = 0o755
		}
		if err := writer.WriteRecord(cpio.StaticFile(path, content, mode)); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	if err := cpio.WriteTrailer(writer); err != nil {
		return nil, err
	}
	return packed.Bytes(), nil
}

// fails runs a program that must fail and returns what it said.
func fails(t testing.TB, program string, args ...string) string {
	t.Helper()
	output, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput()
	if err == nil {
		t.Fatalf("%s %v: it should have failed, but said\n%s", program, args, output)
	}
	return string(output)
}
