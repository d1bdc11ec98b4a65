package disk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestBootFilesAreReadFromTheImage(t *testing.T) {
	spec := testSpec(t)
	spec.Inventory = filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(spec.Inventory, []byte("{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	image, layout := buildImage(t, spec)
	part := layout.must(BootName)
	files, err := OpenBoot(io.NewSectionReader(image, part.Start, part.Size), part.Size)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range spec.bootFiles() {
		want, err := os.ReadFile(file.source)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{file.path, strings.ToLower(file.path)} {
			r, size, err := files.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(r); err != nil || size != int64(len(want)) || !bytes.Equal(got, want) {
				t.Errorf("%s: %d of %d bytes, expected %d (%v)", path, len(got), size, len(want), err)
			}
		}
	}
	for _, path := range []string{"/nothing", "/boot/nothing", "/boot/bzImage/x", "/nothing/x", "/RUNA-BOOT"} {
		if _, _, err := files.Open(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, _, err := files.Open("/boot"); err == nil || !strings.Contains(err.Error(), "is a folder") {
		t.Errorf("/boot: %v", err)
	}
}

// tinyFAT is a FAT32 file system of 16 sectors with one file, "a b.txt", whose
// content is two clusters long.
func tinyFAT() []byte {
	data := make([]byte, 16*sectorSize)
	little := binary.LittleEndian
	little.PutUint16(data[11:], sectorSize)
	data[13], data[14], data[16], data[32], data[36], data[44] = 1, 1, 1, 16, 1, 2
	copy(data[82:], "FAT32   ")
	little.PutUint16(data[510:], 0xaa55)
	for cluster, next := range map[int]uint32{2: fatEntryMask, 3: 4, 4: fatEntryMask} {
		little.PutUint32(data[sectorSize+4*cluster:], next)
	}
	slot := data[2*sectorSize:]
	slot[0], slot[11] = 0x41, attributeLongName
	for i, offset := range []int{1, 3, 5, 7, 9, 14, 16} {
		slot[offset] = "a b.txt"[i]
	}
	slot = slot[folderEntryBytes:]
	copy(slot, "AB~1    TXT")
	slot[26] = 3
	little.PutUint16(slot[28:], 600)
	return data
}

func TestBrokenFileSystemIsRefusedWithAReason(t *testing.T) {
	for name, test := range map[string]struct {
		at   int
		data []byte
		want string
	}{
		"whole":             {0, nil, ""},
		"no FAT":            {82, []byte("NTFS"), "no FAT32"},
		"cluster of zero":   {13, []byte{0}, "impossible"},
		"longer than given": {32, []byte{17}, "impossible"},
		"large table":       {36, []byte{0xff, 0xff, 0xff, 0xff}, "impossible"},
		"ring":              {sectorSize + 4*4, []byte{3, 0, 0, 0}, ""},
		"broken chain":      {sectorSize + 4*3, []byte{200, 0, 0, 0}, "cluster 200"},
		"free cluster":      {sectorSize + 4*3, []byte{0, 0, 0, 0}, "cluster 0"},
		"root in a ring":    {sectorSize + 4*2, []byte{2, 0, 0, 0}, ""},
		"short chain":       {sectorSize + 4*3, []byte{0xff, 0xff, 0xff, 0x0f}, "unexpected EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			data := tinyFAT()
			copy(data[test.at:], test.data)
			err := readTiny(data, "/A b.txt")
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("expected %q, got %v", test.want, err)
			}
		})
	}
	ring := tinyFAT()
	ring[sectorSize+4*4] = 3
	copy(ring[sectorSize+4*4:], []byte{3, 0, 0, 0})
	binary.LittleEndian.PutUint32(ring[2*sectorSize+folderEntryBytes+28:], 1<<30)
	if err := readTiny(ring, "/ab~1.TXT"); err == nil || !strings.Contains(err.Error(), "ring") {
		t.Errorf("a file that runs in a ring: %v", err)
	}
}

// readTiny reads a file to its end.
func readTiny(data []byte, path string) error {
	files, err := OpenBoot(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return err
	}
	r, size, err := files.Open(path)
	if err != nil {
		return err
	}
	n, err := io.Copy(io.Discard, r)
	if err == nil && n != size {
		err = io.ErrUnexpectedEOF
	}
	return err
}

func FuzzOpenBoot(f *testing.F) {
	f.Add(tinyFAT())
	f.Fuzz(func(t *testing.T, data []byte) {
		_ = readTiny(data, "/A b.txt") // must return, without a panic
		_ = readTiny(data, "/x/y")
	})
}
