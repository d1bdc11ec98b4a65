package splinter

import (
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mapping is the file in memory. It stays mapped until nothing refers to it,
// so that a method that runs while the bus is closed touches no lost memory.
type mapping struct {
	data []byte
	g    geometry
	at   offsets
	life *life // of the one handle that has it mapped
}

// openMapping checks the header by reading before it maps anything, so that a
// file that is cut off is an error and never a SIGBUS.
func openMapping(path string) (*mapping, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() < pageSize {
		return nil, fmt.Errorf("%w: it is no regular file of at least %d bytes", ErrNotABus, pageSize)
	}
	var h header
	page := unsafe.Slice((*byte)(unsafe.Pointer(&h)), unsafe.Sizeof(h))
	if _, err := f.ReadAt(page, 0); err != nil {
		return nil, err
	}
	if err := h.check(info.Size()); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotABus, err)
	}
	data, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map: %w", err)
	}
	m := &mapping{data: data, g: h.Geometry, at: h.Geometry.offsets()}
	runtime.AddCleanup(m, func(data []byte) { _ = unix.Munmap(data) }, data)
	if err := m.begin(path, info); err != nil {
		return nil, err
	}
	return m, nil
}

// createFile makes an empty bus under a temporary name and gives it its own
// name only when it is whole. All its memory is taken now, so that a full tmpfs
// is an error here and not a SIGBUS later. An existing file is left alone.
func createFile(path string, g geometry, o Options) error {
	f, err := os.CreateTemp(dirOf(path), ".bus-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if err := unix.Fallocate(int(f.Fd()), 0, 0, int64(g.FileSize)); err != nil {
		return fmt.Errorf("take %d bytes: %w", g.FileSize, err)
	}
	h := header{Magic: busMagic, Version: layoutVersion, Order: orderProbe, Geometry: g, Checksum: g.checksum()}
	page := unsafe.Slice((*byte)(unsafe.Pointer(&h)), unsafe.Sizeof(h))
	if _, err := f.WriteAt(page, 0); err != nil {
		return err
	}
	if o.GID != 0 {
		if err := f.Chown(-1, o.GID); err != nil {
			return err
		}
	}
	if err := f.Chmod(o.Mode); err != nil {
		return err
	}
	if err := formatFile(f, g); err != nil {
		return err
	}
	err = unix.Renameat2(unix.AT_FDCWD, f.Name(), unix.AT_FDCWD, path, unix.RENAME_NOREPLACE)
	if err == unix.EEXIST {
		return nil
	}
	return err
}

// formatFile writes what of an empty bus is not zero and not in its header.
func formatFile(f *os.File, g geometry) error {
	data, err := unix.Mmap(int(f.Fd()), 0, int(g.FileSize), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map: %w", err)
	}
	defer unix.Munmap(data)
	m := &mapping{data: data, g: g, at: g.offsets()}
	m.formatHeap()
	return nil
}

func (m *mapping) header() *header { return (*header)(unsafe.Pointer(&m.data[0])) }

func (m *mapping) wake(hash uint64) *wakeWord {
	return (*wakeWord)(unsafe.Pointer(&m.data[m.at.wake+64*(hash%wakeWords)]))
}

func (m *mapping) participant(i uint32) *participant {
	return (*participant)(unsafe.Pointer(&m.data[m.at.participants+64*uint64(i%processLimit)]))
}

func (m *mapping) endpoint(i uint32) *endpoint {
	return (*endpoint)(unsafe.Pointer(&m.data[m.at.endpoints+128*uint64(i%endpointLimit)]))
}

func (m *mapping) connection(i uint32) *connection {
	return (*connection)(unsafe.Pointer(&m.data[m.at.connections+1024*uint64(i)]))
}

// ringData returns the bytes of one direction of connection i.
func (m *mapping) ringData(i uint32, direction int) []byte {
	size := uint64(m.g.RingSize)
	begin := m.at.rings + (2*uint64(i)+uint64(direction))*size
	return m.data[begin : begin+size : begin+size]
}
