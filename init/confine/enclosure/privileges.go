package enclosure

import (
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// identify makes the thread the service's user. The calls are the kernel's
// own, which concern this thread alone; Go's would change all of them. The
// capabilities stay, for what is left to set up.
func identify(o Orders) error {
	if o.Groups {
		if _, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, 0, 0, 0); errno != 0 {
			return fmt.Errorf("leave all other groups: %w", errno)
		}
	}
	gid, uid := uintptr(o.GID), uintptr(o.UID)
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESGID, gid, gid, gid); errno != 0 {
		return fmt.Errorf("become group %d: %w", o.GID, errno)
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uid, uid, uid); errno != 0 {
		return fmt.Errorf("become user %d: %w", o.UID, errno)
	}
	return nil
}

// limit sets the limits that belong to a process. Memory images (core files)
// are never written: they would hold a person's words.
func limit(o Orders) error {
	files := o.Files
	if files == 0 {
		var own syscall.Rlimit
		if err := syscall.Getrlimit(unix.RLIMIT_NOFILE, &own); err != nil {
			return fmt.Errorf("read its limit of open files: %w", err)
		}
		files = own.Cur
	}
	limits := []struct {
		what     string
		resource int
		value    uint64
		set      bool
	}{
		{"open files", unix.RLIMIT_NOFILE, files, true},
		{"processes", unix.RLIMIT_NPROC, o.Processes, o.Processes > 0},
		{"memory images", unix.RLIMIT_CORE, 0, true},
		{"real-time priority", unix.RLIMIT_RTPRIO, 0, true},
		{"message queues", unix.RLIMIT_MSGQUEUE, 0, true},
	}
	for _, l := range limits {
		if !l.set {
			continue
		}
		// The call of package syscall also keeps Go from setting the limit of open
		// files back at exec, which the filter would refuse.
		err := syscall.Setrlimit(l.resource, &syscall.Rlimit{Cur: l.value, Max: l.value})
		if errors.Is(err, unix.EPERM) {
			return fmt.Errorf("limit its %s to %d: that is more than gilgul itself may have: %w", l.what, l.value, err)
		}
		if err != nil {
			return fmt.Errorf("limit its %s to %d: %w", l.what, l.value, err)
		}
	}
	return nil
}

// dropCapabilities gives up all capabilities, and with them what this thread
// could do in its own namespaces. owner says that it has some to give up.
func dropCapabilities(owner bool) error {
	if owner {
		for capability := uintptr(0); ; capability++ {
			err := unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0)
			if errors.Is(err, unix.EINVAL) {
				break // past the last one this kernel knows
			}
			if err != nil {
				return fmt.Errorf("drop capability %d from the bounding set: %w", capability, err)
			}
		}
		// User 0, which it can't become, would be nothing special either.
		const noRoot, locked = 1<<0 | 1<<2, 1<<1 | 1<<3 | 1<<5 // SECBIT_... (capabilities(7))
		if err := unix.Prctl(unix.PR_SET_SECUREBITS, noRoot|locked, 0, 0, 0); err != nil {
			return fmt.Errorf("make user 0 nobody special: %w", err)
		}
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("clear the ambient capabilities: %w", err)
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&header, &none[0]); err != nil {
		return fmt.Errorf("drop all capabilities: %w", err)
	}
	return nil
}
