package flash

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"runa/image/disk"
	"runa/services/hint"
)

func TestAFlippedByteOfTheSystemIsFoundWhereItIs(t *testing.T) {
	data, err := os.ReadFile(aSealedImage(t))
	if err != nil {
		t.Fatal(err)
	}
	layout, err := disk.Read(bytes.NewReader(data), imageSize)
	if err != nil {
		t.Fatal(err)
	}
	part := func(name string) int64 {
		p, ok := layout.Part(name)
		if !ok {
			t.Fatalf("no %s", name)
		}
		return p.Start
	}
	uki := int64(bytes.Index(data, bytes.Repeat([]byte("uki"), 1000)))
	for name, test := range map[string]struct {
		at   int64
		want string // "": nothing is said
	}{
		"nothing":               {-1, ""},
		"boot code":             {3, "boot code in sector 0"},
		"table's header":        {512 + 40, "header: checksum"},
		"table's entries":       {1024 + 60, "partition entries: checksum"},
		"record's magic":        {recordAt, "the record at byte 65536"},
		"record's text":         {recordAt + int64(recordHeader) + 9, "checksum is wrong"},
		"behind the record":     {headSize - 1, "something follows its end"},
		"GRUB":                  {part(disk.BIOSName) + 77, "partition runa-bios"},
		"boot file system":      {part(disk.BootName) + 3, "partition runa-boot"},
		"a boot file":           {uki + 10, disk.UKIPath + " is not what was built"},
		"free space of boot":    {part(disk.BootName) + 50*mebibyte, "partition runa-boot"},
		"data":                  {part(disk.DataName) + 5000, ""},
		"second table's entry":  {imageSize - 33*512 + 60, "second partition table"},
		"second table's header": {imageSize - 512 + 72, "second partition table"},
	} {
		t.Run(name, func(t *testing.T) {
			if test.at >= 0 {
				data[test.at] ^= 4
				defer func() { data[test.at] ^= 4 }()
			}
			found, err := check(t.Context(), source{bytes.NewReader(data), imageSize, nil}, nil, nil)
			err = errors.Join(append(found.differences, err)...)
			if test.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.want) || errors.Is(err, ErrUnusable) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestAnImageWithoutARecordIsComparedWithItsInventory(t *testing.T) {
	b := anImage(t)
	said, err := verify(t, packed(t, b.raw), b.inventory)
	if err != nil || !strings.Contains(said, disk.KernelPath+" is what the inventory says") || !strings.Contains(said, "no record") {
		t.Fatalf("%v\n%s", err, said)
	}
	data, err := os.ReadFile(b.raw)
	if err != nil {
		t.Fatal(err)
	}
	for content, want := range map[string]string{"uki": disk.UKIPath, "erofs": "partition " + disk.SystemName, "CHROMEOS": "partition " + disk.ChromeName} {
		at := bytes.Index(data, bytes.Repeat([]byte(content), 1000)) + 10
		data[at] ^= 1
		path := filepath.Join(t.TempDir(), "flipped.raw")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err = verify(t, packed(t, path), "")
		if !errors.Is(err, ErrDiffers) || !strings.Contains(err.Error(), want) || !strings.Contains(hint.Of(err), "don't boot it") {
			t.Errorf("%s: got %v, hint %q", want, err, hint.Of(err))
		}
		data[at] ^= 1
	}
}

func TestVerifyRefusesWhatItCanNotCompare(t *testing.T) {
	b := anImage(t)
	data, err := os.ReadFile(b.raw)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, data []byte) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	own, err := os.ReadFile(b.inventory)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ path, inventory, want string }{
		"a cut-off image":      {write("short.raw", data[:imageSize/2]), "", "is it cut off?"},
		"no image":             {write("zeros", make([]byte, 2*mebibyte)), "", "no GUID partition table"},
		"an empty file":        {write("empty", nil), "", "EOF"},
		"nothing":              {filepath.Join(t.TempDir(), "none"), "", "no such file"},
		"a folder":             {t.TempDir(), "", "neither a file nor a disk"},
		"a terminal":           {"/dev/null", "", "neither a file nor a disk"},
		"no inventory":         {b.raw, write("bad.json", []byte("{")), "read the inventory"},
		"another's inventory":  {b.raw, write("other.json", bytes.Replace(own, []byte(`"test"`), []byte(`"next"`), 1)), "another build (version test for usb)"},
		"another small layout": {write("small.raw", small(t, 3)), "", "no FAT32 file system"},
	} {
		t.Run(name, func(t *testing.T) {
			if said, err := verify(t, test.path, test.inventory); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q\n%s", err, test.want, said)
			}
		})
	}
}

func TestADataPartitionMayGrowAndNothingElse(t *testing.T) {
	p := recordPart{Number: 3, Name: disk.DataName, Type: disk.TypeLinux, GUID: "G", Start: 4096, Size: 8192}
	q := disk.Part{Number: 3, Name: disk.DataName, Type: disk.TypeLinux, GUID: "G", Start: 4096, Size: 1 << 30, Attributes: 9}
	layout := disk.Layout{Parts: []disk.Part{q}}
	if err := samePlace(p, layout); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*disk.Part){
		"shrunk": func(q *disk.Part) { q.Size = 4096 }, "moved": func(q *disk.Part) { q.Start = 0 }, "renamed": func(q *disk.Part) { q.Name = "x" },
		"gone": func(q *disk.Part) { q.Number = 4 }, "replaced": func(q *disk.Part) { q.GUID = "H" },
	} {
		other := q
		change(&other)
		if err := samePlace(p, disk.Layout{Parts: []disk.Part{other}}); !errors.Is(err, ErrDiffers) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	p.Name, q.Name = disk.BootName, disk.BootName
	if err := samePlace(p, disk.Layout{Parts: []disk.Part{q}}); !errors.Is(err, ErrDiffers) {
		t.Errorf("a boot partition that grew: %v", err)
	}
}

func TestTheSameImageIsSealedTheSame(t *testing.T) {
	first, err1 := os.ReadFile(aSealedImage(t))
	path := aSealedImage(t)
	f, err2 := os.OpenFile(path, os.O_RDWR, 0)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := Seal(t.Context(), f, imageSize); err != nil { // a second time
		t.Fatal(err)
	}
	second, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(first, second) {
		t.Errorf("they differ, %v", err)
	}
}

func TestALargeSystemsRecordStillHasRoom(t *testing.T) {
	layout := disk.Layout{Parts: []disk.Part{{Name: "a", Size: 1<<40 + 1}, {Name: "b", Size: 5}, {Name: disk.DataName, Size: 1 << 50}}}
	chunk := chunkFor(layout)
	if n := (1<<40+1)/chunk + 2; n > maximumChunks {
		t.Errorf("%d chunks of %d bytes", n, chunk)
	}
	r := record{State: sealed, Chunk: chunk, Parts: []recordPart{{Name: "a", Size: maximumChunks * chunk, Hashes: make([]byte, maximumChunks*32)}}}
	data, err := r.encode()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := parseRecord(data); err != nil || !reflect.DeepEqual(got, r) {
		t.Errorf("it reads back otherwise: %v", err)
	}
}

func FuzzRecord(f *testing.F) {
	for _, r := range []record{{State: begun, Size: 5}, {State: sealed, Chunk: chunkSize, Parts: []recordPart{{Name: "a", Size: 5, Hashes: make([]byte, 32)}}}} {
		data, err := r.encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data[:1024])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parseRecord(data)
		if err != nil || r.State == begun {
			return
		}
		disk := bytes.NewReader(make([]byte, 4096))
		if _, err := r.compare(t.Context(), disk, layoutOf(r), func(int64) {}); err != nil && !strings.Contains(err.Error(), "EOF") {
			t.Error(err)
		}
	})
}

func layoutOf(r record) (l disk.Layout) {
	for _, p := range r.Parts {
		l.Parts = append(l.Parts, disk.Part{Number: p.Number, Name: p.Name, Type: p.Type, GUID: p.GUID, Start: p.Start, Size: p.Size})
	}
	return l
}

func FuzzContents(f *testing.F) {
	block := make([]byte, 4096)
	copy(block[82:], "FAT32   ")
	copy(block[71:], "STICK\x1b[2J   ")
	f.Add(block)
	table := make([]byte, 8192)
	copy(table[446:], []byte{0x80, 0, 0, 0, 0x0c, 0, 0, 0, 2, 0, 0, 0, 9, 0, 0, 0})
	table[510], table[511] = 0x55, 0xaa
	copy(table[1024+1024+56:], "\x53\xef")
	f.Add(table)
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, line := range contents(bytes.NewReader(data), int64(len(data))) {
			if strings.ContainsAny(line, "\x1b\n\r\x00") {
				t.Errorf("%q would steer the terminal", line)
			}
		}
		_ = checkBackup(bytes.NewReader(data), int64(len(data)))
	})
}

func TestWhatIsOnADiskIsListed(t *testing.T) {
	data, err := os.ReadFile(anImage(t).raw)
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(contents(bytes.NewReader(data), imageSize), "\n")
	for _, want := range []string{`partition 2, 67 MB, "runa-boot", FAT32 "RUNA-BOOT"`, `partition 3, `, `"runa-data", ext4`} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	shop := make([]byte, 4*mebibyte) // as a stick is bought
	copy(shop[446:], []byte{0, 0, 0, 0, 0x0c, 0, 0, 0, 0, 8, 0, 0, 0, 16, 0, 0})
	shop[510], shop[511] = 0x55, 0xaa
	copy(shop[mebibyte+82:], "FAT32   ")
	copy(shop[mebibyte+71:], "HOLIDAY    ")
	if got := contents(bytes.NewReader(shop), int64(len(shop))); len(got) != 1 || got[0] != `partition 1, 2 MB, FAT32 "HOLIDAY"` {
		t.Errorf("got %q", got)
	}
}
