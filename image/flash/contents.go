package flash

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	"runa/image/disk"
)

// contents lists what a person may recognise a disk by: its partitions with their
// names and the file systems with their labels. What can't be read is left out.
func contents(r io.ReaderAt, size int64) []string {
	if layout, err := disk.Read(r, size); err == nil {
		var lines []string
		for _, p := range layout.Parts {
			lines = append(lines, describe(r, p.Number, p.Name, p.Start, p.Size))
		}
		return append(lines, flashed(r, size)...)
	}
	lines := flashed(r, size)
	if whole := fileSystem(r, 0); whole != "" { // before the table: FAT's first sector looks like one
		return append(lines, "the whole disk: "+whole)
	}
	return append(lines, bootRecord(r, size)...)
}

func describe(r io.ReaderAt, number int, name string, start, size int64) string {
	line := fmt.Sprintf("partition %d, %s", number, amount(size))
	if name != "" {
		line += ", " + quote(name)
	}
	if inside := fileSystem(r, start); inside != "" {
		line += ", " + inside
	}
	return line
}

// flashed tells of an image that was not wholly written.
func flashed(r io.ReaderAt, size int64) []string {
	if rec, err := readRecord(r, size); err == nil && rec.State == begun {
		return []string{"an image of Runa that was not wholly written"}
	}
	return nil
}

// bootRecord lists the four partitions of a master boot record.
func bootRecord(r io.ReaderAt, size int64) []string {
	const first, length = 446, 16
	sector := make([]byte, sectorSize)
	if readFull(r, sector, 0) != nil || sector[510] != 0x55 || sector[511] != 0xaa {
		return nil
	}
	var lines []string
	for i := range 4 {
		entry := sector[first+i*length:][:length]
		start, sectors := int64(binary.LittleEndian.Uint32(entry[8:])), int64(binary.LittleEndian.Uint32(entry[12:]))
		if entry[4] == 0 || sectors == 0 || start*sectorSize >= size {
			continue
		}
		lines = append(lines, describe(r, i+1, "", start*sectorSize, sectors*sectorSize))
	}
	return lines
}

// fileSystem names what begins at a byte of the disk: "FAT32 \"STICK\"".
func fileSystem(r io.ReaderAt, at int64) string {
	block := make([]byte, 2048)
	if readFull(r, block, at) != nil {
		return ""
	}
	label := func(kind string, from, length int) string {
		text := bytes.TrimRight(block[from:from+length], " \x00")
		if i := bytes.IndexByte(text, 0); i >= 0 {
			text = text[:i]
		}
		if len(text) == 0 {
			return kind
		}
		return kind + " " + quote(string(text))
	}
	is := func(at int, magic string) bool { return string(block[at:][:len(magic)]) == magic }
	switch {
	case is(82, "FAT32   "):
		return label("FAT32", 71, 11)
	case is(54, "FAT1"):
		return label("FAT", 43, 11)
	case is(3, "NTFS    "):
		return "NTFS"
	case is(3, "EXFAT   "):
		return "exFAT"
	case is(0, "LUKS\xba\xbe"):
		return "LUKS (encrypted)"
	case is(1024+56, "\x53\xef"):
		return label("ext4", 1024+120, 16)
	}
	return ""
}

// quote keeps what a disk says of itself from steering the terminal.
func quote(text string) string { return fmt.Sprintf("%q", text) }
