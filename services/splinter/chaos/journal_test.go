package chaos

import (
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	writers   = 4
	readers   = 4
	keysEach  = 6 // keys that one writer alone sets
	actions   = keysEach + 3
	addAction = keysEach     // additions to the common integer
	casAction = keysEach + 1 // increments of the common value by compare-and-set
	publish   = keysEach + 2
)

// entry is what a writer is about to do and what was acknowledged, for one
// action: the numbers of its last intended and last acknowledged operation, and
// how many were acknowledged; less than the numbers, as those of operations that
// were cut off or refused are not given again.
type entry struct{ intended, acknowledged, succeeded atomic.Uint64 }

// journal is shared memory that all processes of the test map. It outlives who
// writes to it, which is all that is asked of it.
type journal struct {
	entries [writers][actions]entry
	torn    atomic.Uint64 // torn values that readers met
	reads   atomic.Uint64
	misread atomic.Uint64 // numbers that went back
}

func openJournal(path string) (*journal, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	size := int(unsafe.Sizeof(journal{}))
	if err := file.Truncate(int64(size)); err != nil {
		return nil, err
	}
	data, err := unix.Mmap(int(file.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	return (*journal)(unsafe.Pointer(&data[0])), nil
}
