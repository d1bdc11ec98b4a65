package boot

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Mount is one file system to mount. The sources are the kernel's own; none
// of them is a disk.
type Mount struct {
	Target  string
	Type    string
	Flags   uintptr
	Options string
	Vital   bool // without it there is no console
	IfThere bool // mount only where the kernel offers the folder
}

const safe = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

// Mounts lists what is mounted, in order. The tmpfs are bounded in bytes and
// in inodes (both relative to memory or small), so that no program can take
// all memory by filling them.
func Mounts() []Mount {
	return []Mount{
		{Target: "/proc", Type: "proc", Flags: safe},
		{Target: "/sys", Type: "sysfs", Flags: safe},
		{Target: "/dev", Type: "devtmpfs", Flags: unix.MS_NOSUID, Options: "mode=0755,size=1m,nr_inodes=8192", Vital: true},
		{Target: "/dev/pts", Type: "devpts", Flags: unix.MS_NOSUID | unix.MS_NOEXEC, Options: "mode=0620,gid=0,ptmxmode=0666"},
		{Target: "/run", Type: "tmpfs", Flags: safe, Options: "mode=0755,size=20%,nr_inodes=16384"},
		{Target: "/tmp", Type: "tmpfs", Flags: safe, Options: "mode=1777,size=20%,nr_inodes=16384"},
		{Target: "/sys/fs/cgroup", Type: "cgroup2", Flags: safe, Options: "nsdelegate"},
		{Target: "/sys/kernel/security", Type: "securityfs", Flags: safe, IfThere: true},
	}
}

func (m Mount) mount(root string) error {
	target := root + m.Target
	if m.IfThere {
		if _, err := os.Stat(target); errors.Is(err, os.ErrNotExist) {
			return nil
		}
	}
	if err := os.MkdirAll(target, 0o755); err != nil {
		return fmt.Errorf("make the mount point: %w", err)
	}
	if mounted(target, m.Type) {
		return nil
	}
	err := unix.Mount(m.Type, target, m.Type, m.Flags, m.Options)
	if errors.Is(err, unix.EINVAL) && m.Options != "" {
		// An option this kernel doesn't know must not cost the file system.
		err = unix.Mount(m.Type, target, m.Type, m.Flags, "")
	}
	if errors.Is(err, unix.EBUSY) {
		return nil // the kernel mounted it itself
	}
	if err != nil {
		return fmt.Errorf("mount %s: %w", m.Type, err)
	}
	return nil
}

// magics are the numbers statfs gives for a mounted file system, for the types
// where that says enough (linux/magic.h). A tmpfs looks like the root file
// system, so for it nothing is assumed.
var magics = map[string]int64{
	"proc":       unix.PROC_SUPER_MAGIC,
	"sysfs":      unix.SYSFS_MAGIC,
	"devpts":     unix.DEVPTS_SUPER_MAGIC,
	"cgroup2":    unix.CGROUP2_SUPER_MAGIC,
	"securityfs": unix.SECURITYFS_MAGIC,
}

func mounted(target, kind string) bool {
	magic, known := magics[kind]
	var s unix.Statfs_t
	return known && unix.Statfs(target, &s) == nil && s.Type == magic
}

// SealRoot makes the root file system read-only. It is the last step of a
// boot: every mount point has to be there before it.
func SealRoot() error {
	if err := os.MkdirAll("/data", 0o755); err != nil {
		return fmt.Errorf("make the mount point /data: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("make the root file system read-only: %w", err)
	}
	return nil
}
