package qcow2

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"
)

// ErrNotQcow2 is what Open's error wraps when the file doesn't begin as a qcow2 image.
var ErrNotQcow2 = errors.New("not a qcow2 image")

// Image is an image open for reading. It may be used by several goroutines.
type Image struct {
	file     io.ReaderAt
	fileSize int64
	size     int64
	bits     uint // a cluster is 1<<bits bytes
	l1       int64
	entries  int64 // of L1

	mutex      sync.Mutex
	tableAt    int64 // offset of the L2 table in table; 0: none
	table      []byte
	inflatedBy uint64 // L2 entry of the compressed cluster in inflated; 0: none
	inflated   []byte
}

// Open reads the header of the image in file, which is fileSize bytes long.
func Open(file io.ReaderAt, fileSize int64) (*Image, error) {
	header := make([]byte, headerBytes)
	n, err := file.ReadAt(header[:min(headerBytes, max(fileSize, 0))], 0)
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("open qcow2: header: %w", err)
	}
	if n < atIncompatible || string(header[:4]) != magic {
		return nil, fmt.Errorf("open qcow2: %w", ErrNotQcow2)
	}
	big := binary.BigEndian
	if version := big.Uint32(header[atVersion:]); version == 2 {
		clear(header[atIncompatible:]) // version 2 has no such fields
	} else if version != 3 || n < atCompression {
		return nil, fmt.Errorf("open qcow2: version %d in %d bytes of header: expected 2 or 3", version, n)
	}
	image := &Image{
		file: file, fileSize: fileSize, size: int64(big.Uint64(header[atSize:])), bits: uint(big.Uint32(header[atClusterBits:])),
		l1: int64(big.Uint64(header[atL1:])), entries: int64(big.Uint32(header[atL1Entries:])),
	}
	if err := refuse(header); err != nil {
		return nil, fmt.Errorf("open qcow2: %w", err)
	}
	if err := image.check(); err != nil {
		return nil, fmt.Errorf("open qcow2: %w", err)
	}
	return image, nil
}

// refuse tells what this reader doesn't know how to read.
func refuse(header []byte) error {
	const (
		dirty           = 1 // refcounts may be off, which a reader doesn't mind
		compressionType = 8 // the header says how clusters are compressed
		known           = dirty | compressionType
	)
	big := binary.BigEndian
	switch features := big.Uint64(header[atIncompatible:]); {
	case big.Uint64(header[atBacking:]) != 0:
		return fmt.Errorf("image has a backing file: reading those is not supported")
	case big.Uint32(header[atEncryption:]) != 0:
		return fmt.Errorf("image is encrypted: reading those is not supported")
	case features&^known != 0:
		return fmt.Errorf("image has incompatible features %#x: not supported", features&^known)
	case features&compressionType != 0 && header[atCompression] != 0:
		return fmt.Errorf("image has compression type %d: only deflate is supported", header[atCompression])
	}
	return nil
}

func (i *Image) check() error {
	switch {
	case i.bits < 9 || i.bits > 21:
		return fmt.Errorf("clusters of 2^%d bytes: expected 2^9 to 2^21", i.bits)
	case i.size < 0 || i.size > 1<<56:
		return fmt.Errorf("disk size %#x: too large", uint64(i.size))
	case i.l1 < 0 || i.l1%(1<<i.bits) != 0 || i.l1 > i.fileSize || i.entries*8 > i.fileSize-i.l1:
		return fmt.Errorf("L1 table of %d entries at byte %#x: not within the file of %d bytes", i.entries, uint64(i.l1), i.fileSize)
	case i.size > 0 && (i.size-1)>>(2*i.bits-3) >= i.entries:
		return fmt.Errorf("L1 table of %d entries: too few for a disk of %d bytes", i.entries, i.size)
	}
	return nil
}

// Size is the size of the disk in bytes.
func (i *Image) Size() int64 { return i.size }

// ReadAt reads from the disk the image holds, as io.ReaderAt says.
func (i *Image) ReadAt(p []byte, offset int64) (int, error) {
	if offset < 0 {
		return 0, fmt.Errorf("read qcow2: negative offset %d", offset)
	}
	done := 0
	for done < len(p) {
		at := offset + int64(done)
		if at >= i.size {
			return done, io.EOF
		}
		inside := at & (1<<i.bits - 1)
		length := min(int64(len(p)-done), 1<<i.bits-inside, i.size-at)
		if err := i.readCluster(p[done:done+int(length)], at>>i.bits, inside); err != nil {
			return done, fmt.Errorf("read qcow2: disk byte %d: %w", at, err)
		}
		done += int(length)
	}
	return done, nil
}

// readCluster fills p from one cluster of the disk, from the byte inside on.
func (i *Image) readCluster(p []byte, index, inside int64) error {
	i.mutex.Lock()
	defer i.mutex.Unlock()
	entry, err := i.entry(index)
	if err != nil {
		return err
	}
	offset := int64(entry & offsetMask)
	switch {
	case entry&flagCompressed != 0:
		if err := i.inflate(entry); err != nil {
			return err
		}
		copy(p, i.inflated[inside:])
		return nil
	case entry&flagZero != 0 || offset == 0:
		clear(p)
		return nil
	case offset&(1<<i.bits-1) != 0:
		return fmt.Errorf("cluster at byte %#x of the file: not on a cluster's boundary", offset)
	}
	return i.readFile(p, offset+inside, "cluster")
}

// entry returns the L2 entry of a cluster of the disk, 0 if it has none.
func (i *Image) entry(index int64) (uint64, error) {
	var word [8]byte
	if err := i.readFile(word[:], i.l1+index>>(i.bits-3)*8, "L1 entry"); err != nil {
		return 0, err
	}
	at := int64(binary.BigEndian.Uint64(word[:]) & offsetMask)
	if at == 0 {
		return 0, nil
	}
	if at&(1<<i.bits-1) != 0 {
		return 0, fmt.Errorf("L2 table at byte %#x of the file: not on a cluster's boundary", at)
	}
	if at != i.tableAt {
		if i.table == nil {
			i.table = make([]byte, 1<<i.bits)
		}
		i.tableAt = 0
		if err := i.readFile(i.table, at, "L2 table"); err != nil {
			return 0, err
		}
		i.tableAt = at
	}
	return binary.BigEndian.Uint64(i.table[index&(1<<(i.bits-3)-1)*8:]), nil
}

// inflate decompresses the cluster that entry describes into i.inflated.
func (i *Image) inflate(entry uint64) error {
	if entry == i.inflatedBy {
		return nil
	}
	shift := 62 - (i.bits - 8)
	offset := int64(entry & (1<<shift - 1))
	sectors := int64(entry&^(flagCompressed|flagCopied)) >> shift
	end := min((offset/sectorSize+sectors+1)*sectorSize, i.fileSize)
	if offset >= end {
		return fmt.Errorf("compressed cluster at byte %#x: behind the end of the file at %#x", offset, i.fileSize)
	}
	i.inflatedBy = 0
	if i.inflated == nil {
		i.inflated = make([]byte, 1<<i.bits)
	}
	packed := make([]byte, end-offset)
	if err := i.readFile(packed, offset, "compressed cluster"); err != nil {
		return err
	}
	if _, err := io.ReadFull(flate.NewReader(bytes.NewReader(packed)), i.inflated); err != nil {
		return fmt.Errorf("compressed cluster at byte %#x of the file: %w", offset, err)
	}
	i.inflatedBy = entry
	return nil
}

func (i *Image) readFile(p []byte, offset int64, what string) error {
	if offset > i.fileSize || int64(len(p)) > i.fileSize-offset {
		return fmt.Errorf("%s at byte %#x: behind the end of the file at %#x: is it cut off?", what, offset, i.fileSize)
	}
	if _, err := i.file.ReadAt(p, offset); err != nil && !(err == io.EOF && offset+int64(len(p)) == i.fileSize) {
		return fmt.Errorf("%s at byte %#x: %w", what, offset, err)
	}
	return nil
}
