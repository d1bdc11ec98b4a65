// Package hostile is what a service would do that wants out: a list of attempts
// that must all fail. Tests run it inside a confined process, on a host and in
// the image. It owns no way in: each attempt is made so that it does no harm
// where it does succeed. It must never be linked into a program of the image.
package hostile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Attempt is something that a service may not do.
type Attempt struct {
	Name string // what is tried
	// Rule is what refuses it: seccomp/CALL, of which gilgul is told by that name,
	// or one of the rules below, of which nobody is told.
	Rule string
	Do   func() error // how it was refused; nil means that it succeeded, which is a breach
}

// The rules that are no system-call filter.
const (
	RuleRoot      = "root"          // the file is not there, or can't be written to
	RuleProcesses = "namespace/pid" // the process is not there
	RuleExecute   = "mount/noexec"  // nothing it can write to can be executed
	RuleLimit     = "limits/pids"   // it has as many processes as it may have
	RuleUser      = "user"          // it is not the owner
)

// OthersVariable names a variable of the environment with paths that must be
// out of reach, separated by colons: other services' data, sockets.
const OthersVariable = "HOSTILE_OTHERS"

// Attempts lists everything that is tried, in an order that disturbs nothing.
func Attempts() []Attempt {
	return slices.Concat(sockets(), files(), devices(), others(), calls(), namespaces(), privileges(), processes())
}

// Run tries everything and writes a line for each: "refused NAME: ERROR" or
// "BREACH NAME (RULE)". It returns how many succeeded.
func Run(w io.Writer) (breaches int) {
	for _, a := range Attempts() {
		if err := a.Do(); err != nil {
			fmt.Fprintf(w, "refused %s: %v\n", a.Name, err)
			continue
		}
		breaches++
		fmt.Fprintf(w, "BREACH %s (%s)\n", a.Name, a.Rule)
	}
	return breaches
}

// call is an attempt at a system call that the filter refuses. Another error
// than the filter's means that the kernel itself was reached.
func call(name string, number uintptr, args ...uintptr) Attempt {
	return named(name, name, number, args...)
}

// named is call under a name that says more.
func named(name, rule string, number uintptr, args ...uintptr) Attempt {
	return Attempt{name, "seccomp/" + rule, func() error {
		var all [6]uintptr
		copy(all[:], args)
		_, _, errno := unix.Syscall6(number, all[0], all[1], all[2], all[3], all[4], all[5])
		return only(errno, unix.EPERM, unix.ENOSYS)
	}}
}

// only returns an error if it is one of those that count as a refusal.
func only(errno syscall.Errno, refusals ...syscall.Errno) error {
	if slices.Contains(refusals, errno) {
		return errno
	}
	return nil
}

// sockets tries each family in each type: any would do to reach somebody.
func sockets() []Attempt {
	var list []Attempt
	for family := range 46 {
		list = append(list, Attempt{fmt.Sprintf("open a socket of family %d", family), "seccomp/socket", func() error {
			var refused error
			for _, kind := range []int{unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_RAW, unix.SOCK_SEQPACKET} {
				fd, err := unix.Socket(family, kind, 0)
				if err == nil {
					unix.Close(fd)
					return nil
				}
				if errno, _ := err.(syscall.Errno); only(errno, unix.EPERM, unix.ENOSYS) == nil {
					return nil
				}
				refused = err
			}
			return refused
		}})
	}
	return append(list, Attempt{"make a pair of sockets", "seccomp/socketpair", func() error {
		_, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		return err
	}})
}

// opening tries to open a file.
func opening(path string, flags int) Attempt {
	what := "read "
	if flags&unix.O_ACCMODE != unix.O_RDONLY {
		what = "write "
	}
	return Attempt{what + path, RuleRoot, func() error {
		fd, err := unix.Open(path, flags|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0o600)
		if err == nil {
			unix.Close(fd)
		}
		return err
	}}
}

func files() []Attempt {
	list := []Attempt{
		opening("/", unix.O_RDONLY|unix.O_DIRECTORY),
		opening("/etc/shadow", unix.O_RDONLY),
		opening("/etc/passwd", unix.O_WRONLY),
		opening("/root", unix.O_RDONLY),
		opening("/data", unix.O_RDONLY|unix.O_DIRECTORY),
		opening("/run/gilgul", unix.O_RDONLY|unix.O_DIRECTORY),
		opening("/sys/power/state", unix.O_WRONLY),
		opening("/sys/kernel/mm/transparent_hugepage/enabled", unix.O_WRONLY),
		opening("/sys/fs/cgroup/cgroup.procs", unix.O_WRONLY),
		opening("/sys/fs/cgroup/cgroup.subtree_control", unix.O_WRONLY),
		opening("/proc/sys/kernel/hostname", unix.O_WRONLY),
		opening("/proc/sys/kernel/core_pattern", unix.O_WRONLY),
		opening("/proc/sys/vm/overcommit_memory", unix.O_WRONLY),
		opening("/proc/sys/net/ipv4/ip_forward", unix.O_WRONLY),
		opening("/proc/sysrq-trigger", unix.O_WRONLY),
		opening("/proc/kcore", unix.O_RDONLY),
		opening("/proc/self/uid_map", unix.O_WRONLY),
		opening("/proc/self/oom_score_adj", unix.O_WRONLY),
		opening("/new", unix.O_WRONLY|unix.O_CREAT),
		opening("/proc/self/exe", unix.O_WRONLY),
	}
	return append(list,
		Attempt{"remove its own program", RuleRoot, func() error { return unix.Unlink(os.Args[0]) }},
		Attempt{"run what it wrote itself", RuleExecute, runOwn},
		Attempt{"give a file to root", RuleUser, func() error {
			const path = "/tmp/hostile-gift"
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				return err
			}
			defer os.Remove(path)
			return unix.Chown(path, 0, 0)
		}},
	)
}

// runOwn writes a script and runs it.
func runOwn() error {
	const path = "/tmp/hostile-script"
	if err := os.WriteFile(path, []byte("#!"+os.Args[0]+" nothing\n"), 0o700); err != nil {
		return err
	}
	defer os.Remove(path)
	p, err := os.StartProcess(path, []string{path, Nothing}, &os.ProcAttr{})
	if err != nil {
		return err
	}
	_ = p.Kill()
	_, _ = p.Wait()
	return nil
}

func devices() []Attempt {
	var list []Attempt
	for _, path := range []string{
		"/dev/mem", "/dev/kmsg", "/dev/kvm", "/dev/console", "/dev/tty", "/dev/tty0", "/dev/ptmx", "/dev/vda", "/dev/sda",
		"/dev/loop0", "/dev/loop-control", "/dev/fuse", "/dev/watchdog", "/dev/net/tun", "/dev/vsock", "/dev/input/event0", "/dev/port",
	} {
		list = append(list, opening(path, unix.O_RDWR))
	}
	return list
}

// others tries what OthersVariable names.
func others() []Attempt {
	var list []Attempt
	for path := range strings.SplitSeq(os.Getenv(OthersVariable), ":") {
		if path != "" {
			list = append(list, opening(path, unix.O_RDONLY), opening(path+"/stolen", unix.O_WRONLY|unix.O_CREAT))
		}
	}
	return list
}

// Nothing, as first argument, asks a hostile program to wait until it is
// killed: it is a child that only takes up room.
const Nothing = "nothing"

// errNobody says that there is nobody to do something to.
var errNobody = errors.New("there is nobody else")
