// Package confine starts a service's process with as little as it needs, and
// owns how a process is made and the cgroup it lives in. It must never decide
// when to start or stop one, and must never start one with more rights than
// asked because confining it failed: then it starts none.
//
// # What a service is left with
//
// A program runs as a user of its own in namespaces of its own (user, mount,
// pid, ipc, uts, net), where it is PID 1. Its root holds its program, the C
// libraries, its data folder, the bus, /proc, a few devices, a small /tmp and
// what its manifest lists, and nothing it may write to can be executed. It has
// no capabilities and can't gain any. Landlock says the same of files once more.
// A filter lets it make only the system calls of its profile; the others are
// refused, and gilgul hears of each refusal with the rule's name.
//
// # How it is made
//
// Between clone and exec Go can run no code of ours, so the launcher starts the
// program enclose in the new namespaces. It gets its orders over a socket,
// confines itself (package enclosure) and becomes the service by execve. One
// such process waits ahead for the next start, whosever it is, because making
// namespaces and starting a Go program takes longer than all the rest.
//
// # What one thread does for all
//
// The kernel ties a parent-death signal to the thread that made the child, so
// one thread, which lives as long as the launcher, makes all of them.
package confine

import (
	"os"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"

	"runa/init/manifest"
)

// Group is the gid of group runa, in which every service runs.
const Group = 100

// NotifyFD is the descriptor on which a service says READY=1.
const NotifyFD = 3

// Spec is a process to start.
type Spec struct {
	Service string   // for the log and for errors
	Exec    string   // path of the program as the service sees it
	Program string   // the file that stands there; "": Exec itself
	Args    []string // without the program's name
	Env     []string // the whole environment, "NAME=value"
	Dir     string   // working folder; "": /
	UID     uint32   // ignored without root
	Limits  manifest.Limits
	Confine manifest.Confine
	Cgroup  *Cgroup // nil: stay in gilgul's cgroup

	// BusFolder and DataFolder are seen at the same path, writable as far as their
	// owners allow; "": none.
	BusFolder  string
	DataFolder string

	Stdout *os.File // stays the caller's, as the next two; nil: /dev/null
	Stderr *os.File
	Notify *os.File // becomes descriptor NotifyFD
}

// Options are what a launcher needs.
type Options struct {
	Enclose string // path of the program enclose; "": /bin/enclose
	// Refused is told of system calls that a service was refused, from goroutines
	// of the launcher; the service waits meanwhile. The first of a kind is told at
	// once, later ones together and ever more seldom. nil: nobody is told.
	Refused func(Refusal)
	Log     hclog.Logger // nil: nothing is logged
	// Owns is given Launcher.Owns before the first child is made, for whoever
	// reaps orphans (supervise.Reaper.Leave); nil: nobody does.
	Owns func(owns func(pid int) bool)
}

// Refusal is something a service tried and was refused.
type Refusal struct {
	Service string
	PID     int    // of the service, as gilgul sees it
	Rule    string // such as seccomp/socket
	Detail  string // such as AF_PACKET; may be empty
	Count   int    // how often since it was last told
}

// Exit is how a process ended.
type Exit struct {
	Status syscall.WaitStatus
	CPU    time.Duration // its own and that of children it waited for
}
