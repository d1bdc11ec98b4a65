package datadisk

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// tellKernel makes the kernel's idea of the partition agree with the table,
// also while other partitions of the disk are in use (BLKPG, linux/blkpg.h).
func tellKernel(disk *os.File, sectorSize int, p Partition) error {
	part := unix.BlkpgPartition{
		Start:  int64(p.First) * int64(sectorSize),
		Length: int64(p.Sectors()) * int64(sectorSize),
		Pno:    int32(p.Number),
	}
	err := blkpg(disk, unix.BLKPG_RESIZE_PARTITION, &part)
	if errors.Is(err, unix.ENXIO) {
		err = blkpg(disk, unix.BLKPG_ADD_PARTITION, &part) // the kernel couldn't read the table
	}
	if err != nil {
		return fmt.Errorf("tell the kernel the size of partition %d: %w", p.Number, err)
	}
	return nil
}

func blkpg(disk *os.File, op int32, part *unix.BlkpgPartition) error {
	arg := unix.BlkpgIoctlArg{Op: op, Datalen: int32(unsafe.Sizeof(*part)), Data: (*byte)(unsafe.Pointer(part))}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, disk.Fd(), unix.BLKPG, uintptr(unsafe.Pointer(&arg)))
	if errno != 0 {
		return errno
	}
	return nil
}
