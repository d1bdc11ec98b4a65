package datadisk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"runa/services/hint"
)

func tools(t *testing.T) Tools {
	t.Helper()
	find := func(name string) string {
		for _, folder := range []string{"/usr/sbin", "/sbin", "/usr/bin"} {
			if _, err := os.Stat(filepath.Join(folder, name)); err == nil {
				return filepath.Join(folder, name)
			}
		}
		t.Fatalf("%s is missing: apt-get install e2fsprogs", name)
		return ""
	}
	find("mke2fs")
	find("resize2fs")
	return Tools{Run: run, Fsck: find("e2fsck")}
}

func run(ctx context.Context, path string, args ...string) (string, int, error) {
	output, err := exec.CommandContext(ctx, path, args...).CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return string(output), exit.ExitCode(), nil
	}
	return string(output), 0, err
}

// filesystem makes a real ext4 of 32 MiB with block size bytes in a file.
func filesystem(t *testing.T, blockSize int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "data.img")
	writeFile(t, path, "")
	if err := os.Truncate(path, 128<<20); err != nil {
		t.Fatal(err)
	}
	mke2fs := strings.Replace(tools(t).Fsck, "e2fsck", "mke2fs", 1)
	if output, status, err := run(t.Context(), mke2fs, "-q", "-t", "ext4", "-b", fmt.Sprint(blockSize), "-g", "8192", "-L", Label, path, fmt.Sprint(32<<20/blockSize)); err != nil || status != 0 {
		t.Fatalf("%s: %s, %v", mke2fs, output, err)
	}
	return path
}

func overwrite(t *testing.T, path string, at int64, with []byte) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := f.WriteAt(with, at); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestAHealthyFileSystemPassesAndGrows(t *testing.T) {
	path, e2fs := filesystem(t, 4096), tools(t)
	f := overwrite(t, path, 0, nil)
	if repaired, err := e2fs.Check(t.Context(), path, f); err != nil || repaired {
		t.Fatalf("repaired %v, %v", repaired, err)
	}
	if _, _, err := run(t.Context(), e2fs.Fsck, "-fp", path); err != nil { // as resize2fs wants it of a file
		t.Fatal(err)
	}
	if blocks, worth, err := Room(f, 128<<20); err != nil || !worth || blocks != 32768 {
		t.Fatalf("%d blocks, worth %v, %v", blocks, worth, err)
	}
	// What the kernel does on the appliance, resize2fs does to a file.
	resize := strings.Replace(e2fs.Fsck, "e2fsck", "resize2fs", 1)
	if output, status, err := run(t.Context(), resize, path); err != nil || status != 0 {
		t.Fatalf("%s: %s, %v", resize, output, err)
	}
	if s, err := ReadSuperblock(f, superblockOffset); err != nil || s.Bytes() != 128<<20 || s.Label != Label {
		t.Errorf("%+v, %v", s, err)
	}
	if _, worth, err := Room(f, 128<<20); err != nil || worth {
		t.Errorf("a second time: worth %v, %v", worth, err)
	}
}

// withCopy makes a real ext4 as the builder does, large enough for a copy of its
// superblock.
func withCopy(t *testing.T, features string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "data.img")
	mke2fs := strings.Replace(tools(t).Fsck, "e2fsck", "mke2fs", 1)
	if output, status, err := run(t.Context(), mke2fs, "-q", "-t", "ext4", "-O", features, "-b", "4096", "-L", Label, path, "160M"); err != nil || status != 0 {
		t.Fatalf("%s: %s, %v", mke2fs, output, err)
	}
	return path
}

func TestASuperblockUnderAnOldCheckSumIsMended(t *testing.T) {
	path := withCopy(t, "metadata_csum")
	f := overwrite(t, path, superblockOffset+0x0c, []byte{0xff, 0x01}) // free blocks
	overwrite(t, path, superblockOffset+0x2c, []byte{1, 2, 3, 4})      // time of the mount
	overwrite(t, path, superblockOffset+0x3a, []byte{0})               // not unmounted
	if _, err := ReadSuperblock(f, superblockOffset); err == nil {
		t.Fatal("nothing is wrong with it")
	}
	if repaired, err := tools(t).Check(t.Context(), path, f); err != nil || !repaired {
		t.Fatalf("repaired %v, %v (%s)", repaired, err, hint.Of(err))
	}
	if output, status, err := run(t.Context(), tools(t).Fsck, "-fn", path); status != 0 || err != nil {
		t.Errorf("e2fsck -fn: %s (%d, %v)", output, status, err)
	}
	if s, err := ReadSuperblock(f, superblockOffset); err != nil || s.Label != Label {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestASuperblockThatIsNotItsCopysIsNotMended(t *testing.T) {
	for name, at := range map[string]int64{"UUID": 0x68, "blocks in a group": 0x21, "size of inodes": 0x58, "a feature": 0x60, "seed of check sums": 0x270, "the journal's inode": 0xe0} {
		path := withCopy(t, "metadata_csum")
		f := overwrite(t, path, superblockOffset+at, []byte{0x35})
		before, _ := os.ReadFile(path)
		if mended, err := mendChecksum(path); mended || err != nil {
			t.Errorf("%s: mended %v, %v", name, mended, err)
		}
		if _, err := tools(t).Check(t.Context(), path, f); err == nil || !strings.Contains(hint.Of(err), "nothing was changed") {
			t.Errorf("%s: %v", name, err)
		}
		if after, _ := os.ReadFile(path); string(after) != string(before) {
			t.Errorf("%s: something was written", name)
		}
	}
}

func TestAFileSystemWithoutCheckSumsGetsNone(t *testing.T) {
	path := withCopy(t, "^metadata_csum")
	before, _ := os.ReadFile(path)
	if mended, err := mendChecksum(path); mended || err != nil {
		t.Errorf("mended %v, %v", mended, err)
	}
	if after, _ := os.ReadFile(path); string(after) != string(before) {
		t.Error("something was written")
	}
}

func TestABrokenSuperblockIsDiagnosedAndLeftAlone(t *testing.T) {
	for _, c := range []struct {
		name string
		at   int64
		with []byte
	}{
		{"zeros", 0, make([]byte, 4096)},
		{"one bit", superblockOffset + 0x30, []byte{0xff}},
	} {
		path := filesystem(t, 4096)
		f := overwrite(t, path, c.at, c.with)
		before, _ := os.ReadFile(path)
		_, err := tools(t).Check(t.Context(), path, f)
		if c.name == "one bit" && err == nil {
			continue // e2fsck may mend it by itself
		}
		if err == nil || !strings.Contains(err.Error(), "superblock") {
			t.Fatalf("%s: %v", c.name, err)
		}
		if h := hint.Of(err); !strings.Contains(h, "nothing was changed") {
			t.Errorf("%s: hint %q", c.name, h)
		}
		if after, _ := os.ReadFile(path); string(after) != string(before) {
			t.Errorf("%s: something was written", c.name)
		}
	}
}

func TestABackupOfTheSuperblockIsFound(t *testing.T) {
	path := filesystem(t, 1024)
	f := overwrite(t, path, 0, make([]byte, 4096))
	_, err := tools(t).Check(t.Context(), path, f)
	if err == nil || !strings.Contains(err.Error(), "a good copy is in block 8193") {
		t.Fatalf("%v", err)
	}
	if h := hint.Of(err); !strings.Contains(h, "e2fsck -b 8193 -B 1024 "+path) {
		t.Errorf("hint %q", h)
	}
}

func TestErrorsThatNeedADecisionAreNotMended(t *testing.T) {
	fake := Tools{Fsck: "e2fsck", Run: func(context.Context, string, ...string) (string, int, error) {
		return "x: UNEXPECTED INCONSISTENCY; RUN fsck MANUALLY.\n", fsckUncorrected, nil
	}}
	path := filesystem(t, 1024)
	_, err := fake.Check(t.Context(), path, overwrite(t, path, 0, nil))
	if err == nil || !strings.Contains(err.Error(), "person's decision") || hint.Of(err) == "" {
		t.Errorf("%v, hint %q", err, hint.Of(err))
	}
}

func TestAGarbageSuperblockIsAnError(t *testing.T) {
	path := filesystem(t, 1024)
	f := overwrite(t, path, superblockOffset+0x18, []byte{200, 0, 0, 0})
	if _, err := ReadSuperblock(f, superblockOffset); err == nil {
		t.Error("block size 2^210 was accepted")
	}
}

// machine lays out a /sys/class/block and a /dev with the given disks.
func machine(t *testing.T, disks map[string][]byte) (sys, dev string) {
	t.Helper()
	sys, dev = t.TempDir(), t.TempDir()
	for name, content := range disks {
		if err := os.MkdirAll(filepath.Join(sys, name, "queue"), 0o755); err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(sys, name, "size"), fmt.Sprintln(len(content)/512))
		writeFile(t, filepath.Join(sys, name, "queue/logical_block_size"), "512\n")
		writeFile(t, filepath.Join(dev, name), string(content))
	}
	return sys, dev
}

func TestADiskIsFoundWhenItComesLate(t *testing.T) {
	sys, dev := machine(t, nil)
	late, lateDev := machine(t, map[string][]byte{"vda": image(t, 8192, 8192).bytes})
	events := make(chan struct{})
	go func() {
		os.Rename(filepath.Join(lateDev, "vda"), filepath.Join(dev, "vda"))
		os.Rename(filepath.Join(late, "vda"), filepath.Join(sys, "vda"))
		events <- struct{}{}
	}()
	c, err := await(t.Context(), sys, dev, time.Minute, events)
	if err != nil || c.Name() != "vda4" {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestNoDiskSaysWhy(t *testing.T) {
	broken := image(t, 8192, 8192).bytes
	broken[512+60] ^= 1
	broken[len(broken)-512+60] ^= 1
	for want, disks := range map[string]map[string][]byte{
		"the kernel shows no disk":              nil,
		`no GPT partition named "runa-data"`:    {"vda": make([]byte, 1<<20), "sdb": make([]byte, 1<<20)},
		"disk vda: primary partition table: he": {"vda": broken},
	} {
		sys, dev := machine(t, disks)
		_, err := await(t.Context(), sys, dev, 0, nil)
		if !errors.Is(err, ErrNoDisk) || !strings.Contains(err.Error(), want) || hint.Of(err) == "" {
			t.Errorf("want %q: %v, hint %q", want, err, hint.Of(err))
		}
	}
}

func TestOfSeveralDisksNoneIsGuessed(t *testing.T) {
	a := Candidate{Disk: "vda", System: true, Partition: Partition{Number: 4}}
	b := Candidate{Disk: "nvme0n1", Partition: Partition{Number: 2}}
	if c, err := Choose([]Candidate{b, a}); err != nil || c.Disk != "vda" {
		t.Errorf("%+v, %v", c, err)
	}
	b.System = true
	_, err := Choose([]Candidate{a, b})
	if err == nil || !strings.Contains(err.Error(), "vda4 and nvme0n1p2") || hint.Of(err) == "" {
		t.Errorf("%v", err)
	}
}
