package enclosure

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// LandlockVersion is the version of Landlock's interface that the kernel has, 0
// for none.
func LandlockVersion() int {
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0
	}
	return int(version)
}

// What is allowed of a folder's files and of a single file, by kind. Making
// device nodes is never allowed.
const (
	readFile   = unix.LANDLOCK_ACCESS_FS_READ_FILE
	readAccess = readFile | unix.LANDLOCK_ACCESS_FS_READ_DIR

	writeFile   = readFile | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE
	writeAccess = writeFile | readAccess | unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE |
		unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_MAKE_SOCK |
		unix.LANDLOCK_ACCESS_FS_MAKE_FIFO | unix.LANDLOCK_ACCESS_FS_MAKE_SYM | unix.LANDLOCK_ACCESS_FS_REFER

	deviceAccess = writeFile | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
)

// handled are the rights that Landlock of a version governs: what is not
// allowed of them is forbidden.
func handled(version int) unix.LandlockRulesetAttr {
	a := unix.LandlockRulesetAttr{Handled_access_fs: unix.LANDLOCK_ACCESS_FS_MAKE_SYM<<1 - 1}
	if version >= 2 {
		a.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_REFER
	}
	if version >= 3 {
		a.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	if version >= 4 {
		a.Handled_access_net = unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
	}
	if version >= 5 {
		a.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	if version >= 6 {
		a.Scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL
	}
	return a
}

// allowed is what a mount of the kind allows.
func (k Kind) allowed(folder bool) uint64 {
	switch {
	case k == Device:
		return deviceAccess
	case k == Write && folder:
		return writeAccess
	case k == Write:
		return writeFile
	case folder:
		return readAccess | unix.LANDLOCK_ACCESS_FS_EXECUTE
	}
	return readFile | unix.LANDLOCK_ACCESS_FS_EXECUTE
}

// landlock forbids this thread all files but those of its orders, and all
// connections and signals to others.
func landlock(o Orders) error {
	attributes := handled(LandlockVersion())
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attributes)), unsafe.Sizeof(attributes), 0)
	if errno != 0 {
		return fmt.Errorf("make Landlock's rules: %w", errno)
	}
	ruleset := int(fd)
	defer unix.Close(ruleset)
	if err := allow(ruleset, "/proc", readAccess&attributes.Handled_access_fs); err != nil {
		return err
	}
	if o.Namespaces {
		if err := allow(ruleset, "/tmp", writeAccess&attributes.Handled_access_fs); err != nil {
			return err
		}
	}
	for _, device := range Devices {
		if err := allow(ruleset, device, deviceAccess&attributes.Handled_access_fs); err != nil {
			return err
		}
	}
	for _, m := range o.Mounts {
		at := m.At
		if !o.Namespaces {
			at = m.From
		}
		if err := allow(ruleset, at, m.Kind.allowed(m.Folder)&attributes.Handled_access_fs); err != nil {
			return err
		}
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_LANDLOCK_RESTRICT_SELF, uintptr(ruleset), 0, 0); errno != 0 {
		return fmt.Errorf("apply Landlock's rules: %w", errno)
	}
	return nil
}

func allow(ruleset int, path string, access uint64) error {
	at, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("allow it %s: %w", path, err)
	}
	defer unix.Close(at)
	// The kernel's struct is packed: 12 bytes.
	rule := unix.LandlockPathBeneathAttr{Allowed_access: access, Parent_fd: int32(at)}
	_, _, errno := unix.RawSyscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(ruleset), unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&rule)), 0, 0, 0)
	if errno != 0 {
		return fmt.Errorf("allow it %s: %w", path, errno)
	}
	return nil
}
