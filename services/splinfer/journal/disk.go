package journal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// disk is what the package asks of its folder. Tests put one in its place that
// loses its power and fills up.
type disk interface {
	open(name string, how access) (file, error)
	rename(from, to string) error
	link(from, to string) error
	remove(name string) error
	list() ([]entry, error) // regular files only, sorted by name
	touch(name string, at time.Time) error
	sync() error // names that were made, changed and removed are on the disk
	lock(name string) (io.Closer, error)
	close() error
}

// access is how a file is opened.
type access int

const (
	present access = iota // it must be there
	made                  // it is made if it is not there
	emptied               // it is made, or made empty
)

// file is an open file of a disk.
type file interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Truncate(size int64) error
	Sync() error
	size() (int64, error)
}

type entry struct {
	name     string
	bytes    int64
	modified time.Time
}

// folder is the disk that there is.
type folder struct {
	dir  string
	self *os.File
}

// openFolder makes the folder, which only its owner may look into, if it is
// not there.
func openFolder(dir string) (*folder, error) {
	_, missing := os.Stat(dir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	// What was there before was somebody else's to put on the disk, perhaps ours
	// before we died; what lies above may not be ours to open.
	if err := syncFolder(filepath.Dir(filepath.Clean(dir))); err != nil && missing != nil {
		return nil, err
	}
	self, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	return &folder{dir, self}, nil
}

func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

func (f *folder) path(name string) string { return filepath.Join(f.dir, name) }

// open never follows a link and never waits, such as for the other end of a fifo.
func (f *folder) open(name string, how access) (file, error) {
	flags := os.O_RDWR | unix.O_NOFOLLOW | unix.O_NONBLOCK
	switch how {
	case made:
		flags |= os.O_CREATE
	case emptied:
		flags |= os.O_CREATE | os.O_TRUNC
	}
	opened, err := os.OpenFile(f.path(name), flags, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := opened.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("open %q: it is not a regular file", f.path(name))
	}
	if err != nil {
		opened.Close()
		return nil, err
	}
	return osFile{opened}, nil
}

type osFile struct{ *os.File }

func (f osFile) size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f *folder) rename(from, to string) error { return os.Rename(f.path(from), f.path(to)) }
func (f *folder) link(from, to string) error   { return os.Link(f.path(from), f.path(to)) }
func (f *folder) remove(name string) error     { return os.Remove(f.path(name)) }
func (f *folder) sync() error                  { return f.self.Sync() }
func (f *folder) close() error                 { return f.self.Close() }

func (f *folder) touch(name string, at time.Time) error {
	return os.Chtimes(f.path(name), at, at)
}

func (f *folder) list() ([]entry, error) {
	found, err := os.ReadDir(f.dir)
	if err != nil {
		return nil, err
	}
	var entries []entry
	for _, one := range found {
		info, err := one.Info()
		if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
			continue
		}
		if err != nil {
			return nil, err
		}
		entries = append(entries, entry{one.Name(), info.Size(), info.ModTime()})
	}
	return entries, nil
}

// lock takes the lock that name stands for, or says ErrBusy. It ends with the
// process, so nobody has to clear it.
func (f *folder) lock(name string) (io.Closer, error) {
	opened, err := os.OpenFile(f.path(name), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(opened.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		opened.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("folder %q is %w by another process", f.dir, ErrBusy)
		}
		return nil, fmt.Errorf("lock %q: %w", f.path(name), err)
	}
	return opened, nil
}
