package seccomp

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// Describe names the rule by which a call was refused, and the argument that a
// person wants to see, if there is one. It only looks at the numbers that the
// kernel passed on: memory of the service may change while it is read.
func Describe(number int32, args [6]uint64) (rule, detail string) {
	name := Name(number)
	rule = "seccomp/" + name
	switch name {
	case "socket", "socketpair":
		return rule, family(uint32(args[0]))
	case "clone", "unshare":
		return rule, namespaces(args[0])
	case "setns":
		return rule, namespaces(args[1])
	case "mmap", "mprotect":
		return rule, protection(args[2])
	case "ioctl":
		return rule, named(ioctls, uint32(args[1]), "0x%x")
	case "prctl":
		return rule, named(prctls, uint32(args[0]), "option %d")
	case "prlimit64":
		return rule, named(limits, uint32(args[1]), "resource %d")
	case "setrlimit":
		return rule, named(limits, uint32(args[0]), "resource %d")
	case "personality":
		return rule, fmt.Sprintf("0x%x", uint32(args[0]))
	case "ptrace":
		return rule, fmt.Sprintf("request %d of process %d", uint32(args[0]), int32(args[1]))
	}
	return rule, ""
}

// families are the address families of sockets by number (linux/socket.h).
var families = strings.Fields(`AF_UNSPEC AF_UNIX AF_INET AF_AX25 AF_IPX AF_APPLETALK AF_NETROM AF_BRIDGE
	AF_ATMPVC AF_X25 AF_INET6 AF_ROSE AF_DECnet AF_NETBEUI AF_SECURITY AF_KEY AF_NETLINK AF_PACKET AF_ASH
	AF_ECONET AF_ATMSVC AF_RDS AF_SNA AF_IRDA AF_PPPOX AF_WANPIPE AF_LLC AF_IB AF_MPLS AF_CAN AF_TIPC
	AF_BLUETOOTH AF_IUCV AF_RXRPC AF_ISDN AF_PHONET AF_IEEE802154 AF_CAIF AF_ALG AF_NFC AF_VSOCK AF_KCM
	AF_QIPCRTR AF_SMC AF_XDP AF_MCTP`)

func family(number uint32) string {
	if int64(number) < int64(len(families)) {
		return families[number]
	}
	return fmt.Sprintf("AF %d", number)
}

func namespaces(flags uint64) string {
	var names []string
	for _, f := range []struct {
		flag uint64
		name string
	}{
		{unix.CLONE_NEWUSER, "CLONE_NEWUSER"},
		{unix.CLONE_NEWNS, "CLONE_NEWNS"},
		{unix.CLONE_NEWPID, "CLONE_NEWPID"},
		{unix.CLONE_NEWNET, "CLONE_NEWNET"},
		{unix.CLONE_NEWIPC, "CLONE_NEWIPC"},
		{unix.CLONE_NEWUTS, "CLONE_NEWUTS"},
		{unix.CLONE_NEWCGROUP, "CLONE_NEWCGROUP"},
		{unix.CLONE_NEWTIME, "CLONE_NEWTIME"},
	} {
		if flags&f.flag != 0 {
			names = append(names, f.name)
		}
	}
	return strings.Join(names, "|")
}

func protection(bits uint64) string {
	if bits&unix.PROT_EXEC == 0 {
		return ""
	}
	if bits&unix.PROT_WRITE != 0 {
		return "PROT_WRITE|PROT_EXEC"
	}
	return "PROT_EXEC"
}

// named is the name of a number, or the number in a format of its own.
func named(names map[uint32]string, number uint32, otherwise string) string {
	if name, known := names[number]; known {
		return name
	}
	return fmt.Sprintf(otherwise, number)
}

var ioctls = map[uint32]string{
	unix.TIOCSTI: "TIOCSTI", unix.TIOCLINUX: "TIOCLINUX", unix.TIOCSCTTY: "TIOCSCTTY", unix.TIOCCONS: "TIOCCONS",
	unix.TCSETS: "TCSETS", unix.TIOCSETD: "TIOCSETD", unix.SIOCGIFCONF: "SIOCGIFCONF", unix.SIOCSIFFLAGS: "SIOCSIFFLAGS",
	unix.FS_IOC_SETFLAGS: "FS_IOC_SETFLAGS", unix.FICLONE: "FICLONE", unix.TUNSETIFF: "TUNSETIFF",
}

var prctls = map[uint32]string{
	unix.PR_SET_SECCOMP: "PR_SET_SECCOMP", unix.PR_CAPBSET_DROP: "PR_CAPBSET_DROP", unix.PR_CAP_AMBIENT: "PR_CAP_AMBIENT",
	unix.PR_SET_SECUREBITS: "PR_SET_SECUREBITS", unix.PR_SET_KEEPCAPS: "PR_SET_KEEPCAPS", unix.PR_SET_PTRACER: "PR_SET_PTRACER",
	unix.PR_SET_MM: "PR_SET_MM", unix.PR_SET_CHILD_SUBREAPER: "PR_SET_CHILD_SUBREAPER", unix.PR_SET_TSC: "PR_SET_TSC",
}

var limits = map[uint32]string{
	unix.RLIMIT_AS: "RLIMIT_AS", unix.RLIMIT_CORE: "RLIMIT_CORE", unix.RLIMIT_CPU: "RLIMIT_CPU", unix.RLIMIT_DATA: "RLIMIT_DATA",
	unix.RLIMIT_FSIZE: "RLIMIT_FSIZE", unix.RLIMIT_MEMLOCK: "RLIMIT_MEMLOCK", unix.RLIMIT_NOFILE: "RLIMIT_NOFILE",
	unix.RLIMIT_NPROC: "RLIMIT_NPROC", unix.RLIMIT_STACK: "RLIMIT_STACK", unix.RLIMIT_RTPRIO: "RLIMIT_RTPRIO", unix.RLIMIT_NICE: "RLIMIT_NICE",
}
