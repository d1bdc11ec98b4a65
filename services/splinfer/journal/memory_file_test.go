package journal

import (
	"io"
	"io/fs"
	"slices"

	"golang.org/x/sys/unix"
)

type memoryFile struct {
	m *memory
	n *inode
}

func (f *memoryFile) ReadAt(p []byte, at int64) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if at >= int64(len(f.n.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.n.data[at:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt writes what there is room for, as a disk does that gets full.
func (f *memoryFile) WriteAt(p []byte, at int64) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.m.step(); err != nil {
		return 0, err
	}
	n := len(p)
	if f.m.room >= 0 {
		used := int64(0)
		for _, other := range f.m.names {
			used += int64(len(other.data))
		}
		grows := at + int64(n) - int64(len(f.n.data))
		n -= int(max(0, min(int64(n), grows-max(0, f.m.room-used))))
	}
	if n > 0 {
		f.n.do(write{at, slices.Clone(p[:n])})
	}
	if n < len(p) {
		return n, &fs.PathError{Op: "write", Path: "memory", Err: unix.ENOSPC}
	}
	return n, nil
}

func (f *memoryFile) Truncate(size int64) error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.m.step(); err != nil {
		return err
	}
	f.n.do(write{at: size})
	return nil
}

// Sync that fails forgets what it had to write, as Linux does: a later one
// succeeds without having written it.
func (f *memoryFile) Sync() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.m.step(); err != nil {
		return err
	}
	if f.m.badSyncs > 0 {
		f.m.badSyncs--
		lost := slices.Clone(f.n.durable)
		f.n.durable, f.n.writes = resize(lost, int64(len(f.n.data))), nil
		return &fs.PathError{Op: "sync", Path: "memory", Err: unix.EIO}
	}
	f.m.syncs++
	for _, w := range f.n.writes {
		f.n.durable = w.apply(f.n.durable)
	}
	f.n.writes = nil
	return nil
}

func (f *memoryFile) Close() error { return nil }

func (f *memoryFile) size() (int64, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	return int64(len(f.n.data)), nil
}
