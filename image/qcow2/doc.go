// Package qcow2 writes raw disk images as QEMU's qcow2, version 3, and reads such
// images back. Clusters are 64 KiB; those of zeros take no room; the others may be
// compressed with deflate. The same raw image gives the same bytes, whether or not
// its file has holes.
//
// Format: docs/interop/qcow2.txt in QEMU's source. The reader trusts nothing: it
// refuses what it can't read (backing files, encryption, external data, zstd) and
// holds at most one table and one cluster in memory.
//
// The package must never change an image in place or know what is on the disk.
package qcow2

const (
	magic       = "QFI\xfb"
	headerBytes = 112 // up to and including the compression type, a multiple of 8

	clusterBits = 16
	clusterSize = 1 << clusterBits
	sectorSize  = 512

	tableEntries    = clusterSize / 8 // of a table that fills a cluster
	refcountEntries = clusterSize / 2 // 16 bits each

	flagCopied     = 1 << 63               // the cluster has one user: QEMU may write to it in place
	flagCompressed = 1 << 62               // in an L2 entry
	flagZero       = 1                     // in an L2 entry: reads as zeros whatever its offset
	offsetMask     = 0x00ff_ffff_ffff_fe00 // where a table or cluster is in the file
)

// Offsets in the header; numbers are big-endian.
const (
	atVersion        = 4
	atBacking        = 8
	atClusterBits    = 20
	atSize           = 24
	atEncryption     = 32
	atL1Entries      = 36
	atL1             = 40
	atRefcount       = 48
	atRefcountLength = 56 // in clusters
	atIncompatible   = 72
	atRefcountOrder  = 96
	atHeaderLength   = 100
	atCompression    = 104
)
