package hostile

import "golang.org/x/sys/unix"

// ofThisMachine are calls that only this architecture has.
func ofThisMachine() []Attempt {
	return []Attempt{
		call("iopl", unix.SYS_IOPL, 3),
		call("ioperm", unix.SYS_IOPERM, 0x80, 1, 1),
		call("modify_ldt", unix.SYS_MODIFY_LDT, 0, 0, 0),
		call("mknod", unix.SYS_MKNOD, path("/tmp/hostile-node"), unix.S_IFCHR|0o600, 1<<8|1),
	}
}
