package disk

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"runa/services/hint"
)

const (
	grubFolder = "/usr/lib/grub/i386-pc"
	stubPath   = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub"
	testSize   = 96 * mebibyte
)

// needs stops the test when a program or file it works on isn't installed.
func needs(t testing.TB, name, debian string) string {
	t.Helper()
	path := name
	if !filepath.IsAbs(name) {
		path = find(name)
	}
	if _, err := os.Stat(path); path == "" || err != nil {
		t.Fatalf("%s is missing: apt-get install %s", name, debian)
	}
	return path
}

// testKernel is as much of a bzImage as this package looks at.
func testKernel() []byte {
	kernel := bytes.Repeat([]byte("kernel"), 30000)
	copy(kernel, "MZ")
	copy(kernel[0x202:], "HdrS")
	return kernel
}

// testModel has zeros inside, which a file system may store as a hole.
func testModel() []byte {
	model := make([]byte, 3*mebibyte+77)
	for i := range model[:mebibyte] {
		model[i] = byte(i*i>>7) | 1
	}
	copy(model[len(model)-7:], "the end")
	return model
}

// testSpec writes sources into a new folder and returns a Spec of them.
func testSpec(t *testing.T) Spec {
	t.Helper()
	for name, debian := range map[string]string{
		"grub-mkimage": "grub-common", grubFolder: "grub-pc-bin", "mkfs.fat": "dosfstools", "mcopy": "mtools", "mke2fs": "e2fsprogs",
	} {
		needs(t, name, debian)
	}
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return Spec{
		Size: testSize, Label: "test", GRUB: grubFolder, CommandLine: "console=ttyS0 console=hvc0 gilgul.console=root",
		Kernel: write("my kernel", testKernel()), Chrome: write("chrome", bytes.Repeat([]byte("CHROMEOS"), 1000)), System: write("system", bytes.Repeat([]byte("erofs"), 500_000)),
		UKI: write("uki", bytes.Repeat([]byte("uki"), 70000)),
		Data: []DataFile{
			{Path: "/models/story.gguf", Source: write("a model's file", testModel()), UID: 102, GID: 100, Mode: 0o640},
			{Path: "/models/deep/empty", Source: write("empty", nil)},
		},
		Folders: []DataFolder{{Path: "/import", UID: 1000, GID: 100}, {Path: "/models", GID: 7, Mode: 0o750}},
	}
}

func buildImage(t *testing.T, spec Spec) (*os.File, Layout) {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), "an image?.img"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	layout, err := Build(context.Background(), spec, out)
	if err != nil {
		t.Fatalf("%v\nhint: %s", err, hint.Of(err))
	}
	return out, layout
}

func sum(t *testing.T, file *os.File) string {
	t.Helper()
	hash := sha256.New()
	if _, err := io.Copy(hash, io.NewSectionReader(file, 0, 1<<62)); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", hash.Sum(nil))
}

func TestSameInputsGiveTheSameBytes(t *testing.T) {
	spec := testSpec(t)
	first, _ := buildImage(t, spec)

	// The same content in other files: another folder and inode, other times,
	// modes and holes; and an output that held something else before.
	again := testSpec(t)
	old := time.Date(2001, 2, 3, 4, 5, 6, 7, time.UTC)
	for _, path := range []string{again.Kernel, again.System, again.UKI, again.Data[0].Source} {
		if err := errors.Join(os.Chtimes(path, old, old), os.Chmod(path, 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	punch(t, again.Data[0].Source, testModel())
	t.Setenv("SOURCE_DATE_EPOCH", "1000000000")
	t.Setenv("TZ", "Asia/Tokyo")
	out, err := os.Create(filepath.Join(t.TempDir(), "other.img"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if _, err := out.Write(bytes.Repeat([]byte("old"), 5*mebibyte)); err != nil {
		t.Fatal(err)
	}
	if _, err := Build(context.Background(), again, out); err != nil {
		t.Fatal(err)
	}
	if a, b := sum(t, first), sum(t, out); a != b {
		t.Errorf("two builds differ: %s and %s", a, b)
	}

	again.Label = "other"
	other, _ := buildImage(t, again)
	if sum(t, first) == sum(t, other) {
		t.Error("another label gives the same bytes")
	}
}

// punch writes data to path once more, leaving out its pages of zeros.
func punch(t *testing.T, path string, data []byte) {
	t.Helper()
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := file.Truncate(int64(len(data))); err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(data); at += 4096 {
		page := data[at:min(at+4096, len(data))]
		if len(bytes.Trim(page, "\x00")) > 0 {
			if _, err := file.WriteAt(page, int64(at)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// output runs a program and returns what it printed.
func output(t *testing.T, name, debian string, args ...string) string {
	t.Helper()
	command := exec.Command(needs(t, name, debian), args...)
	command.Env = append(os.Environ(), "MTOOLSRC=/dev/null", "MTOOLS_SKIP_CHECK=1")
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// extract copies a partition into a file of its own.
func extract(t *testing.T, image *os.File, part Part) string {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), part.Name))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := io.Copy(file, io.NewSectionReader(image, part.Start, part.Size)); err != nil {
		t.Fatal(err)
	}
	return file.Name()
}

func TestFileSystemsAreCleanAndHoldTheFiles(t *testing.T) {
	spec := testSpec(t)
	image, layout := buildImage(t, spec)

	boot := extract(t, image, layout.must(BootName))
	if out := output(t, "fsck.fat", "dosfstools", "-n", boot); !strings.Contains(out, "8 files") || strings.Count(out, "\n") != 2 {
		t.Errorf("fsck.fat: %s", out)
	}
	for path, source := range map[string]string{UKIPath: spec.UKI, KernelPath: spec.Kernel} {
		want, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		if got := output(t, "mtype", "mtools", "-i", boot, "::"+path); got != string(want) {
			t.Errorf("%s: %d bytes differ from the source's %d", path, len(got), len(want))
		}
	}
	if got := output(t, "mtype", "mtools", "-i", boot, "::"+GRUBPath); got != grubConfiguration(spec.CommandLine) {
		t.Errorf("grub.cfg:\n%s", got)
	}

	system, err := os.ReadFile(extract(t, image, layout.must(SystemName)))
	if err != nil {
		t.Fatal(err)
	}
	if want, err := os.ReadFile(spec.System); err != nil || !bytes.Equal(bytes.TrimRight(system, "\x00"), want) {
		t.Errorf("the system's partition is another than the file (%v)", err)
	}

	data := extract(t, image, layout.must(DataName))
	output(t, "e2fsck", "e2fsprogs", "-fn", data)
	debugfs := func(command string) string { return output(t, "debugfs", "e2fsprogs", "-R", command, data) }
	back := filepath.Join(t.TempDir(), "back")
	debugfs("dump /models/story.gguf " + back)
	if got, err := os.ReadFile(back); err != nil || !bytes.Equal(got, testModel()) {
		t.Errorf("model: %d bytes differ (%v)", len(got), err)
	}
	listing := debugfs("ls -l /") + debugfs("ls -l /models") + debugfs("ls -l /models/deep")
	for _, want := range []string{"100640 (1)    102    100   3145805", "40755 (2)      0      0    4096", "40755 (2)   1000    100    4096", "40750 (2)      0      7    4096", "100644 (1)      0      0       0"} {
		if !strings.Contains(listing, want) {
			t.Errorf("no %q in\n%s", want, listing)
		}
	}
	groups := output(t, "dumpe2fs", "e2fsprogs", data)
	if n := strings.Count(groups, ": (Blocks "); n == 0 || n != strings.Count(groups, "ITABLE_ZEROED") {
		t.Errorf("something is left to be initialised later:\n%s", groups)
	}
}

func TestTableIsReadBackFromBothCopies(t *testing.T) {
	image, layout := buildImage(t, testSpec(t))
	for _, sector := range []uint64{1, testSize/sectorSize - 1} {
		got, err := readTable(image, testSize, sector)
		if err != nil || fmt.Sprint(got) != fmt.Sprint(layout) {
			t.Errorf("sector %d: %+v (%v), expected %+v", sector, got, err, layout)
		}
	}
	for i, want := range []string{BIOSName + TypeBIOSBoot, BootName + TypeESP, ChromeName + TypeChromeOS, SystemName + TypeLinux, DataName + TypeLinux} {
		if part := layout.Parts[i]; part.Name+part.Type != want || part.Start%mebibyte != 0 || part.Size%mebibyte != 0 {
			t.Errorf("partition %d: %+v", i+1, part)
		}
	}
	if part, ok := layout.Part(BootName); !ok || part.Attributes != AttributeLegacyBoot {
		t.Errorf("boot partition: %+v", part)
	}
}

func TestBootCodeLeadsToCore(t *testing.T) {
	image, layout := buildImage(t, testSpec(t))
	little := binary.LittleEndian
	sector := make([]byte, sectorSize)
	if _, err := image.ReadAt(sector, 0); err != nil {
		t.Fatal(err)
	}
	at := int64(little.Uint64(sector[bootCoreSector:])) * sectorSize
	if at != layout.must(BIOSName).Start || sector[510] != 0x55 || sector[511] != 0xaa || sector[450] != 0xee {
		t.Fatalf("boot code loads byte %d, or no protective MBR: %x", at, sector[446:])
	}
	core := make([]byte, biosSize)
	if _, err := image.ReadAt(core, at); err != nil {
		t.Fatal(err)
	}
	length := (int(little.Uint16(core[coreListLength:])) + 1) * sectorSize
	if next := little.Uint64(core[coreListSector:]); int64(next)*sectorSize != at+sectorSize {
		t.Errorf("core.img goes on in sector %d", next)
	}
	if len(bytes.Trim(core[length:], "\x00")) != 0 || len(bytes.Trim(core[length-sectorSize:length], "\x00")) == 0 {
		t.Errorf("core.img does not end after %d bytes", length)
	}
}

func TestSizeZeroMakesRoomForTheData(t *testing.T) {
	spec := testSpec(t)
	spec.Size = 0
	image, _ := buildImage(t, spec)
	if info, err := image.Stat(); err != nil || info.Size() != DefaultSize {
		t.Errorf("size %d (%v)", info.Size(), err)
	}
	large := filepath.Join(t.TempDir(), "large")
	if err := errors.Join(os.WriteFile(large, nil, 0o600), os.Truncate(large, 2<<30)); err != nil {
		t.Fatal(err)
	}
	spec.Data = append(spec.Data, DataFile{Path: "/models/large", Source: large})
	if _, layout := buildImage(t, spec); layout.must(DataName).Size < 2<<30+minimumFree {
		t.Errorf("data partition of %d bytes for 2 GiB of data", layout.must(DataName).Size)
	}
}
