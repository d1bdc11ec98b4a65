// Package enclosure is what runs in a process between its birth in new
// namespaces and the service's first instruction: the program enclose. It owns
// the order in which a process gives up what it has. It must never run the
// service if a step failed: it says which one and ends.
//
// # One thread is confined
//
// Linux keeps user, capabilities, Landlock and system-call filters for each
// thread, and execve goes on with the thread that calls it and ends the others.
// So all is done on the one thread that calls execve; the runtime's other
// threads, which are not confined, are gone when the service's first
// instruction runs.
package enclosure

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"runa/init/confine/seccomp"
)

// SocketFD is the descriptor over which orders come. It becomes the service's
// descriptor for READY=1.
const SocketFD = 3

// enclosure is a process that gets confined.
type enclosure struct {
	files   []int // that came with the orders
	proc    int   // a mount of its own processes, not yet anywhere
	devices []int // mounts of Devices, not yet anywhere
	left    bool  // it left the machine's root already
	filters map[string][]bpf.RawInstruction
}

// Name is the name under which gilgul starts enclose; Leave, as only argument,
// lets it leave the machine's root ahead of its orders.
const (
	Name  = "enclose"
	Leave = "leave"
)

// Trial, as only argument, makes enclose a service that ends well at once.
const Trial = "enclose-trial"

// Called says whether this process was started to be enclose. A test binary
// asks it first, and then can be Options.Enclose of its own launcher.
func Called() bool {
	return os.Args[0] == Name || len(os.Args) == 2 && os.Args[1] == Trial
}

// Main waits for orders and becomes what they say; it only returns, with an
// exit status, if it could not.
func Main() int {
	if len(os.Args) == 2 && os.Args[1] == Trial {
		return 0
	}
	runtime.LockOSThread()
	e := &enclosure{proc: -1}
	if err := unix.Dup3(SocketFD, seccomp.HandoverFD, unix.O_CLOEXEC); err != nil {
		fmt.Fprintln(os.Stderr, "error: enclose gets its orders from gilgul, and nobody else starts it")
		return 2
	}
	unix.CloseOnExec(SocketFD) // it stays taken until the end, so that no file that comes gets the number
	defer func() {
		if p := recover(); p != nil {
			say(Answer{Failed: fmt.Sprintf("a defect in enclose: %v", p)}, -1)
		}
	}()
	say(answerOf(e.run()), -1)
	return 1
}

// run does all that needs no orders first, because it may do so ahead of time.
// It returns why it could not go on.
func (e *enclosure) run() error {
	ahead := e.prepare()
	o, err := e.await()
	if err != nil {
		return err
	}
	if ahead != nil {
		return ahead
	}
	return e.become(o)
}

// prepare makes what does not depend on the orders. It also goes once through
// the code that reads them, because code that runs for the first time has to be
// read from the disk or at least mapped.
func (e *enclosure) prepare() error {
	var err error
	if os.Getpid() == 1 { // it has namespaces of its own
		if err = e.prepareNamespaces(len(os.Args) == 2 && os.Args[1] == Leave); err != nil {
			err = fmt.Errorf("prepare its namespaces: %w", err)
		}
	}
	e.filters = map[string][]bpf.RawInstruction{}
	for _, profile := range []string{seccomp.Service, seccomp.Inference} {
		e.filters[profile], _ = seccomp.Filter(profile, true)
	}
	_, _ = Parse([]byte(rehearsal), 1)
	_, _ = json.Marshal(Answer{Running: true})
	return err
}

// rehearsal are orders that nobody follows.
const rehearsal = `{"exec":"/a","args":["a"],"env":["A=b"],"dir":"/","uid":1,"gid":1,"namespaces":true,"groups":true,
"mounts":[{"at":"/a","from":"/a","tree":0,"folder":false,"kind":"program"}],"links":[{"at":"/b","to":"a"}],
"files":1,"processes":1,"landlock":true,"seccomp":true,"profile":"service","report":true,"stdout":0,"stderr":0,"notify":0}`

// await waits for the orders. If gilgul ends or needs none, it ends too.
func (e *enclosure) await() (Orders, error) {
	text, rights := make([]byte, MaxOrders+1), make([]byte, unix.CmsgSpace(4*MaxFiles))
	var n, size int
	for {
		var err error
		n, size, _, _, err = unix.Recvmsg(seccomp.HandoverFD, text, rights, unix.MSG_CMSG_CLOEXEC)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return Orders{}, fmt.Errorf("wait for orders: %w", err)
		}
		break
	}
	if n == 0 {
		os.Exit(0)
	}
	messages, err := unix.ParseSocketControlMessage(rights[:size])
	if err != nil {
		return Orders{}, fmt.Errorf("read the orders: %w", err)
	}
	for _, m := range messages {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			return Orders{}, fmt.Errorf("read the orders: %w", err)
		}
		e.files = append(e.files, fds...)
	}
	return Parse(text[:n], len(e.files))
}

// become confines the thread and runs the program.
func (e *enclosure) become(o Orders) error {
	unix.Umask(0o022)
	if o.Namespaces {
		if err := identify(o); err != nil {
			return err
		}
		if err := e.root(o); err != nil {
			return err
		}
	}
	unix.Umask(0o077) // what a service writes is its own
	if err := unix.Chdir(o.Dir); err != nil {
		return fmt.Errorf("go to its folder %s: %w", o.Dir, err)
	}
	if err := limit(o); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("forbid new privileges: %w", err)
	}
	if o.Landlock {
		if err := landlock(o); err != nil {
			return err
		}
	}
	if err := dropCapabilities(o.Namespaces); err != nil {
		return err
	}
	if err := e.streams(o); err != nil {
		return err
	}
	listener, err := e.filter(o)
	if err != nil {
		return err
	}
	say(Answer{Running: true}, listener)
	err = syscall.Exec(o.Exec, o.Args, o.Env)
	return fmt.Errorf("run %s: %w", o.Exec, err)
}

// streams puts the service's three open files where it expects them. All
// others are closed at exec.
func (e *enclosure) streams(o Orders) error {
	for to, number := range map[int]int{1: o.Stdout, 2: o.Stderr, SocketFD: o.Notify} {
		if err := unix.Dup3(e.files[number], to, 0); err != nil {
			return fmt.Errorf("connect its output: %w", err)
		}
	}
	return nil
}

// filter installs the filter of system calls and returns the descriptor on
// which refused ones are told, -1 for none.
func (e *enclosure) filter(o Orders) (int, error) {
	if !o.Seccomp {
		return -1, nil
	}
	program, ready := e.filters[o.Profile]
	if !ready || !o.Report {
		var err error
		if program, err = seccomp.Filter(o.Profile, o.Report); err != nil {
			return -1, err
		}
	}
	listener, err := seccomp.Install(program, o.Report)
	if err != nil {
		return -1, fmt.Errorf("filter its system calls: %w", err)
	}
	return listener, nil
}

// say sends an answer, with a file unless that is -1. If gilgul is gone there
// is nobody to tell.
func say(a Answer, file int) {
	text, _ := json.Marshal(a)
	var rights []byte
	if file >= 0 {
		rights = unix.UnixRights(file)
	}
	_ = unix.Sendmsg(seccomp.HandoverFD, text, rights, nil, unix.MSG_NOSIGNAL)
}

// longestAnswer is less than what gilgul reads at once.
const longestAnswer = 2048

func answerOf(err error) Answer {
	a := Answer{Failed: err.Error()}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		a.Errno = int(errno)
		a.Failed = strings.TrimSuffix(a.Failed, ": "+errno.Error())
	}
	a.Failed = a.Failed[:min(len(a.Failed), longestAnswer)]
	return a
}
