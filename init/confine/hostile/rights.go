package hostile

import (
	"os"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// namespaces tries to get into others.
func namespaces() []Attempt {
	var list []Attempt
	for _, n := range []struct {
		name string
		flag uintptr
	}{
		{"user", unix.CLONE_NEWUSER},
		{"mount", unix.CLONE_NEWNS},
		{"process", unix.CLONE_NEWPID},
		{"network", unix.CLONE_NEWNET},
		{"IPC", unix.CLONE_NEWIPC},
		{"host name", unix.CLONE_NEWUTS},
		{"cgroup", unix.CLONE_NEWCGROUP},
		{"time", unix.CLONE_NEWTIME},
	} {
		list = append(list,
			named("leave for a new "+n.name+" namespace", "unshare", unix.SYS_UNSHARE, n.flag),
			named("enter another "+n.name+" namespace", "setns", unix.SYS_SETNS, 0, n.flag))
		if n.flag != unix.CLONE_NEWTIME { // which clone can't make
			// The flag for a thread makes the kernel refuse the form, if it gets to look.
			list = append(list, named("make a child in a new "+n.name+" namespace", "clone", unix.SYS_CLONE, n.flag|unix.CLONE_THREAD))
		}
	}
	return append(list, Attempt{"make a child by the call that hides its flags", "clone3", func() error {
		_, _, errno := unix.Syscall(unix.SYS_CLONE3, 0, 0, 0)
		return only(errno, unix.ENOSYS)
	}})
}

// privileges tries to become more than it is.
func privileges() []Attempt {
	header := &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	all := &[2]unix.CapUserData{{Effective: ^uint32(0), Permitted: ^uint32(0), Inheritable: ^uint32(0)}}
	limit := &unix.Rlimit{Cur: 1 << 20, Max: 1 << 20}
	kept = append(kept, header, all, limit)
	more := uintptr(unsafe.Pointer(limit))
	return []Attempt{
		call("setuid", unix.SYS_SETUID, 0),
		call("setgid", unix.SYS_SETGID, 0),
		call("setreuid", unix.SYS_SETREUID, 0, 0),
		call("setregid", unix.SYS_SETREGID, 0, 0),
		call("setresuid", unix.SYS_SETRESUID, 0, 0, 0),
		call("setresgid", unix.SYS_SETRESGID, 0, 0, 0),
		call("setfsuid", unix.SYS_SETFSUID, 0),
		call("setgroups", unix.SYS_SETGROUPS, 0, 0),
		call("capset", unix.SYS_CAPSET, uintptr(unsafe.Pointer(header)), uintptr(unsafe.Pointer(all))),
		named("raise its limit of open files", "prlimit64", unix.SYS_PRLIMIT64, 0, unix.RLIMIT_NOFILE, more, 0),
		named("raise its limit of processes", "prlimit64", unix.SYS_PRLIMIT64, 0, unix.RLIMIT_NPROC, more, 0),
		named("raise its limit of memory images", "setrlimit", unix.SYS_SETRLIMIT, unix.RLIMIT_CORE, more),
		named("become real-time", "sched_setscheduler", unix.SYS_SCHED_SETSCHEDULER, 0, unix.SCHED_FIFO, more),
		{"go before others", "seccomp/setpriority", func() error {
			return unix.Setpriority(unix.PRIO_PROCESS, 0, -20)
		}},
	}
}

// processes tries to reach and to crowd out others.
func processes() []Attempt {
	return []Attempt{
		{"signal everybody", RuleProcesses, func() error { return unix.Kill(-1, 0) }},
		{"signal anybody by number", RuleProcesses, signalAnybody},
		{"open others' memory", RuleProcesses, openMemory},
		{"see others' processes", RuleProcesses, func() error {
			if len(strangers()) > 0 {
				return nil
			}
			return errNobody
		}},
		{"make processes without end", RuleLimit, fork},
	}
}

// mostProcesses is more than any service may have.
const mostProcesses = 8192

func signalAnybody() error {
	for pid := 1; pid < mostProcesses; pid++ {
		if pid != os.Getpid() && pid != os.Getppid() && !thread(pid) && unix.Kill(pid, 0) == nil {
			return nil
		}
	}
	return errNobody
}

// thread says whether a number is one of this process's threads, which kill
// also finds.
func thread(pid int) bool {
	_, err := os.Stat("/proc/self/task/" + strconv.Itoa(pid))
	return err == nil
}

// strangers are the processes in /proc that are not this one.
func strangers() []int {
	entries, _ := os.ReadDir("/proc")
	var pids []int
	for _, entry := range entries {
		if pid, err := strconv.Atoi(entry.Name()); err == nil && pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids
}

func openMemory() error {
	err := error(errNobody)
	for _, pid := range append(strangers(), os.Getppid()) {
		var f *os.File
		if f, err = os.OpenFile("/proc/"+strconv.Itoa(pid)+"/mem", os.O_RDWR, 0); err == nil {
			f.Close()
			return nil
		}
	}
	return err
}

// fork makes children until it is refused one. They are killed again.
func fork() error {
	var children []*os.Process
	defer func() {
		for _, child := range children {
			_ = child.Kill()
		}
		for _, child := range children {
			_, _ = child.Wait()
		}
	}()
	for range mostProcesses {
		child, err := os.StartProcess(os.Args[0], []string{os.Args[0], Nothing}, &os.ProcAttr{})
		if err != nil {
			return err
		}
		children = append(children, child)
	}
	return nil
}

// FillMemory takes memory and uses it until the kernel ends the process, or it
// has as much as is said: then it returns, which is a breach.
func FillMemory(most uint64) {
	const piece = 16 << 20
	var all [][]byte
	for taken := uint64(0); taken < most; taken += piece {
		block := make([]byte, piece)
		for i := 0; i < len(block); i += 4096 {
			block[i] = 1
		}
		all = append(all, block)
	}
	kept = append(kept, all)
}

// Wait does Nothing.
func Wait() {
	for {
		time.Sleep(time.Hour)
	}
}
