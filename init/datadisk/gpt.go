package datadisk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sort"
	"unicode/utf16"
)

// GUID is a GPT identifier in its on-disk byte order (UEFI 2.10, appendix A).
type GUID [16]byte

// Types of partitions that matter here.
var (
	// LinuxData is 0FC63DAF-8483-4772-8E79-3D69D8477DE4.
	LinuxData = GUID{0xaf, 0x3d, 0xc6, 0x0f, 0x83, 0x84, 0x72, 0x47, 0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d, 0xe4}
	// SystemPartition is C12A7328-F81F-11D2-BA4B-00A0C93EC93B, where UEFI boots from.
	SystemPartition = GUID{0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b}
)

// Partition is one used entry of a table. Sectors are the disk's logical ones.
type Partition struct {
	Number      int // as the kernel counts, from 1
	Type        GUID
	First, Last uint64 // sectors, both inclusive
	Name        string
}

// Sectors is the partition's length.
func (p Partition) Sectors() uint64 { return p.Last - p.First + 1 }

// Table is a GPT (UEFI 2.10, chapter 5) that has been checked: both CRCs are
// right, every partition lies inside of the disk and no two overlap.
type Table struct {
	Partitions []Partition // in the order of their place on the disk
	// FromBackup is true when the primary table was unusable.
	FromBackup bool

	sectorSize int
	sectors    uint64 // of the whole disk
	header     []byte // headerSize bytes
	entries    []byte
}

// ErrNoTable says that a disk has no GPT at all, which is no defect.
var ErrNoTable = errors.New("no GPT partition table")

const (
	signature = "EFI PART"

	headerSize     = 92
	offCRC         = 16
	offMyLBA       = 24
	offOtherLBA    = 32
	offFirstUsable = 40
	offLastUsable  = 48
	offEntriesLBA  = 72
	offEntryCount  = 80
	offEntrySize   = 84
	offEntriesCRC  = 88

	maxEntries      = 1024
	maxEntriesBytes = 1 << 18
	nameBytes       = 72
)

var le = binary.LittleEndian

// ReadTable reads the primary table of a disk of the given number of logical
// sectors, or the backup in the last sector when the primary is damaged. What
// it reads is bounded, whatever the disk says.
func ReadTable(disk io.ReaderAt, sectors uint64, sectorSize int) (*Table, error) {
	if sectorSize != 512 && sectorSize != 4096 {
		return nil, fmt.Errorf("sector size %d: only 512 and 4096 are known", sectorSize)
	}
	if sectors < 8 {
		return nil, ErrNoTable
	}
	table, primary := readTableAt(disk, 1, sectors, sectorSize)
	if primary == nil {
		return table, nil
	}
	table, backup := readTableAt(disk, sectors-1, sectors, sectorSize)
	if backup == nil {
		table.FromBackup = true
		return table, nil
	}
	if errors.Is(primary, ErrNoTable) && errors.Is(backup, ErrNoTable) {
		return nil, ErrNoTable
	}
	return nil, fmt.Errorf("primary partition table: %w; its backup: %w", primary, backup)
}

func readTableAt(disk io.ReaderAt, lba, sectors uint64, sectorSize int) (*Table, error) {
	header := make([]byte, headerSize)
	if _, err := disk.ReadAt(header, int64(lba)*int64(sectorSize)); err != nil {
		return nil, fmt.Errorf("read sector %d: %w", lba, err)
	}
	if string(header[:8]) != signature {
		return nil, ErrNoTable
	}
	if err := checkHeader(header, lba, sectors, sectorSize); err != nil {
		return nil, fmt.Errorf("header in sector %d: %w", lba, err)
	}
	count, size := le.Uint32(header[offEntryCount:]), le.Uint32(header[offEntrySize:])
	entries := make([]byte, count*size)
	at := le.Uint64(header[offEntriesLBA:])
	if _, err := disk.ReadAt(entries, int64(at)*int64(sectorSize)); err != nil {
		return nil, fmt.Errorf("read partition entries in sector %d: %w", at, err)
	}
	if sum := crc32.ChecksumIEEE(entries); sum != le.Uint32(header[offEntriesCRC:]) {
		return nil, fmt.Errorf("partition entries in sector %d: checksum %08x, expected %08x", at, sum, le.Uint32(header[offEntriesCRC:]))
	}
	table := &Table{sectorSize: sectorSize, sectors: sectors, header: header, entries: entries}
	if err := table.readPartitions(); err != nil {
		return nil, err
	}
	return table, nil
}

func checkHeader(header []byte, lba, sectors uint64, sectorSize int) error {
	if size := le.Uint32(header[12:]); size != headerSize {
		return fmt.Errorf("size %d, expected %d", size, headerSize)
	}
	if sum := headerSum(header); sum != le.Uint32(header[offCRC:]) {
		return fmt.Errorf("checksum %08x, expected %08x", sum, le.Uint32(header[offCRC:]))
	}
	if own := le.Uint64(header[offMyLBA:]); own != lba {
		return fmt.Errorf("says it lies in sector %d", own)
	}
	count, size := uint64(le.Uint32(header[offEntryCount:])), uint64(le.Uint32(header[offEntrySize:]))
	if size < 128 || size%128 != 0 || count == 0 || count > maxEntries || count*size > maxEntriesBytes {
		return fmt.Errorf("%d entries of %d bytes are out of bounds", count, size)
	}
	first, last := le.Uint64(header[offFirstUsable:]), le.Uint64(header[offLastUsable:])
	length := sectorsFor(int(count*size), sectorSize)
	if first < 2+length || first > last || last >= sectors-1 {
		return fmt.Errorf("usable sectors %d to %d don't fit a disk of %d", first, last, sectors)
	}
	at := le.Uint64(header[offEntriesLBA:])
	if at < 2 || at >= sectors || length > sectors-at || at <= last && at+length > first {
		return fmt.Errorf("entries in sectors %d to %d lie in the partitions' place or outside of the disk", at, at+length)
	}
	return nil
}

func headerSum(header []byte) uint32 {
	h := bytes.Clone(header[:headerSize])
	le.PutUint32(h[offCRC:], 0)
	return crc32.ChecksumIEEE(h)
}

func sectorsFor(bytes, sectorSize int) uint64 {
	return uint64((bytes + sectorSize - 1) / sectorSize)
}

func (t *Table) entrySize() int { return int(le.Uint32(t.header[offEntrySize:])) }

func (t *Table) entry(number int) []byte {
	size := t.entrySize()
	return t.entries[(number-1)*size : number*size]
}

func (t *Table) readPartitions() error {
	first, last := le.Uint64(t.header[offFirstUsable:]), le.Uint64(t.header[offLastUsable:])
	t.Partitions = nil
	for number := 1; number <= len(t.entries)/t.entrySize(); number++ {
		e := t.entry(number)
		p := Partition{Number: number, Type: GUID(e[:16]), First: le.Uint64(e[32:]), Last: le.Uint64(e[40:])}
		if p.Type == (GUID{}) {
			continue
		}
		p.Name = decodeName(e[56 : 56+nameBytes])
		if p.First < first || p.Last > last || p.First > p.Last {
			return fmt.Errorf("partition %d (%q): sectors %d to %d lie outside of %d to %d", number, p.Name, p.First, p.Last, first, last)
		}
		t.Partitions = append(t.Partitions, p)
	}
	sort.Slice(t.Partitions, func(i, j int) bool { return t.Partitions[i].First < t.Partitions[j].First })
	for i := 1; i < len(t.Partitions); i++ {
		if a, b := t.Partitions[i-1], t.Partitions[i]; a.Last >= b.First {
			return fmt.Errorf("partitions %d and %d overlap", a.Number, b.Number)
		}
	}
	return nil
}

func decodeName(b []byte) string {
	units := make([]uint16, 0, len(b)/2)
	for ; len(b) >= 2; b = b[2:] {
		u := le.Uint16(b)
		if u == 0 {
			break
		}
		units = append(units, u)
	}
	return string(utf16.Decode(units))
}

// Find returns the first partition of that type and name.
func (t *Table) Find(kind GUID, name string) (Partition, bool) {
	for _, p := range t.Partitions {
		if p.Type == kind && p.Name == name {
			return p, true
		}
	}
	return Partition{}, false
}
