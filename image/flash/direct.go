package flash

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// alignment of memory that is read into or written from past the page cache. The
// kernel wants a logical block's size or less; a page is right for every disk.
const alignment = 4096

// aligned returns size bytes of memory at such an address. Go moves no heap memory.
func aligned(size int64) []byte {
	raw := make([]byte, size+alignment)
	skip := (alignment - int64(uintptr(unsafe.Pointer(&raw[0])))%alignment) % alignment
	return raw[skip:][:size:size]
}

// device is a block device open past the page cache (O_DIRECT): progress is what
// the medium took and not what memory did, and what is read back comes from it.
type device struct {
	f     *os.File
	size  int64
	block int64 // the logical block: what offsets and lengths must be multiples of

	mutex sync.Mutex
	cache [cacheBlocks]cached // for small reads, as of a file system's tables
	clock int
}

const (
	cacheBlocks = 32
	cacheBlock  = 64 << 10
)

type cached struct {
	at   int64
	data []byte // nil: nothing
	used int
}

// openDevice opens the disk at path. For writing it claims it, so that nobody can
// mount it or a partition of it meanwhile; what is mounted can't be claimed.
func openDevice(path string, write bool) (*device, error) {
	flags := os.O_RDONLY
	if write {
		flags = os.O_RDWR | os.O_EXCL
	}
	f, err := os.OpenFile(path, flags|unix.O_DIRECT, 0)
	if err != nil {
		return nil, err
	}
	d := &device{f: f}
	if d.size, err = f.Seek(0, io.SeekEnd); err == nil {
		var block int
		block, err = unix.IoctlGetInt(int(f.Fd()), unix.BLKSSZGET)
		d.block = int64(block)
	}
	if err == nil && (d.block < sectorSize || d.block > alignment) {
		err = fmt.Errorf("logical blocks of %d bytes: expected %d to %d", d.block, sectorSize, alignment)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), f.Close())
	}
	return d, nil
}

// number returns the device number of what was opened.
func (d *device) number() (Number, error) {
	var stat unix.Stat_t
	if err := unix.Fstat(int(d.f.Fd()), &stat); err != nil {
		return Number{}, err
	}
	return Number{unix.Major(stat.Rdev), unix.Minor(stat.Rdev)}, nil
}

// ReadAt reads as io.ReaderAt says, whatever the place and length.
func (d *device) ReadAt(p []byte, at int64) (int, error) {
	if at < 0 || at > d.size {
		return 0, io.EOF
	}
	if d.fits(p, at) {
		return d.f.ReadAt(p, at)
	}
	d.mutex.Lock()
	defer d.mutex.Unlock()
	done := 0
	for done < len(p) && at+int64(done) < d.size {
		place := at + int64(done)
		block, err := d.cachedBlock(place / cacheBlock * cacheBlock)
		if err != nil {
			return done, err
		}
		done += copy(p[done:], block[place%cacheBlock:])
	}
	if done < len(p) {
		return done, io.EOF
	}
	return done, nil
}

// cachedBlock returns the block that begins at the byte at; the one unused for
// longest makes room.
func (d *device) cachedBlock(at int64) ([]byte, error) {
	d.clock++
	oldest := 0
	for i := range d.cache {
		if d.cache[i].data != nil && d.cache[i].at == at {
			d.cache[i].used = d.clock
			return d.cache[i].data, nil
		}
		if d.cache[i].used < d.cache[oldest].used {
			oldest = i
		}
	}
	c := &d.cache[oldest]
	c.data = nil
	data := aligned(min(cacheBlock, d.size-at))
	if n, err := d.f.ReadAt(data, at); n < len(data) {
		return nil, fmt.Errorf("read %s at byte %d: %w", d.f.Name(), at, err)
	}
	*c = cached{at: at, data: data, used: d.clock}
	return data, nil
}

func (d *device) fits(p []byte, at int64) bool {
	return len(p) > 0 && at%d.block == 0 && int64(len(p))%d.block == 0 &&
		uintptr(unsafe.Pointer(&p[0]))%alignment == 0 && at+int64(len(p)) <= d.size
}

// WriteAt writes whole blocks from aligned memory.
func (d *device) WriteAt(p []byte, at int64) (int, error) {
	if !d.fits(p, at) {
		return 0, fmt.Errorf("write %d bytes at byte %d of %s: not whole blocks within it", len(p), at, d.f.Name())
	}
	d.mutex.Lock()
	clear(d.cache[:])
	d.mutex.Unlock()
	return d.f.WriteAt(p, at)
}

// Sync waits until the medium has what was written, and lets the kernel forget
// what it remembers of it.
func (d *device) Sync() error {
	if err := d.f.Sync(); err != nil {
		return err
	}
	// What is read past the cache doesn't come from it; this is for others who
	// have the disk open, and may be root's alone.
	_ = unix.IoctlSetInt(int(d.f.Fd()), unix.BLKFLSBUF, 0)
	return nil
}

// Reread lets the kernel read the partition table again.
func (d *device) Reread() error {
	err := unix.IoctlSetInt(int(d.f.Fd()), unix.BLKRRPART, 0)
	if errors.Is(err, unix.EINVAL) {
		return nil // a device without partitions, as loop devices are unless asked for
	}
	return err
}

// Close closes the device.
func (d *device) Close() error { return d.f.Close() }
