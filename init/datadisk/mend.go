package datadisk

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"os"
)

// fields are parts of an ext4 superblock: from the first offset up to the second.
type fields [][2]int

// changing are those in which the first superblock may differ from its copies, since
// mounting, growing and use change them and the kernel writes copies seldom.
var changing = fields{
	{0x00, 0x14},   // numbers of inodes and blocks, and how many are free
	{0x2c, 0x36},   // times and number of mounts
	{0x3a, 0x3c},   // state
	{0x40, 0x44},   // time of the last check
	{0x5a, 0x5c},   // block group of this copy
	{0x60, 0x61},   // incompatible features; of these only needsRecovery, see below
	{0x88, 0xc8},   // where it was mounted last
	{0xce, 0xd0},   // blocks kept for growing
	{0xe8, 0xec},   // files to be deleted
	{0x150, 0x15c}, // high halves of numbers of blocks
	{0x178, 0x180}, // how much was ever written
	{0x194, 0x200}, // errors
	{0x248, 0x24c}, // blocks of its own
	{0x274, 0x27c}, // high bytes of times
	{0x3fc, 0x400}, // the check sum
}

const (
	featuresIncompat = 0x60
	needsRecovery    = 0x04
	checksumOffset   = 0x3fc
)

// mendChecksum gives the superblock of device the check sum of what it holds, if that
// is all that is wrong with it: in everything that does not change in use it must be
// the same as the first copy, whose own check sum must be right. That happens: Linux
// 6.12 writes the block while it changes it, and a power cut before it is written
// once more leaves new numbers under an old sum, with which neither e2fsck nor the
// kernel opens the file system (seen while it grew). The numbers are for e2fsck to check.
func mendChecksum(device string) (mended bool, err error) {
	f, err := os.OpenFile(device, os.O_RDWR, 0)
	if err != nil {
		return false, err
	}
	defer f.Close()
	first, backup := make([]byte, superblockSize), make([]byte, superblockSize)
	if _, err := f.ReadAt(first, superblockOffset); err != nil {
		return false, nil // which is told by whoever reads it for its content
	}
	s, block, err := FindBackup(f)
	if err != nil {
		return false, nil
	}
	if _, err := f.ReadAt(backup, block*s.BlockSize); err != nil {
		return false, nil
	}
	sum := ^crc32.Checksum(first[:checksumOffset], castagnoli())
	hasSum := le.Uint32(first[0x64:])&featureChecksums != 0
	if !hasSum || sum == le.Uint32(first[checksumOffset:]) || !changing.onlyDiffer(first, backup) {
		return false, nil
	}
	if _, err := f.WriteAt(le.AppendUint32(nil, sum), superblockOffset+checksumOffset); err != nil {
		return false, fmt.Errorf("mend the superblock's check sum: %w", err)
	}
	if err := f.Sync(); err != nil {
		return false, fmt.Errorf("mend the superblock's check sum: %w", err)
	}
	return true, nil
}

// onlyDiffer is true if two superblocks differ in nothing but these fields.
func (c fields) onlyDiffer(one, other []byte) bool {
	if (one[featuresIncompat]^other[featuresIncompat])&^needsRecovery != 0 {
		return false
	}
	one, other = bytes.Clone(one), bytes.Clone(other)
	for _, field := range c {
		clear(one[field[0]:field[1]])
		clear(other[field[0]:field[1]])
	}
	return bytes.Equal(one, other)
}
