package seccomp

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// The profiles' names, as manifests write them. (Package manifest would bring
// its parser into the small program that installs filters.)
const (
	Service   = "service"
	Inference = "inference"
)

// Profile returns the rules of a profile by name; "" means the one for
// services. The last rule for a call counts.
func Profile(name string) ([]Rule, error) {
	switch name {
	case Service, "":
		return service(), nil
	case Inference:
		return append(service(), inference...), nil
	}
	return nil, fmt.Errorf("no profile %q: there are %s and %s", name, Service, Inference)
}

// service is what a Go program needs, or a small C program such as a shell.
func service() []Rule {
	var rules []Rule
	for _, call := range strings.Fields(always) {
		rules = append(rules, Rule{Call: call})
	}
	return append(rules, conditional...)
}

// always are the calls that every service may make, whatever the arguments.
// What they can reach is bounded otherwise: files by the root and Landlock,
// processes by the pid namespace, amounts by the cgroup and the limits.
const always = `
	read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 lseek
	open openat openat2 creat close close_range dup dup2 dup3 pipe pipe2 fcntl flock
	stat fstat lstat newfstatat statx access faccessat faccessat2 readlink readlinkat
	getdents getdents64 statfs fstatfs getcwd chdir fchdir umask
	fsync fdatasync sync_file_range truncate ftruncate fallocate fadvise64
	copy_file_range sendfile splice tee
	rename renameat renameat2 link linkat symlink symlinkat unlink unlinkat mkdir mkdirat rmdir
	chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat utime utimes utimensat futimesat
	getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr
	inotify_init inotify_init1 inotify_add_watch inotify_rm_watch

	poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2
	eventfd eventfd2 signalfd signalfd4 timerfd_create timerfd_settime timerfd_gettime

	munmap mremap madvise mincore msync brk mlock mlock2 munlock memfd_create

	futex futex_waitv futex_wait futex_wake futex_requeue membarrier rseq
	set_robust_list get_robust_list set_tid_address
	sched_yield sched_getaffinity sched_getparam sched_getscheduler sched_getattr
	sched_get_priority_max sched_get_priority_min sched_rr_get_interval getcpu

	fork vfork execve exit exit_group wait4 waitid kill tkill tgkill pidfd_open pidfd_send_signal
	getpid gettid getppid getpgid getpgrp getsid setpgid setsid
	getuid geteuid getgid getegid getresuid getresgid getgroups capget
	getrlimit getrusage times sysinfo uname getpriority getrandom

	rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigsuspend rt_sigtimedwait
	sigaltstack pause restart_syscall
	clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time alarm
	getitimer setitimer timer_create timer_settime timer_gettime timer_getoverrun timer_delete
`

// HandoverFD is where a process has its socket to gilgul until execve closes
// it. Once filtered it sends the filter's descriptor there. A service could only
// use the number for a socket that it has, and it can make none.
const HandoverFD = 100

// newNamespaces are the flags of clone that make namespaces.
const newNamespaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC |
	unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET

// conditional are the calls of which some forms are allowed.
var conditional = []Rule{
	// Processes and threads, in no new namespaces. The newer call hides its flags
	// from filters; libraries and Go take the old one when there is no newer.
	{Call: "clone", When: []Match{{{Arg: 0, Clear: newNamespaces}}}},
	{Call: "clone3", Never: true, Error: unix.ENOSYS},

	// Memory is writable or executable, never both, and executable only if it is a
	// file's (the file systems that it can write to hold no programs).
	{Call: "mmap", When: []Match{
		{{Arg: 2, Clear: unix.PROT_EXEC}},
		{{Arg: 2, Clear: unix.PROT_WRITE}, {Arg: 3, Clear: unix.MAP_ANONYMOUS}},
	}},
	{Call: "mprotect", When: []Match{{{Arg: 2, Clear: unix.PROT_EXEC}}}},

	// What is asked of descriptors everywhere: how much can be read, does it wait,
	// is it closed at exec, is it a terminal and how large.
	{Call: "ioctl", When: []Match{{{Arg: 1, In: []uint32{
		fionread, fionbio, fioclex, fionclex, unix.TCGETS, unix.TIOCGWINSZ, unix.TIOCGPGRP,
	}}}}},

	{Call: "prctl", When: []Match{{{Arg: 0, In: []uint32{
		unix.PR_SET_NAME, unix.PR_GET_NAME, unix.PR_SET_PDEATHSIG, unix.PR_GET_PDEATHSIG,
		unix.PR_SET_DUMPABLE, unix.PR_GET_DUMPABLE, unix.PR_SET_NO_NEW_PRIVS, unix.PR_GET_NO_NEW_PRIVS,
		unix.PR_CAPBSET_READ, unix.PR_GET_SECCOMP, unix.PR_SET_TIMERSLACK, unix.PR_GET_TIMERSLACK,
		unix.PR_SET_VMA, unix.PR_SET_THP_DISABLE, unix.PR_GET_THP_DISABLE, unix.PR_GET_TID_ADDRESS,
	}}}}},
	// Thread-local storage. Libraries also ask for newer features by it, and do
	// without.
	{Call: "arch_prctl", When: []Match{{{Arg: 0, In: []uint32{archSetGS, archSetFS, archGetFS, archGetGS}}}}, Error: unix.EINVAL},

	{Call: "sendmsg", When: []Match{{{Arg: 0, In: []uint32{HandoverFD}}}}},

	// Limits may be read. Lowering them is nothing a service needs.
	{Call: "prlimit64", When: []Match{{{Arg: 2, Zero: true}}}},
	// The plain personality, and the question which it is.
	{Call: "personality", When: []Match{{{Arg: 0, In: []uint32{0, 0xffffffff}}}}},
}

// Values that golang.org/x/sys/unix lacks (asm-generic/ioctls.h, asm/prctl.h).
const (
	fionread  = 0x541b
	fionclex  = 0x5450
	fioclex   = 0x5451
	fionbio   = 0x5421
	archSetGS = 0x1001
	archSetFS = 0x1002
	archGetFS = 0x1003
	archGetGS = 0x1004

	archGetFeaturesSupported = 0x1021 // ARCH_GET_XCOMP_SUPP
	archGetFeatures          = 0x1022 // ARCH_GET_XCOMP_PERM
	archAskForFeature        = 0x1023 // ARCH_REQ_XCOMP_PERM: AMX, for which a process has to ask
)

// inference adds what llama.cpp and the calls into it need: code that is made
// at run time (entries for callbacks), threads bound to processors, the
// processor's matrix registers, and where memory lies on machines with several
// banks.
var inference = []Rule{
	{Call: "mmap"},
	{Call: "mprotect"},
	{Call: "sched_setaffinity"},
	{Call: "setpriority"},
	{Call: "get_mempolicy"},
	{Call: "arch_prctl", When: []Match{{{Arg: 0, In: []uint32{
		archSetGS, archSetFS, archGetFS, archGetGS, archGetFeaturesSupported, archGetFeatures, archAskForFeature,
	}}}}, Error: unix.EINVAL},
}
