package flash

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
)

// checkBackup checks the second copy of a partition table whose first is good.
func checkBackup(r io.ReaderAt, size int64) error {
	const header, entries = 92, 1 << 18
	little := binary.LittleEndian
	first, second := make([]byte, sectorSize), make([]byte, sectorSize)
	if err := readFull(r, first, sectorSize); err != nil {
		return err
	}
	at := int64(little.Uint64(first[32:]))
	wrong := func(why string, args ...any) error {
		return fmt.Errorf("the second partition table in sector %d is %w: %s", at, ErrDiffers, fmt.Sprintf(why, args...))
	}
	if at < 2 || at >= size/sectorSize {
		return wrong("there is no such sector")
	}
	if err := readFull(r, second, at*sectorSize); err != nil {
		return wrong("%v", err)
	}
	sum := little.Uint32(second[16:])
	clear(second[16:20])
	if string(second[:8]) != "EFI PART" || crc32.ChecksumIEEE(second[:header]) != sum {
		return wrong("its header's checksum is wrong")
	}
	place, length := int64(little.Uint64(second[72:])), int64(little.Uint32(second[80:]))*int64(little.Uint32(second[84:]))
	if place < 2 || place > size/sectorSize || length <= 0 || length > entries {
		return wrong("%d bytes of entries in sector %d: impossible", length, place)
	}
	table := make([]byte, length)
	if err := readFull(r, table, place*sectorSize); err != nil {
		return wrong("%v", err)
	}
	if sum := crc32.ChecksumIEEE(table); sum != little.Uint32(first[88:]) || sum != little.Uint32(second[88:]) {
		return wrong("its entries are not those of the first")
	}
	return nil
}
