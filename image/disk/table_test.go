package disk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const tableTestSize = 96 * mebibyte

// tableBytes is the start of a disk with the partitions.
func tableBytes(t testing.TB) []byte {
	t.Helper()
	layout, err := plan("test", tableTestSize, minimumBootSize, mebibyte, mebibyte)
	if err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(filepath.Join(t.TempDir(), "table"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if err := writeTable(out, layout, tableTestSize); err != nil {
		t.Fatal(err)
	}
	data := make([]byte, 34*sectorSize)
	if _, err := out.ReadAt(data, 0); err != nil {
		t.Fatal(err)
	}
	return data
}

// seal sets the checksums right, so that what a test changed is looked at.
func seal(data []byte) {
	little := binary.LittleEndian
	if len(data) < 2*sectorSize {
		return
	}
	h := data[sectorSize : 2*sectorSize]
	at := little.Uint64(h[72:])
	length := uint64(little.Uint32(h[80:])) * uint64(little.Uint32(h[84:]))
	if total := uint64(len(data)); at < total && length < total && at*sectorSize+length <= total {
		little.PutUint32(h[88:], crc32.ChecksumIEEE(data[at*sectorSize:][:length]))
	}
	clear(h[16:20])
	if n := little.Uint32(h[12:]); n <= sectorSize {
		little.PutUint32(h[16:], crc32.ChecksumIEEE(h[:n]))
	}
}

func TestDamagedTableIsRefusedWithAReason(t *testing.T) {
	const header, entries = sectorSize, 2 * sectorSize
	for name, test := range map[string]struct {
		at     int
		data   []byte
		sealed bool
		want   string
	}{
		"flipped header":       {header + 40, []byte{1}, false, "header: checksum"},
		"flipped entry":        {entries + 33, []byte{1}, false, "partition entries: checksum"},
		"header length":        {header + 12, []byte{0xff, 0xff, 0xff}, true, "header: length"},
		"own sector":           {header + 24, []byte{2}, true, "says it is in sector 2"},
		"cut off":              {header + 48, []byte{0xff, 0xff, 0xff, 0xff}, true, "is it cut off"},
		"usable sectors":       {header + 40, []byte{0xff, 0xff, 0xff, 0xff}, true, "first usable sector"},
		"entries elsewhere":    {header + 72, []byte{0xff, 0xff, 0xff, 0xff, 0xff}, true, "partition entries in sector"},
		"many entries":         {header + 80, []byte{0xff, 0xff, 0xff, 0x7f}, true, "more than 1024"},
		"odd entries":          {header + 84, []byte{129}, true, "entries of 129 bytes"},
		"partition outside":    {entries + 40, []byte{0xff, 0xff, 0xff, 0xff}, true, "partition 1: sectors"},
		"partition in table":   {entries + 32, []byte{3, 0}, true, "partition 1: sectors 3"},
		"overlap":              {entries + 40, []byte{0, 0x40}, true, "partitions 1 and 2 overlap"},
		"end before beginning": {entries + 128 + 40, []byte{50, 0, 0, 0}, true, "partition 2: sectors"},
	} {
		t.Run(name, func(t *testing.T) {
			data := tableBytes(t)
			copy(data[test.at:], test.data)
			if test.sealed {
				seal(data)
			}
			_, err := Read(bytes.NewReader(data), tableTestSize)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("expected an error with %q, got %v", test.want, err)
			}
		})
	}
}

func TestNoTableIsToldFromADamagedOne(t *testing.T) {
	for _, size := range []int64{-1, 0, 100, 4096} {
		if _, err := Read(bytes.NewReader(make([]byte, max(size, 0))), size); !errors.Is(err, ErrNoTable) {
			t.Errorf("%d zero bytes: %v", size, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(tableBytes(f))
	f.Fuzz(func(t *testing.T, data []byte) {
		seal(data)
		layout, err := Read(bytes.NewReader(data), tableTestSize)
		if err != nil {
			return
		}
		for _, part := range layout.Parts {
			if part.Start < 0 || part.Size <= 0 || part.Start+part.Size > tableTestSize {
				t.Fatalf("partition outside the disk: %+v", part)
			}
		}
	})
}
