package enclosure

import (
	"errors"
	"fmt"
	"path"

	"golang.org/x/sys/unix"
)

// What the root and /tmp may hold. Both count as the service's memory.
const (
	rootSize   = "256k"
	rootInodes = "1024"
	tmpSize    = "16m"
	tmpInodes  = "1024"
)

// Devices are the device nodes every service has.
var Devices = []string{"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"}

// prepareNamespaces cuts the mounts off from those outside and opens what every
// service has: the devices, and a /proc that shows the processes of this pid
// namespace. With leave it also leaves the machine's root: all else that the
// service sees will come as open trees.
func (e *enclosure) prepareNamespaces(leave bool) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("separate its mounts: %w", err)
	}
	for _, device := range Devices {
		tree, err := OpenTree(Mount{From: device, Kind: Device})
		if err != nil {
			return err
		}
		e.devices = append(e.devices, tree)
	}
	var err error
	e.proc, err = newMount("proc", unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC,
		map[string]string{"hidepid": "invisible"})
	if err != nil || !leave {
		return err
	}
	// It stays empty until its user is known: nobody could own what is made.
	e.left = true
	return enterNewRoot()
}

// newMount makes a file system that is mounted nowhere yet.
func newMount(kind string, attributes int, options map[string]string) (int, error) {
	context, err := unix.Fsopen(kind, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("make a %s: %w", kind, err)
	}
	defer unix.Close(context)
	for key, value := range options {
		if err := unix.FsconfigSetString(context, key, value); err != nil {
			return -1, fmt.Errorf("make a %s with %s=%s: %w", kind, key, value, err)
		}
	}
	if err := unix.FsconfigCreate(context); err != nil {
		return -1, fmt.Errorf("make a %s: %w", kind, err)
	}
	fd, err := unix.Fsmount(context, unix.FSMOUNT_CLOEXEC, attributes)
	if err != nil {
		return -1, fmt.Errorf("make a %s: %w", kind, err)
	}
	return fd, nil
}

// OpenTree opens a file or folder as a mount that is mounted nowhere yet, with
// only what its kind allows. Links are followed, but not to where the service
// may write: it could have laid them.
func OpenTree(m Mount) (int, error) {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC}
	if m.Kind == Write {
		how.Resolve = unix.RESOLVE_NO_SYMLINKS
	}
	at, err := unix.Openat2(unix.AT_FDCWD, m.From, &how)
	if err != nil {
		return -1, fmt.Errorf("open %s: %w", m.From, err)
	}
	defer unix.Close(at)
	fd, err := unix.OpenTree(at, "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH|unix.AT_RECURSIVE)
	if err != nil {
		return -1, fmt.Errorf("show it %s: %w", m.From, err)
	}
	attributes := unix.MountAttr{Attr_set: m.Kind.attributes()}
	if m.Kind == Program {
		attributes.Attr_clr = unix.MOUNT_ATTR_NOEXEC // an installed version lies on a disk where nothing else runs
	}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &attributes); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("restrict what it may do with %s: %w", m.From, err)
	}
	return fd, nil
}

// attributes say what a mount forbids. Nothing that can be written to can be
// executed.
func (k Kind) attributes() uint64 {
	switch k {
	case Write:
		return unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC
	case Device:
		return unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NOEXEC
	}
	return unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV
}

// root makes the small root and leaves the large one.
func (e *enclosure) root(o Orders) error {
	trees := make([]int, len(o.Mounts))
	for i, m := range o.Mounts {
		if m.Tree >= 0 {
			trees[i] = e.files[m.Tree]
			continue
		}
		var err error
		if trees[i], err = OpenTree(m); err != nil {
			return err
		}
	}
	if !e.left {
		if err := enterNewRoot(); err != nil {
			return err
		}
	}
	if err := e.furnish(); err != nil {
		return err
	}
	for _, l := range o.Links {
		if err := makeFolders(path.Dir(l.At)); err != nil {
			return err
		}
		if err := unix.Symlink(l.To, l.At); err != nil {
			return fmt.Errorf("link %s: %w", l.At, err)
		}
	}
	for i, m := range o.Mounts {
		if err := attach(trees[i], m.At, m.Folder); err != nil {
			return err
		}
	}
	readOnly := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(unix.AT_FDCWD, "/", 0, &readOnly); err != nil {
		return fmt.Errorf("make its root read-only: %w", err)
	}
	return nil
}

// enterNewRoot makes an empty root the only one. Whoever the service's user will
// be can furnish it, and it is read-only afterwards. /proc only serves as a place
// to hang it up: every system has it.
func enterNewRoot() error {
	root, err := newMount("tmpfs", unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV,
		map[string]string{"size": rootSize, "nr_inodes": rootInodes, "mode": "0777"})
	if err != nil {
		return err
	}
	defer unix.Close(root)
	if err := unix.MoveMount(root, "", unix.AT_FDCWD, "/proc", unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("mount its root: %w", err)
	}
	if err := unix.Fchdir(root); err != nil {
		return fmt.Errorf("enter its root: %w", err)
	}
	err = unix.PivotRoot(".", ".") // the old root now lies over the new one
	if err == nil {
		err = unix.Unmount(".", unix.MNT_DETACH)
	} else if errors.Is(err, unix.EINVAL) {
		err = moveRoot()
	}
	if err == nil {
		err = unix.Chdir("/")
	}
	if err != nil {
		return fmt.Errorf("leave the machine's root: %w", err)
	}
	return nil
}

// moveRoot lays the new root over the old one. That is all there is where the
// machine's root is its initramfs, which nobody can leave (pivot_root(2)).
// Nothing leads to what lies below: no path, no open file, and no right to
// unmount.
func moveRoot() error {
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return err
	}
	return unix.Chroot(".")
}

// furnish adds what every service has.
func (e *enclosure) furnish() error {
	if err := attach(e.proc, "/proc", true); err != nil {
		return err
	}
	tmp, err := newMount("tmpfs", unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC,
		map[string]string{"size": tmpSize, "nr_inodes": tmpInodes, "mode": "0700"})
	if err != nil {
		return err
	}
	if err := attach(tmp, "/tmp", true); err != nil {
		return err
	}
	if err := makeFolders("/dev"); err != nil {
		return err
	}
	for at, to := range map[string]string{"/dev/fd": "/proc/self/fd", "/dev/stdin": "fd/0", "/dev/stdout": "fd/1", "/dev/stderr": "fd/2"} {
		if err := unix.Symlink(to, at); err != nil {
			return fmt.Errorf("link %s: %w", at, err)
		}
	}
	for i, device := range Devices {
		if err := attach(e.devices[i], device, false); err != nil {
			return err
		}
	}
	return nil
}

// attach mounts a tree at a path, which it makes if it is not there.
func attach(tree int, at string, folder bool) error {
	if err := makePlace(at, folder); err != nil {
		return err
	}
	if err := unix.MoveMount(tree, "", unix.AT_FDCWD, at, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("mount %s: %w", at, err)
	}
	unix.Close(tree)
	return nil
}

func makePlace(at string, folder bool) error {
	if folder {
		return makeFolders(at)
	}
	if err := makeFolders(path.Dir(at)); err != nil {
		return err
	}
	fd, err := unix.Open(at, unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o444)
	if err == nil {
		return unix.Close(fd)
	}
	if there(at) {
		return nil
	}
	return fmt.Errorf("make the place for %s: %w", at, err)
}

// makeFolders makes a folder and those above it. Folders of the root are open
// to all: they hold nothing but what is mounted on them.
func makeFolders(at string) error {
	if at == "/" || there(at) {
		return nil
	}
	if err := makeFolders(path.Dir(at)); err != nil {
		return err
	}
	if err := unix.Mkdir(at, 0o755); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("make the folder %s: %w", at, err)
	}
	return nil
}

func there(at string) bool {
	var s unix.Stat_t
	return unix.Lstat(at, &s) == nil
}
