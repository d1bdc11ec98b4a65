package datadisk

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"io"
)

// Disk is what a table is written to: a block device or, in tests, a file.
type Disk interface {
	io.ReaderAt
	io.WriterAt
	Sync() error
}

// alignment of a grown partition's end, in bytes; what tools use for its start.
const alignment = 1 << 20

// Grow returns a table in which the partition with that number reaches to the
// end of the disk, and whether it differs from t. A partition that another one
// follows stays as long as it is; so does one that would win less than 1 MiB.
func (t *Table) Grow(number int) (*Table, bool) {
	grown := &Table{
		sectorSize: t.sectorSize, sectors: t.sectors,
		header: bytes.Clone(t.header), entries: bytes.Clone(t.entries),
	}
	lastUsable := t.sectors - 2 - sectorsFor(len(t.entries), t.sectorSize)
	p := t.Partitions[len(t.Partitions)-1]
	unit := uint64(alignment / t.sectorSize)
	end := (lastUsable + 1) / unit * unit
	if p.Number != number || end < p.Last+1+unit {
		return t, false
	}
	le.PutUint64(grown.header[offLastUsable:], lastUsable)
	le.PutUint64(grown.entry(number)[40:], end-1)
	if err := grown.readPartitions(); err != nil {
		return t, false // can't be: the new end lies behind everything and inside of the disk
	}
	return grown, true
}

// Write puts the table on the disk in an order that a power cut can't hurt:
// the backup in the last sectors first, then, when it is safely there, the
// primary. At every instant at least one of the two is whole, and ReadTable
// finds it. The protective MBR comes last; nothing but its length is changed.
func (t *Table) Write(disk Disk) error {
	last := t.sectors - 1
	length := sectorsFor(len(t.entries), t.sectorSize)
	if err := t.writeCopy(disk, last, 1, last-length); err != nil {
		return fmt.Errorf("write the backup partition table: %w", err)
	}
	if err := t.writeCopy(disk, 1, last, 2); err != nil {
		return fmt.Errorf("write the primary partition table: %w", err)
	}
	if err := t.writeProtectiveLength(disk); err != nil {
		return fmt.Errorf("write the protective MBR: %w", err)
	}
	return nil
}

// writeCopy writes entries and header so that the header comes last, and
// waits until both are on the disk.
func (t *Table) writeCopy(disk Disk, own, other, entriesLBA uint64) error {
	header := make([]byte, t.sectorSize)
	copy(header, t.header)
	le.PutUint64(header[offMyLBA:], own)
	le.PutUint64(header[offOtherLBA:], other)
	le.PutUint64(header[offEntriesLBA:], entriesLBA)
	le.PutUint32(header[offEntriesCRC:], crc32.ChecksumIEEE(t.entries))
	le.PutUint32(header[offCRC:], headerSum(header))
	if _, err := disk.WriteAt(t.entries, int64(entriesLBA)*int64(t.sectorSize)); err != nil {
		return err
	}
	if _, err := disk.WriteAt(header, int64(own)*int64(t.sectorSize)); err != nil {
		return err
	}
	return disk.Sync()
}

// writeProtectiveLength lets the MBR's entry of type 0xEE, if it is the first,
// span the disk (UEFI 2.10, table 5-4). The boot code beside it stays.
func (t *Table) writeProtectiveLength(disk Disk) error {
	mbr := make([]byte, t.sectorSize)
	if _, err := disk.ReadAt(mbr, 0); err != nil {
		return err
	}
	const entry = 446
	if mbr[510] != 0x55 || mbr[511] != 0xaa || mbr[entry+4] != 0xee || le.Uint32(mbr[entry+8:]) != 1 {
		return nil
	}
	length := uint32(min(t.sectors-1, 0xffffffff))
	if le.Uint32(mbr[entry+12:]) == length {
		return nil
	}
	le.PutUint32(mbr[entry+12:], length)
	if _, err := disk.WriteAt(mbr, 0); err != nil {
		return err
	}
	return disk.Sync()
}
