package qemutests

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fourWrites has QEMU log what qemu-io writes to a disk of zeros: 64 KiB of
// ones, a flush, 64 KiB of twos over half of it, 64 KiB of threes.
func fourWrites(t *testing.T) *WriteLog {
	t.Helper()
	folder := t.TempDir()
	disk, log := filepath.Join(folder, "disk"), filepath.Join(folder, "log")
	if err := os.WriteFile(disk, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(log, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "qemu-utils", "qemu-io", "--image-opts",
		"driver=blklogwrites,file.driver=file,file.filename="+disk+",log.driver=file,log.filename="+log,
		"-c", "write -P 1 0 64k", "-c", "flush", "-c", "write -P 2 32k 64k", "-c", "write -P 3 512k 64k")
	told, err := ReadWriteLog(log)
	if err != nil {
		t.Fatal(err)
	}
	return told
}

// after replays what a cut after n things leaves.
func after(t *testing.T, log *WriteLog, random *rand.Rand, n int) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "replayed")
	disk, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	if err := disk.Truncate(1 << 20); err != nil {
		t.Fatal(err)
	}
	if err := log.Replay(disk, log.PowerCut(random, n)); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func TestWhatIsFlushedSurvivesAPowerCutAndWhatIsNotMayNot(t *testing.T) {
	log := fourWrites(t)
	if len(log.Told) != 6 || !log.Told[1].Flush || !log.Told[4].Flush { // qemu-io flushes at its end, twice
		t.Fatalf("QEMU logged %+v", log.Told)
	}
	random := rand.New(rand.NewPCG(1, 1))
	ones, twos, threes := bytes.Repeat([]byte{1}, 64<<10), bytes.Repeat([]byte{2}, 64<<10), bytes.Repeat([]byte{3}, 64<<10)
	if !bytes.Equal(after(t, log, random, 0), make([]byte, 1<<20)) {
		t.Error("before the first write something was on the disk")
	}
	all := after(t, log, random, 5)
	if !bytes.Equal(all[:32<<10], ones[:32<<10]) || !bytes.Equal(all[32<<10:96<<10], twos) || !bytes.Equal(all[512<<10:576<<10], threes) {
		t.Error("after the last flush not everything is on the disk")
	}
	seen := map[string]int{}
	for range 200 {
		disk := after(t, log, random, 4)
		if !bytes.Equal(disk[:32<<10], ones[:32<<10]) {
			t.Fatal("what was flushed is lost")
		}
		last := disk[512<<10 : 576<<10]
		kept := bytes.Count(last, []byte{3})
		for at := 0; at < len(last); at += logSector {
			if n := bytes.Count(last[at:at+logSector], []byte{3}); n != 0 && n != logSector {
				t.Fatalf("%d bytes of a sector are there", n)
			}
		}
		switch {
		case kept == 64<<10:
			seen["whole"]++
		case kept == 0:
			seen["lost"]++
		default:
			seen["torn"]++
		}
		if disk[64<<10] == 0 && kept > 0 {
			seen["a later write without the one before"]++
		}
	}
	if len(seen) != 4 {
		t.Errorf("of 200 cuts: %v", seen)
	}
}

func TestALogThatIsNoneIsRefused(t *testing.T) {
	log := fourWrites(t)
	whole, err := os.ReadFile(log.path)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		content []byte
		want    string
	}{
		"empty":   {nil, "its header"},
		"zeros":   {make([]byte, 4096), "not a log of writes"},
		"a hole":  {append(bytes.Clone(whole), make([]byte, 512)...), "entry 6 at byte"},
		"garbage": {append(bytes.Clone(whole), bytes.Repeat([]byte{0xff}, 512)...), "entry 6 at byte"},
	} {
		path := filepath.Join(t.TempDir(), "log")
		if err := os.WriteFile(path, c.content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadWriteLog(path); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, whole[:log.Told[3].End-1], 0o600); err != nil {
		t.Fatal(err)
	}
	if short, err := ReadWriteLog(path); err != nil || len(short.Told) != 3 {
		t.Errorf("a log that is cut off: %+v, %v", short, err)
	}
}
