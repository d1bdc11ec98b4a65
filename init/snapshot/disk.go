package snapshot

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// handle is an open file or folder. What is in a folder is reached from its
// descriptor only.
type handle struct {
	*os.File
	path string // for messages only
}

func newHandle(fd int, path string) handle {
	return handle{os.NewFile(uintptr(fd), path), path}
}

func (f handle) close() { f.File.Close() }

func (f handle) fd() int { return int(f.Fd()) }

const openFlags = unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC | unix.O_NOCTTY

// openFolder opens a folder by a path that only root can change.
func openFolder(path string) (handle, error) {
	return openAt(unix.AT_FDCWD, path, path)
}

// open opens the folder name within f, which must not be a link to one.
func (f handle) open(name string) (handle, error) {
	return openAt(f.fd(), name, filepath.Join(f.path, name))
}

func openAt(at int, name, path string) (handle, error) {
	fd, err := openRetry(at, name, openFlags|unix.O_DIRECTORY, 0)
	if err != nil {
		return handle{}, fmt.Errorf("open folder %q: %w", path, err)
	}
	return newHandle(fd, path), nil
}

func openRetry(at int, name string, flags int, mode uint32) (fd int, err error) {
	for {
		if fd, err = unix.Openat(at, name, flags, mode); !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}

// stat tells of an entry without going through a link.
func (f handle) stat(name string) (st unix.Stat_t, err error) {
	if err = unix.Fstatat(f.fd(), name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		err = fmt.Errorf("look at %q: %w", filepath.Join(f.path, name), err)
	}
	return st, err
}

func (f handle) statSelf() (st unix.Stat_t, err error) {
	if err = unix.Fstat(f.fd(), &st); err != nil {
		err = fmt.Errorf("look at %q: %w", f.path, err)
	}
	return st, err
}

// disk is everything that changes the disk, one method for each system call
// that does. Before each, step (if there is one) is told and may refuse: tests
// cut the power there.
type disk struct {
	step func(operation, path string) error
}

func (d disk) do(operation string, at handle, name string, call func() error) error {
	path := filepath.Join(at.path, name)
	var err error
	if d.step != nil {
		err = d.step(operation, path)
	}
	if err == nil {
		err = call()
	}
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		err = fmt.Errorf("%w (%w)", ErrNoRoom, err)
	}
	if err != nil {
		return fmt.Errorf("%s %q: %w", operation, path, err)
	}
	return nil
}

// mkdir makes a folder that only its owner can enter, and opens it.
func (d disk) mkdir(at handle, name string) (handle, error) {
	if err := d.do("make folder", at, name, func() error { return unix.Mkdirat(at.fd(), name, 0o700) }); err != nil {
		return handle{}, err
	}
	return at.open(name)
}

func (d disk) create(at handle, name string) (file handle, err error) {
	err = d.do("make file", at, name, func() error {
		const flags = unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_CLOEXEC
		fd, err := openRetry(at.fd(), name, flags, 0o600)
		if err == nil {
			file = newHandle(fd, filepath.Join(at.path, name))
		}
		return err
	})
	return file, err
}

func (d disk) writeAt(file handle, data []byte, offset int64) error {
	return d.do("write", file, "", func() error { _, err := file.WriteAt(data, offset); return err })
}

func (d disk) resize(file handle, size int64) error {
	return d.do("set the size of", file, "", func() error { return file.Truncate(size) })
}

func (d disk) symlink(at handle, name, target string) error {
	return d.do("make link", at, name, func() error { return unix.Symlinkat(target, at.fd(), name) })
}

// permissions are what is kept of a mode.
const (
	filePermissions   = 0o777
	folderPermissions = 0o3777
)

// attributes gives what was made owner, permissions and times of what it is a
// copy of; the descriptor must be its own.
func (d disk) attributes(made handle, as unix.Stat_t, permissions uint32) error {
	return d.do("set attributes of", made, "", func() error {
		now, err := made.statSelf()
		if err != nil {
			return err
		}
		if now.Uid != as.Uid || now.Gid != as.Gid {
			if err := made.Chown(int(as.Uid), int(as.Gid)); err != nil {
				return err
			}
		}
		if err := unix.Fchmod(made.fd(), as.Mode&permissions); err != nil {
			return err
		}
		// The times of a descriptor: utimensat(2) with an empty path.
		return unix.UtimesNanoAt(made.fd(), "", []unix.Timespec{as.Mtim, as.Mtim}, unix.AT_EMPTY_PATH)
	})
}

// ownLink gives a link its owner.
func (d disk) ownLink(at handle, name string, as unix.Stat_t) error {
	return d.do("set the owner of", at, name, func() error {
		now, err := at.stat(name)
		if err != nil || now.Uid == as.Uid && now.Gid == as.Gid {
			return err
		}
		return unix.Fchownat(at.fd(), name, int(as.Uid), int(as.Gid), unix.AT_SYMLINK_NOFOLLOW)
	})
}

// rename gives an entry of a folder a name that nothing there has.
func (d disk) rename(at handle, from, to string) error {
	return d.do("rename", at, to, func() error {
		return unix.Renameat2(at.fd(), from, at.fd(), to, unix.RENAME_NOREPLACE)
	})
}

// move takes an entry of one folder to another one.
func (d disk) move(at handle, name string, to handle, as string) error {
	return d.do("move", to, as, func() error {
		return unix.Renameat2(at.fd(), name, to.fd(), as, unix.RENAME_NOREPLACE)
	})
}

func (d disk) exchange(a handle, name string, b handle, other string) error {
	return d.do("exchange", a, name, func() error {
		return unix.Renameat2(a.fd(), name, b.fd(), other, unix.RENAME_EXCHANGE)
	})
}

func (d disk) unlink(at handle, name string, flags int) error {
	return d.do("delete", at, name, func() error { return unix.Unlinkat(at.fd(), name, flags) })
}

// sync waits until a file, or the names in a folder, are on the disk.
func (d disk) sync(f handle) error {
	return d.do("sync", f, "", f.Sync)
}

// syncAll waits until the whole file system that f is on is on the disk.
func (d disk) syncAll(f handle) error {
	return d.do("sync all with", f, "", func() error { return unix.Syncfs(f.fd()) })
}

// roomBesideReserve is what is free on the disk but for a twentieth of it, which
// snapshots leave to the services.
func roomBesideReserve(fd int) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd, &st); err != nil {
		return 0, fmt.Errorf("ask for room on the disk: %w", err)
	}
	return (int64(st.Bavail) - int64(st.Blocks/20)) * st.Bsize, nil
}
