package datadisk

import (
	"bytes"
	"errors"
	"hash/crc32"
	"os"
	"strings"
	"testing"
	"unicode/utf16"

	"pgregory.net/rapid"
)

// memory is a disk that can lose its power: after the given number of sectors
// written, nothing reaches it any more.
type memory struct {
	bytes []byte
	left  int // sectors that still reach the disk, -1 for all
}

var errPowerCut = errors.New("power cut")

func (m *memory) ReadAt(p []byte, at int64) (int, error) {
	return bytes.NewReader(m.bytes).ReadAt(p, at)
}
func (m *memory) Sync() error { return nil }

func (m *memory) WriteAt(p []byte, at int64) (int, error) {
	for done := 0; done < len(p); done += 512 {
		if m.left == 0 {
			return done, errPowerCut
		}
		if m.left > 0 {
			m.left--
		}
		copy(m.bytes[at+int64(done):], p[done:min(done+512, len(p))])
	}
	return len(p), nil
}

// image makes a disk of imageSectors with a system partition and the data
// partition at its end, lying on a disk of diskSectors.
func image(tb testing.TB, imageSectors, diskSectors uint64) *memory {
	tb.Helper()
	disk := &memory{bytes: make([]byte, diskSectors*512), left: -1}
	t := &Table{sectorSize: 512, sectors: imageSectors, header: make([]byte, headerSize), entries: make([]byte, 128*128)}
	copy(t.header, signature)
	le.PutUint32(t.header[8:], 0x10000)
	le.PutUint32(t.header[12:], headerSize)
	le.PutUint64(t.header[offFirstUsable:], 34)
	le.PutUint64(t.header[offLastUsable:], imageSectors-34)
	le.PutUint32(t.header[offEntryCount:], 128)
	le.PutUint32(t.header[offEntrySize:], 128)
	put(t, 1, SystemPartition, 2048, 4095, "esp")
	put(t, 4, LinuxData, 4096, (imageSectors-33)/2048*2048-1, Label)
	disk.bytes[446+4], disk.bytes[510], disk.bytes[511] = 0xee, 0x55, 0xaa
	le.PutUint32(disk.bytes[446+8:], 1)
	if err := t.Write(disk); err != nil {
		tb.Fatal(err)
	}
	return disk
}

func put(t *Table, number int, kind GUID, first, last uint64, name string) {
	e := t.entry(number)
	copy(e, kind[:])
	le.PutUint64(e[32:], first)
	le.PutUint64(e[40:], last)
	for i, u := range utf16.Encode([]rune(name)) {
		le.PutUint16(e[56+2*i:], u)
	}
}

func TestTheDataPartitionIsFoundByTypeAndName(t *testing.T) {
	table, err := ReadTable(image(t, 20480, 20480), 20480, 512)
	if err != nil {
		t.Fatal(err)
	}
	p, ok := table.Find(LinuxData, Label)
	if !ok || p.Number != 4 || p.First != 4096 || p.Last != 18431 || table.FromBackup {
		t.Errorf("got %+v, %v, from backup %v", p, ok, table.FromBackup)
	}
	if _, ok := table.Find(SystemPartition, Label); ok {
		t.Error("found by name alone")
	}
}

func TestGrowingReachesTheEndOfTheDiskOnce(t *testing.T) {
	disk := image(t, 20480, 65536)
	table, err := ReadTable(disk, 65536, 512)
	if err != nil {
		t.Fatal(err)
	}
	grown, changed := table.Grow(4)
	if !changed {
		t.Fatal("nothing grew")
	}
	if err := grown.Write(disk); err != nil {
		t.Fatal(err)
	}
	again, err := ReadTable(disk, 65536, 512)
	if err != nil {
		t.Fatal(err)
	}
	if p, _ := again.Find(LinuxData, Label); p.First != 4096 || p.Last != 63487 {
		t.Errorf("got %+v", p)
	}
	if _, changed := again.Grow(4); changed {
		t.Error("a second start grew it again")
	}
	if length := le.Uint32(disk.bytes[446+12:]); length != 65535 {
		t.Errorf("the protective MBR spans %d sectors", length)
	}
	if _, changed := again.Grow(1); changed {
		t.Error("a partition that another one follows grew")
	}
}

func TestAPowerCutAtAnySectorLeavesTheOldTableOrTheNew(t *testing.T) {
	whole := image(t, 20480, 65536)
	for cut := 0; ; cut++ {
		disk := &memory{bytes: bytes.Clone(whole.bytes), left: cut}
		table, err := ReadTable(disk, 65536, 512)
		if err != nil {
			t.Fatal(err)
		}
		grown, _ := table.Grow(4)
		writeErr := grown.Write(disk)
		disk.left = -1
		after, err := ReadTable(disk, 65536, 512)
		if err != nil {
			t.Fatalf("after %d sectors: %v", cut, err)
		}
		p, ok := after.Find(LinuxData, Label)
		if !ok || p.Last != 18431 && p.Last != 63487 {
			t.Fatalf("after %d sectors: %+v", cut, p)
		}
		// The next start must be able to finish.
		final, changed := after.Grow(4)
		if changed || after.FromBackup {
			if err := final.Write(disk); err != nil {
				t.Fatal(err)
			}
		}
		if last, err := ReadTable(disk, 65536, 512); err != nil || last.FromBackup || last.Partitions[1].Last != 63487 {
			t.Fatalf("after %d sectors and another start: %+v, %v", cut, last, err)
		}
		if writeErr == nil {
			if cut < 60 {
				t.Fatalf("writing a table took only %d sectors", cut)
			}
			return
		}
	}
}

func TestADamagedTableIsNamed(t *testing.T) {
	for name, damage := range map[string]func(d []byte){
		"both checksums": func(d []byte) { d[512+60] ^= 1; d[len(d)-512+60] ^= 1 },
		"both entries":   func(d []byte) { d[1024] ^= 1; d[len(d)-33*512] ^= 1 },
	} {
		disk := image(t, 20480, 20480)
		damage(disk.bytes)
		if _, err := ReadTable(disk, 20480, 512); err == nil || !strings.Contains(err.Error(), "checksum") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ReadTable(&memory{bytes: make([]byte, 1<<20)}, 2048, 512); !errors.Is(err, ErrNoTable) {
		t.Errorf("empty disk: %v", err)
	}
}

// reseal makes both checksums of the primary right, as somebody would who
// means harm.
func reseal(d []byte) {
	count, size := le.Uint32(d[512+offEntryCount:]), le.Uint32(d[512+offEntrySize:])
	if n := uint64(count) * uint64(size); n < uint64(len(d)-1024) {
		le.PutUint32(d[512+offEntriesCRC:], crc32.ChecksumIEEE(d[1024:1024+n]))
	}
	le.PutUint32(d[512+offCRC:], headerSum(d[512:]))
}

func TestAHostileTableIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		damage func(d []byte)
		want   string
	}{
		"overlap":     {func(d []byte) { le.PutUint64(d[1024+40:], 5000) }, "overlap"},
		"outside":     {func(d []byte) { le.PutUint64(d[1024+40:], 1<<40) }, "outside"},
		"backwards":   {func(d []byte) { le.PutUint64(d[1024+40:], 2000) }, "outside"},
		"many":        {func(d []byte) { le.PutUint32(d[512+offEntryCount:], 1<<31) }, "out of bounds"},
		"small":       {func(d []byte) { le.PutUint32(d[512+offEntrySize:], 1) }, "out of bounds"},
		"entries far": {func(d []byte) { le.PutUint64(d[512+offEntriesLBA:], 1<<63) }, "outside"},
	} {
		disk := image(t, 20480, 20480)
		clear(disk.bytes[len(disk.bytes)-512:])
		c.damage(disk.bytes)
		reseal(disk.bytes)
		if _, err := ReadTable(disk, 20480, 512); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatGrowsStaysValid(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		size := rapid.Uint64Range(8192, 20480).Draw(r, "image")
		extra := rapid.Uint64Range(0, 20480).Draw(r, "extra")
		disk := image(t, size, size+extra)
		table, err := ReadTable(disk, size+extra, 512)
		if err != nil {
			r.Fatal(err)
		}
		before, _ := table.Find(LinuxData, Label)
		grown, _ := table.Grow(4)
		if err := grown.Write(disk); err != nil {
			r.Fatal(err)
		}
		again, err := ReadTable(disk, size+extra, 512)
		if err != nil {
			r.Fatal(err)
		}
		if after, ok := again.Find(LinuxData, Label); !ok || after.Last < before.Last || after.First != before.First {
			r.Fatalf("%+v became %+v", before, after)
		}
	})
}

func FuzzReadTable(f *testing.F) {
	whole := image(f, 8192, 8192)
	le.PutUint64(whole.bytes[512+offLastUsable:], 100)
	put(&Table{header: whole.bytes[512 : 512+headerSize], entries: whole.bytes[1024:]}, 1, SystemPartition, 40, 60, "esp")
	put(&Table{header: whole.bytes[512 : 512+headerSize], entries: whole.bytes[1024:]}, 4, LinuxData, 61, 99, Label)
	f.Add(whole.bytes[512:2048])
	f.Fuzz(func(t *testing.T, table []byte) {
		const sectors = 128 // small, so that many tables are tried
		disk := make([]byte, sectors*512)
		copy(disk[512:], table)
		reseal(disk)
		got, err := ReadTable(&memory{bytes: disk}, sectors, 512)
		if err != nil {
			return
		}
		for _, p := range got.Partitions {
			if p.First > p.Last || p.Last >= sectors {
				t.Errorf("accepted %+v", p)
			}
		}
	})
}

func TestUeventsOfDisksAreRecognised(t *testing.T) {
	for message, want := range map[string]bool{
		"add@/devices/x\x00ACTION=add\x00SUBSYSTEM=block\x00": true,
		"change@/x\x00SUBSYSTEM=block\x00ACTION=change\x00":   true,
		"remove@/x\x00ACTION=remove\x00SUBSYSTEM=block\x00":   false,
		"add@/devices/y\x00ACTION=add\x00SUBSYSTEM=input\x00": false,
		"": false,
	} {
		if got := isNewDisk([]byte(message)); got != want {
			t.Errorf("%q: %v", message, got)
		}
	}
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
