package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sort"
	"unicode/utf16"
)

// ErrNoTable is what Read's error wraps when the disk has no GUID partition
// table at all, as opposed to a damaged one.
var ErrNoTable = errors.New("no GUID partition table")

// The GPT header and its entries: UEFI specification, section 5.3.
const (
	headerBytes    = 92
	entryBytes     = 128
	maximumEntries = 1024
	nameOffset     = 56
)

type header struct {
	guid                  string
	alternate             uint64 // sector of the other header
	firstUsable, last     uint64 // sectors partitions may occupy
	entriesAt             uint64
	entries, entrySize    uint32
	entriesCRC, headerCRC uint32
}

// Read reads the partition table of a disk, or an image of one, of size bytes.
// Nothing in it is trusted: checksums, ranges and overlaps are checked and at
// most a few hundred kilobytes are read. Sectors are 512 bytes.
func Read(r io.ReaderAt, size int64) (Layout, error) {
	layout, err := readTable(r, size, 1)
	if err != nil {
		return Layout{}, fmt.Errorf("read the partition table: %w", err)
	}
	return layout, nil
}

// readTable reads the table whose header is in the given sector.
func readTable(r io.ReaderAt, size int64, sector uint64) (Layout, error) {
	sectors := uint64(max(size, 0)) / sectorSize
	if sectors < 3 || sector >= sectors {
		return Layout{}, fmt.Errorf("%w: only %d bytes", ErrNoTable, size)
	}
	h, err := readHeader(r, sector, sectors)
	if err != nil {
		return Layout{}, err
	}
	table := make([]byte, int64(h.entries)*int64(h.entrySize))
	if _, err := r.ReadAt(table, int64(h.entriesAt)*sectorSize); err != nil {
		return Layout{}, fmt.Errorf("partition entries: %w", err)
	}
	if sum := crc32.ChecksumIEEE(table); sum != h.entriesCRC {
		return Layout{}, fmt.Errorf("partition entries: checksum is %08x, expected %08x", sum, h.entriesCRC)
	}
	layout := Layout{GUID: h.guid}
	for i := range int(h.entries) {
		entry := table[i*int(h.entrySize):][:entryBytes]
		if [16]byte(entry) == [16]byte{} {
			continue
		}
		part, err := readEntry(entry, h)
		if err != nil {
			return Layout{}, fmt.Errorf("partition %d: %w", i+1, err)
		}
		part.Number = i + 1
		layout.Parts = append(layout.Parts, part)
	}
	return layout, overlaps(layout.Parts)
}

func readHeader(r io.ReaderAt, sector, sectors uint64) (header, error) {
	raw := make([]byte, sectorSize)
	if _, err := r.ReadAt(raw, int64(sector)*sectorSize); err != nil {
		return header{}, fmt.Errorf("header in sector %d: %w", sector, err)
	}
	if string(raw[:8]) != "EFI PART" {
		return header{}, fmt.Errorf("%w: sector %d does not begin with \"EFI PART\"", ErrNoTable, sector)
	}
	little := binary.LittleEndian
	length := little.Uint32(raw[12:])
	if length < headerBytes || length > sectorSize {
		return header{}, fmt.Errorf("header: length %d, expected %d to %d", length, headerBytes, sectorSize)
	}
	h := header{
		headerCRC: little.Uint32(raw[16:]), alternate: little.Uint64(raw[32:]),
		firstUsable: little.Uint64(raw[40:]), last: little.Uint64(raw[48:]), guid: readGUID(raw[56:]),
		entriesAt: little.Uint64(raw[72:]), entries: little.Uint32(raw[80:]), entrySize: little.Uint32(raw[84:]),
		entriesCRC: little.Uint32(raw[88:]),
	}
	clear(raw[16:20])
	if sum := crc32.ChecksumIEEE(raw[:length]); sum != h.headerCRC {
		return header{}, fmt.Errorf("header: checksum is %08x, expected %08x", sum, h.headerCRC)
	}
	if own := little.Uint64(raw[24:]); own != sector {
		return header{}, fmt.Errorf("header in sector %d says it is in sector %d", sector, own)
	}
	return h, h.check(sectors)
}

func (h header) check(sectors uint64) error {
	switch {
	case h.entrySize < entryBytes || h.entrySize > sectorSize || h.entrySize&(h.entrySize-1) != 0:
		return fmt.Errorf("header: partition entries of %d bytes, expected 128, 256 or 512", h.entrySize)
	case h.entries > maximumEntries:
		return fmt.Errorf("header: %d partition entries, more than %d", h.entries, maximumEntries)
	case h.last >= sectors || h.alternate >= sectors:
		return fmt.Errorf("header: the table is for a disk of at least %d sectors, this one has %d: is it cut off?", max(h.last, h.alternate)+1, sectors)
	case h.firstUsable > h.last:
		return fmt.Errorf("header: first usable sector %d lies behind the last, %d", h.firstUsable, h.last)
	case h.entriesAt >= sectors:
		return fmt.Errorf("header: partition entries in sector %d, the disk has %d", h.entriesAt, sectors)
	}
	return nil
}

func readEntry(entry []byte, h header) (Part, error) {
	little := binary.LittleEndian
	first, last := little.Uint64(entry[32:]), little.Uint64(entry[40:])
	if first < h.firstUsable || last > h.last || first > last {
		return Part{}, fmt.Errorf("sectors %d to %d are not within the usable ones, %d to %d", first, last, h.firstUsable, h.last)
	}
	var name []uint16
	for i := nameOffset; i < entryBytes; i += 2 {
		unit := little.Uint16(entry[i:])
		if unit == 0 {
			break
		}
		name = append(name, unit)
	}
	return Part{
		Name: string(utf16.Decode(name)), Type: readGUID(entry), GUID: readGUID(entry[16:]),
		Attributes: little.Uint64(entry[48:]),
		Start:      int64(first) * sectorSize, Size: int64(last-first+1) * sectorSize,
	}, nil
}

func overlaps(parts []Part) error {
	sorted := append([]Part(nil), parts...)
	sort.Slice(sorted, func(i, j int) bool { return sorted[i].Start < sorted[j].Start })
	for i := 1; i < len(sorted); i++ {
		if a, b := sorted[i-1], sorted[i]; a.Start+a.Size > b.Start {
			return fmt.Errorf("partitions %d and %d overlap", a.Number, b.Number)
		}
	}
	return nil
}

// readGUID prints a GUID as it is stored: the first three fields little-endian.
func readGUID(b []byte) string {
	little := binary.LittleEndian
	return fmt.Sprintf("%08X-%04X-%04X-%X-%X", little.Uint32(b), little.Uint16(b[4:]), little.Uint16(b[6:]), b[8:10], b[10:16])
}
