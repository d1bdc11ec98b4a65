package supervise

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// reapAll waits for all children that have ended and belong here. It says true
// if it stopped at one that belongs to another, behind whom there may be more.
func (r *Reaper) reapAll() (blocked bool) {
	if !r.orphans {
		r.reapOwn()
		return false
	}
	for {
		switch r.reapFirst() {
		case reapedOne:
		case reapedNone:
			return false
		case reapedOther:
			r.reapOwn() // these are known by name, so nobody stands before them
			return true
		}
	}
}

func (r *Reaper) reapOwn() {
	r.mu.Lock()
	pids := make([]int, 0, len(r.waiting))
	for pid := range r.waiting {
		pids = append(pids, pid)
	}
	r.mu.Unlock()
	for _, pid := range pids {
		r.reap(pid)
	}
}

type reaped int

const (
	reapedNone reaped = iota
	reapedOne
	reapedOther
)

// reapFirst looks which child has ended first and waits for it unless it
// belongs to another.
func (r *Reaper) reapFirst() reaped {
	r.mu.Lock()
	defer r.mu.Unlock()
	pid := ended()
	switch {
	case pid == 0:
		return reapedNone
	case r.belongsToOther(pid):
		return reapedOther
	}
	r.wait(pid)
	return reapedOne
}

// belongsToOther says whether somebody else waits for a child; mu is held.
func (r *Reaper) belongsToOther(pid int) bool {
	if _, ours := r.waiting[pid]; ours {
		return false
	}
	return slices.ContainsFunc(r.owners, func(owns func(int) bool) bool { return owns(pid) })
}

// reap waits for one child if it has ended.
func (r *Reaper) reap(pid int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wait(pid)
}

// wait takes the status of a child that has ended, if it has; mu is held.
func (r *Reaper) wait(pid int) {
	var status unix.WaitStatus
	got, err := unix.Wait4(pid, &status, unix.WNOHANG, nil)
	for errors.Is(err, unix.EINTR) {
		got, err = unix.Wait4(pid, &status, unix.WNOHANG, nil)
	}
	if err != nil || got != pid {
		return
	}
	exit, ours := r.waiting[pid]
	if !ours {
		r.reaped++
		return
	}
	delete(r.waiting, pid)
	exit <- syscall.WaitStatus(status)
}

// childInfo is the kernel's siginfo_t as waitid fills it; the union in it is
// aligned as a pointer is.
type childInfo struct {
	signo, errno, code int32
	child              struct {
		_   [0]uintptr
		pid int32
	}
	_ [128]byte // it is 128 bytes in all; more does no harm
}

// ended returns a child that has ended and was not waited for, 0 if there is
// none, without waiting for it.
func ended() int {
	for {
		var info childInfo
		_, _, errno := unix.Syscall6(unix.SYS_WAITID, unix.P_ALL, 0, uintptr(unsafe.Pointer(&info)),
			unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, 0, 0)
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			return 0
		}
		return int(info.child.pid)
	}
}

// reapBehind waits for the orphans that stand behind a child whose owner does
// not wait. It has to look for them in /proc and is only the last resort.
func (r *Reaper) reapBehind() {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return
	}
	self := os.Getpid()
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + entry.Name() + "/stat")
		if err != nil || !isDeadChild(string(stat), self) {
			continue
		}
		r.reapUnlessOther(pid)
	}
}

func (r *Reaper) reapUnlessOther(pid int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.belongsToOther(pid) {
		r.wait(pid)
	}
}

// isDeadChild reads /proc/PID/stat: "PID (NAME) STATE PPID ...", in which the
// name may hold anything.
func isDeadChild(stat string, parent int) bool {
	_, after, found := cutLast(stat, ") ")
	fields := strings.Fields(after)
	return found && len(fields) >= 2 && fields[0] == "Z" && fields[1] == strconv.Itoa(parent)
}

func cutLast(text, separator string) (before, after string, found bool) {
	if i := strings.LastIndex(text, separator); i >= 0 {
		return text[:i], text[i+len(separator):], true
	}
	return text, "", false
}
