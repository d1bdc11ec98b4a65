// Package systemdisk is the appliance's system as a partition: a file system
// that can't be written (erofs), followed by a tree of hashes with which the
// kernel checks each block when it is read (dm-verity). The root of the tree is
// on the kernel's command line, so that the command line, the kernel and the
// partition belong together: a changed byte is an error before it is used.
//
// The layout is fixed, so that nothing of the partition has to be believed:
// blocks of BlockSize bytes, SHA-256 without salt, first the file system's blocks,
// then the tree, its root first.
package systemdisk

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// PartitionName is the name in the partition table of the partition that holds the system.
const PartitionName = "runa-system"

// BlockSize is the size in bytes of what is read and checked at once.
const BlockSize = 4096

// Option is the name of the kernel's argument that names the system.
const Option = "gilgul.system"

// System is what tells one system from every other.
type System struct {
	Blocks uint64 // of the file system; the tree of hashes follows
	Root   [sha256.Size]byte
}

// A system of one block would have no tree; mostBlocks (64 GiB) is so that no sum
// overflows.
const (
	fewestBlocks = 2
	mostBlocks   = 1 << 24
)

// Parse reads what String wrote: BLOCKS:ROOT, in decimal and in 64 hexadecimal digits.
func Parse(text string) (System, error) {
	var s System
	blocks, root, _ := strings.Cut(text, ":")
	n, err := strconv.ParseUint(blocks, 10, 64)
	if err != nil || n < fewestBlocks || n > mostBlocks {
		return System{}, fmt.Errorf("%s=%q: expected BLOCKS:ROOT with %d to %d blocks", Option, text, fewestBlocks, mostBlocks)
	}
	digest, err := hex.DecodeString(root)
	if err != nil || len(digest) != len(s.Root) {
		return System{}, fmt.Errorf("%s=%q: expected BLOCKS:ROOT, the root as %d hexadecimal digits", Option, text, 2*len(s.Root))
	}
	s.Blocks = n
	copy(s.Root[:], digest)
	return s, nil
}

// String is the argument's value.
func (s System) String() string { return fmt.Sprintf("%d:%x", s.Blocks, s.Root) }
