package version

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// folder is the open folder of one service; only root can change it. What is in
// it is reached from its descriptor and never through a link.
type folder struct {
	*os.File
	path string
	step func(operation, path string) error // before each change; may refuse
}

func openFolder(path string, step func(string, string) error) (folder, error) {
	fd, err := unix.Open(path, unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return folder{}, fmt.Errorf("open folder %s: %w", path, err)
	}
	return folder{os.NewFile(uintptr(fd), path), path, step}, nil
}

func (f folder) close() { f.File.Close() }

func (f folder) fd() int { return int(f.Fd()) }

// do makes one change of the disk.
func (f folder) do(operation, name string, call func() error) error {
	path := filepath.Join(f.path, name)
	if f.step != nil {
		if err := f.step(operation, path); err != nil {
			return err
		}
	}
	if err := call(); err != nil {
		return fmt.Errorf("%s %s: %w", operation, path, err)
	}
	return nil
}

// ensure makes a folder that everybody may look into, for a service's program
// is read by the service, unless it is there.
func ensure(path string, step func(string, string) error) error {
	above, err := openFolder(filepath.Dir(path), step)
	if err != nil {
		return err
	}
	defer above.close()
	name := filepath.Base(path)
	err = above.do("make folder", name, func() error { return unix.Mkdirat(above.fd(), name, 0o755) })
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	if err != nil {
		return err
	}
	return above.sync()
}

func (f folder) sync() error { return f.do("sync", "", f.Sync) }

// names lists the files.
func (f folder) names() ([]string, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	entries, err := f.ReadDir(-1)
	var names []string
	for _, e := range entries {
		if e.Type().IsRegular() {
			names = append(names, e.Name())
		}
	}
	return names, err
}

func (f folder) unlink(name string) error {
	return f.do("delete", name, func() error { return unix.Unlinkat(f.fd(), name, 0) })
}

// errGarbage: something stands there that nobody here has written.
var errGarbage = errors.New("it is not a file that was written here")

// open opens a regular file for reading.
func (f folder) open(name string) (*os.File, unix.Stat_t, error) {
	var st unix.Stat_t
	path := filepath.Join(f.path, name)
	fd, err := unix.Openat(f.fd(), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENXIO) {
		err = errGarbage // a link, a socket
	}
	if err != nil {
		return nil, st, fmt.Errorf("open %s: %w", path, err)
	}
	file := os.NewFile(uintptr(fd), path)
	if err = unix.Fstat(fd, &st); err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		err = fmt.Errorf("open %s: %w", path, errGarbage)
	}
	if err != nil {
		file.Close()
		return nil, st, err
	}
	return file, st, nil
}

func (f folder) read(name string, most int64) ([]byte, error) {
	file, st, err := f.open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if st.Size > most {
		return nil, fmt.Errorf("read %s: %w", filepath.Join(f.path, name), errGarbage)
	}
	return io.ReadAll(io.LimitReader(file, most))
}

// unfinished is the name of what is being written.
const unfinished = ".unfinished"

// create opens the file that is to be finished or given up.
func (f folder) create() (file *os.File, err error) {
	err = f.do("make file", unfinished, func() error {
		const flags = unix.O_WRONLY | unix.O_CREAT | unix.O_TRUNC | unix.O_NOFOLLOW | unix.O_CLOEXEC
		fd, err := unix.Openat(f.fd(), unfinished, flags, 0o600)
		if err == nil {
			file = os.NewFile(uintptr(fd), filepath.Join(f.path, unfinished))
		}
		return err
	})
	return file, err
}

// finish syncs what was written and gives it its name and mode.
func (f folder) finish(file *os.File, name string, mode uint32) error {
	for _, step := range []func() error{
		func() error {
			return f.do("set mode of", unfinished, func() error { return unix.Fchmod(int(file.Fd()), mode) })
		},
		func() error { return f.do("sync", unfinished, file.Sync) },
		func() error {
			return f.do("rename", name, func() error { return unix.Renameat(f.fd(), unfinished, f.fd(), name) })
		},
		f.sync,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// write replaces a small file atomically.
func (f folder) write(name string, data []byte) error {
	file, err := f.create()
	if err != nil {
		return err
	}
	defer file.Close()
	err = f.do("write", unfinished, func() error { _, err := file.Write(data); return err })
	if err == nil {
		err = f.finish(file, name, 0o644)
	}
	if err != nil {
		return errors.Join(err, f.giveUp())
	}
	return nil
}

// giveUp deletes what is unfinished, if there is something.
func (f folder) giveUp() error {
	if err := f.unlink(unfinished); !errors.Is(err, unix.ENOENT) {
		return err
	}
	return nil
}
