// Package confine starts a service's process with as little as it needs: a uid
// of its own, no capabilities and no way to gain any, an empty network
// namespace, a cgroup with limits, a clean environment, a private umask. It
// owns how a process is made and the cgroup it lives in. It must never decide
// when to start or stop one, and must never start one with more rights than
// asked because confining it failed: then it starts none.
//
// # One thread makes all processes
//
// What a Linux thread may do is inherited by the processes it makes, so the
// launcher keeps one thread that has given up for good what no service shall
// have (new privileges by exec, the capability bounding set) and has a umask
// of its own. The other threads of gilgul keep what they need. The thread lives
// as long as the launcher, which makes the parent-death signal mean gilgul's
// death.
//
// Without root (user mode) uid, group and network namespace stay what they are.
package confine

import (
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"runa/init/manifest"
)

// Group is the gid of group runa, in which every service runs.
const Group = 100

// umask of every service: what it writes is its own.
const umask = 0o077

// Spec is a process to start.
type Spec struct {
	Exec   string
	Args   []string // without the program's name
	Env    []string // the whole environment, "NAME=value"
	Dir    string   // working folder
	UID    uint32   // ignored without root
	Limits manifest.Limits
	Cgroup *Cgroup  // nil: stay in gilgul's cgroup
	Stdout *os.File // stays the caller's, as the next two
	Stderr *os.File
	Notify *os.File // becomes descriptor NotifyFD
}

// NotifyFD is the descriptor on which a service says READY=1.
const NotifyFD = 3

// Launcher makes processes on a thread of its own.
type Launcher struct {
	requests chan request
	root     bool
	limits   bool // may set limits of the processes it makes
}

type request struct {
	spec  Spec
	reply chan<- reply
}

type reply struct {
	pid int
	err error
}

// NewLauncher prepares the launcher's thread. Descriptors that gilgul itself was
// born with beyond the standard three are marked so that no service gets them.
func NewLauncher() (*Launcher, error) {
	if err := unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return nil, fmt.Errorf("keep inherited descriptors from services: %w", err)
	}
	l := &Launcher{requests: make(chan request), root: os.Geteuid() == 0}
	l.limits = !l.root || canRaiseLimits()
	prepared := make(chan error)
	go l.serve(prepared)
	if err := <-prepared; err != nil {
		return nil, fmt.Errorf("prepare the thread that starts services: %w", err)
	}
	return l, nil
}

// serve prepares a thread and makes processes on it. The process's first thread
// is not taken: it is what /proc shows of gilgul, and it never ends.
func (l *Launcher) serve(prepared chan<- error) {
	runtime.LockOSThread()
	if unix.Gettid() == os.Getpid() {
		another := make(chan error)
		go l.serve(another) // cannot get this thread, which is still locked
		prepared <- <-another
		runtime.UnlockOSThread()
		return
	}
	// From here on never unlocked: the thread ends with the goroutine.
	err := prepareThread(l.root)
	prepared <- err
	if err != nil {
		return
	}
	for r := range l.requests {
		pid, err := l.start(r.spec)
		r.reply <- reply{pid, err}
	}
}

// Missing lists what this launcher cannot confine, in plain words.
func (l *Launcher) Missing() []string {
	var missing []string
	if !l.root {
		missing = append(missing, "users of their own for services (not root)", "an empty network for services (not root)")
	}
	if !l.limits {
		missing = append(missing, "limits on open files (no CAP_SYS_RESOURCE)")
	}
	return missing
}

// canRaiseLimits says whether gilgul may set limits of a process that has
// another user: it needs CAP_SYS_RESOURCE, which a container may lack.
func canRaiseLimits() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if unix.Capget(&header, &data[0]) != nil {
		return false
	}
	return data[0].Effective&(1<<unix.CAP_SYS_RESOURCE) != 0
}

// Close ends the launcher's thread; processes started by it that have a
// parent-death signal end with it.
func (l *Launcher) Close() { close(l.requests) }

// Start makes a process and returns its pid once the program is running in it
// (exec has succeeded). The caller must reap it.
func (l *Launcher) Start(spec Spec) (int, error) {
	answer := make(chan reply)
	l.requests <- request{spec, answer}
	r := <-answer
	return r.pid, r.err
}

// prepareThread gives up on this thread what no service shall have.
func prepareThread(root bool) error {
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("separate the umask: %w", err)
	}
	unix.Umask(umask)
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("forbid new privileges: %w", err)
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("clear the ambient capabilities: %w", err)
	}
	if !root {
		return nil
	}
	for capability := uintptr(0); ; capability++ {
		err := unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0)
		if errors.Is(err, unix.EINVAL) {
			return nil // past the last one this kernel knows
		}
		if err != nil {
			return fmt.Errorf("drop capability %d from the bounding set: %w", capability, err)
		}
	}
}

func (l *Launcher) start(spec Spec) (int, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	attributes, release, err := l.attributes(spec)
	if err != nil {
		return 0, err
	}
	defer release()
	process, err := os.StartProcess(spec.Exec, append([]string{spec.Exec}, spec.Args...), &os.ProcAttr{
		Dir:   spec.Dir,
		Env:   spec.Env,
		Files: []*os.File{null, spec.Stdout, spec.Stderr, spec.Notify},
		Sys:   attributes,
	})
	if err != nil {
		return 0, err
	}
	pid := process.Pid
	process.Release()
	if !l.limits {
		return pid, nil
	}
	if err := limitProcess(pid, spec.Limits); err != nil {
		unix.Kill(pid, unix.SIGKILL)
		unix.Wait4(pid, nil, 0, nil)
		return 0, err
	}
	return pid, nil
}

// attributes are what the kernel does between fork and exec.
func (l *Launcher) attributes(spec Spec) (*syscall.SysProcAttr, func(), error) {
	a := &syscall.SysProcAttr{Setsid: true}
	release := func() {}
	if os.Getpid() != 1 { // without PID 1 there is nothing left to end
		a.Pdeathsig = syscall.SIGKILL
	}
	if l.root {
		a.Credential = &syscall.Credential{Uid: spec.UID, Gid: Group, Groups: []uint32{}}
		a.Cloneflags = syscall.CLONE_NEWNET
	}
	if spec.Cgroup != nil {
		dir, err := os.Open(spec.Cgroup.path)
		if err != nil {
			return nil, nil, fmt.Errorf("open its cgroup: %w", err)
		}
		a.UseCgroupFD, a.CgroupFD = true, int(dir.Fd())
		release = func() { dir.Close() }
	}
	return a, release, nil
}

// limitProcess sets what cgroups do not limit. Memory images (core files) are
// never written: they would hold a person's words.
func limitProcess(pid int, limits manifest.Limits) error {
	set := func(what string, resource int, value uint64) error {
		err := unix.Prlimit(pid, resource, &unix.Rlimit{Cur: value, Max: value}, nil)
		if err != nil && !errors.Is(err, unix.ESRCH) { // it may have ended already
			return fmt.Errorf("limit its %s to %d: %w", what, value, err)
		}
		return nil
	}
	if limits.Files > 0 {
		if err := set("open files", unix.RLIMIT_NOFILE, uint64(limits.Files)); err != nil {
			return err
		}
	}
	return set("memory images", unix.RLIMIT_CORE, 0)
}
