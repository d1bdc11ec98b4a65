package datadisk

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// Superblock is what of an ext4 superblock is needed here (kernel
// Documentation/filesystems/ext4/super.rst).
type Superblock struct {
	BlockSize int64  // bytes
	Blocks    uint64 // of the whole file system
	Group     int    // the block group this copy belongs to
	Label     string
}

// Bytes is the size of the file system.
func (s Superblock) Bytes() int64 { return int64(s.Blocks) * s.BlockSize }

// ErrNoSuperblock says that there is no ext4 superblock at a place.
var ErrNoSuperblock = errors.New("no ext4 superblock")

const (
	superblockOffset = 1024
	superblockSize   = 1024
	ext4Magic        = 0xef53
	featureChecksums = 0x400 // ro_compat: metadata_csum
	feature64Bit     = 0x80  // incompat: block counts have a high half
)

// castagnoli is made when it is needed: the console doesn't wait for it.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// ReadSuperblock reads and checks the superblock at offset, in bytes from the
// start of the partition; 1024 is where the first one lies.
func ReadSuperblock(partition io.ReaderAt, offset int64) (Superblock, error) {
	b := make([]byte, superblockSize)
	if _, err := partition.ReadAt(b, offset); err != nil {
		return Superblock{}, fmt.Errorf("read the superblock at byte %d: %w", offset, err)
	}
	if le.Uint16(b[0x38:]) != ext4Magic {
		return Superblock{}, ErrNoSuperblock
	}
	shift := le.Uint32(b[0x18:])
	if shift > 6 {
		return Superblock{}, fmt.Errorf("superblock at byte %d: block size 2^%d is out of bounds", offset, 10+uint64(shift))
	}
	if le.Uint32(b[0x64:])&featureChecksums != 0 {
		if sum := ^crc32.Checksum(b[:0x3fc], castagnoli()); sum != le.Uint32(b[0x3fc:]) {
			return Superblock{}, fmt.Errorf("superblock at byte %d: checksum %08x, expected %08x", offset, sum, le.Uint32(b[0x3fc:]))
		}
	}
	s := Superblock{BlockSize: 1024 << shift, Blocks: uint64(le.Uint32(b[4:])), Group: int(le.Uint16(b[0x5a:]))}
	if le.Uint32(b[0x60:])&feature64Bit != 0 {
		s.Blocks |= uint64(le.Uint32(b[0x150:])) << 32
	}
	for _, c := range b[0x78 : 0x78+16] {
		if c == 0 {
			break
		}
		s.Label += string(rune(c))
	}
	if s.Blocks == 0 || s.Blocks > 1<<46 {
		return Superblock{}, fmt.Errorf("superblock at byte %d: %d blocks are out of bounds", offset, s.Blocks)
	}
	return s, nil
}

// FindBackup looks, only reading, for the copy of the superblock that mke2fs
// puts at the start of the second block group, for each block size it makes.
// block is the number to give to e2fsck -b.
func FindBackup(partition io.ReaderAt) (s Superblock, block int64, err error) {
	for _, size := range []int64{4096, 1024, 2048} {
		block := 8 * size
		if size == 1024 {
			block++ // the first data block of such a file system is 1
		}
		s, err := ReadSuperblock(partition, block*size)
		if err == nil && s.BlockSize == size && s.Group == 1 {
			return s, block, nil
		}
	}
	return Superblock{}, 0, ErrNoSuperblock
}
