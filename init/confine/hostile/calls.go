package hostile

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// path is a pointer to a path of the kernel's kind.
func path(text string) uintptr {
	p, err := unix.BytePtrFromString(text)
	if err != nil {
		panic(err) // a mistake in this package
	}
	kept = append(kept, p)
	return uintptr(unsafe.Pointer(p))
}

// kept holds what only the kernel is given a pointer to.
var kept []any

// noRandomAddresses is ADDR_NO_RANDOMIZE of linux/personality.h.
const noRandomAddresses = 0x0040000

// here is AT_FDCWD as an argument.
const here = ^uintptr(99)

// calls are the system calls that no service may make, with arguments that
// the kernel would not refuse for their form before it looks at rights, or that
// do nothing.
func calls() []Attempt {
	moment := &unix.Timespec{}
	_ = unix.ClockGettime(unix.CLOCK_REALTIME, moment)
	state := &unix.Timex{}
	kept = append(kept, moment, state)
	clock := uintptr(unsafe.Pointer(state))
	now := uintptr(unsafe.Pointer(moment))
	self := uintptr(os.Getpid())
	list := []Attempt{
		call("ptrace", unix.SYS_PTRACE, unix.PTRACE_TRACEME),
		call("process_vm_readv", unix.SYS_PROCESS_VM_READV, self),
		call("process_vm_writev", unix.SYS_PROCESS_VM_WRITEV, self),
		call("kcmp", unix.SYS_KCMP, self, self, 0),
		call("pidfd_getfd", unix.SYS_PIDFD_GETFD, 0, 0, 0),
		call("process_madvise", unix.SYS_PROCESS_MADVISE, 0),
		call("move_pages", unix.SYS_MOVE_PAGES, self),
		call("migrate_pages", unix.SYS_MIGRATE_PAGES, self),

		call("mount", unix.SYS_MOUNT, path("none"), path("/tmp"), path("tmpfs")),
		call("umount2", unix.SYS_UMOUNT2, path("/tmp"), unix.MNT_DETACH),
		call("pivot_root", unix.SYS_PIVOT_ROOT, path("/tmp"), path("/tmp")),
		call("chroot", unix.SYS_CHROOT, path("/")),
		call("fsopen", unix.SYS_FSOPEN, path("tmpfs"), 0),
		call("fsmount", unix.SYS_FSMOUNT, 0),
		call("fspick", unix.SYS_FSPICK, here, path("/")),
		call("open_tree", unix.SYS_OPEN_TREE, here, path("/"), unix.OPEN_TREE_CLONE),
		call("move_mount", unix.SYS_MOVE_MOUNT, here, path("/tmp"), here, path("/tmp")),
		call("mount_setattr", unix.SYS_MOUNT_SETATTR, here, path("/")),
		call("open_by_handle_at", unix.SYS_OPEN_BY_HANDLE_AT, here),
		call("name_to_handle_at", unix.SYS_NAME_TO_HANDLE_AT, here),
		call("fanotify_init", unix.SYS_FANOTIFY_INIT, 0, 0),
		call("quotactl", unix.SYS_QUOTACTL, 0),
		call("swapon", unix.SYS_SWAPON, path("/nowhere")),
		call("swapoff", unix.SYS_SWAPOFF, path("/nowhere")),
		call("acct", unix.SYS_ACCT, path("/nowhere")),
		call("sync", unix.SYS_SYNC),
		call("mknodat", unix.SYS_MKNODAT, here, path("/tmp/hostile-node"), unix.S_IFCHR|0o600, 1<<8|1),

		call("init_module", unix.SYS_INIT_MODULE, 0, 0, path("")),
		call("finit_module", unix.SYS_FINIT_MODULE, 0, path(""), 0),
		call("delete_module", unix.SYS_DELETE_MODULE, path("nothing"), 0),
		call("kexec_load", unix.SYS_KEXEC_LOAD, 0, 0, 0, 0),
		call("reboot", unix.SYS_REBOOT, unix.LINUX_REBOOT_MAGIC1, unix.LINUX_REBOOT_MAGIC2, unix.LINUX_REBOOT_CMD_CAD_OFF),
		call("syslog", unix.SYS_SYSLOG, 10),
		call("vhangup", unix.SYS_VHANGUP),
		call("sethostname", unix.SYS_SETHOSTNAME, path("a"), 1),
		call("setdomainname", unix.SYS_SETDOMAINNAME, path("a"), 1),
		call("clock_settime", unix.SYS_CLOCK_SETTIME, unix.CLOCK_REALTIME, now),
		call("settimeofday", unix.SYS_SETTIMEOFDAY, now, 0),
		call("adjtimex", unix.SYS_ADJTIMEX, clock),

		call("add_key", unix.SYS_ADD_KEY, path("user"), path("a"), path("a"), 1, ^uintptr(2)),
		call("request_key", unix.SYS_REQUEST_KEY, path("user"), path("a"), 0, 0),
		call("keyctl", unix.SYS_KEYCTL, 0, ^uintptr(2), 0),
		call("bpf", unix.SYS_BPF, 0, 0, 0),
		call("perf_event_open", unix.SYS_PERF_EVENT_OPEN, 0, 0, ^uintptr(0), ^uintptr(0), 0),
		call("io_uring_setup", unix.SYS_IO_URING_SETUP, 1, 0),
		call("io_uring_enter", unix.SYS_IO_URING_ENTER, 0),
		call("io_uring_register", unix.SYS_IO_URING_REGISTER, 0),
		call("io_setup", unix.SYS_IO_SETUP, 1, 0),
		call("userfaultfd", unix.SYS_USERFAULTFD, 0),
		call("memfd_secret", unix.SYS_MEMFD_SECRET, 0),
		call("shmget", unix.SYS_SHMGET, 0, 4096, 0o600),
		call("semget", unix.SYS_SEMGET, 0, 1, 0o600),
		call("msgget", unix.SYS_MSGGET, 0, 0o600),
		call("mq_open", unix.SYS_MQ_OPEN, path("a"), unix.O_RDWR|unix.O_CREAT, 0o600, 0),
		call("landlock_create_ruleset", unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, 1),
		call("seccomp", unix.SYS_SECCOMP, unix.SECCOMP_GET_ACTION_AVAIL, 0, 0),

		named("type into the terminal", "ioctl", unix.SYS_IOCTL, 0, unix.TIOCSTI, path("a")),
		named("paste into the console", "ioctl", unix.SYS_IOCTL, 0, unix.TIOCLINUX, path("\x03")),
		named("take another personality", "personality", unix.SYS_PERSONALITY, noRandomAddresses),
		named("filter its own calls anew", "prctl", unix.SYS_PRCTL, unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, 0),
		named("change what its memory is said to be", "prctl", unix.SYS_PRCTL, unix.PR_SET_MM, 0, 0),
		named("use the kernel's 32-bit table", "number-1073741920", 0x40000060),
	}
	return append(list, ofThisMachine()...)
}
