package confine

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"runa/init/confine/enclosure"
)

// birthPatience is how long enclose may take to become a service.
const birthPatience = 20 * time.Second

// errLate says nothing about what is possible here, only that it took too long.
var errLate = errors.New("it did not get ready to run")

// nascent is a process that runs enclose and is not yet a service.
type nascent struct {
	process *Process
	socket  *os.File // answers and orders, a message each
	cgroup  *Cgroup  // it waits ahead in this one, which is its own; nil: it was made for a start
	adopted bool     // a service's cgroup is now the same folder
	spaces  bool     // it has namespaces of its own
}

// bear makes a process that runs enclose, in the cgroup folder at path ("":
// gilgul's own).
func (l *Launcher) bear(path string, namespaces bool) (*nascent, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("make the socket for its orders: %w", err)
	}
	defer unix.Close(pair[1])
	// Only our end: enclose reads and writes its own with plain calls that wait.
	if err := unix.SetNonblock(pair[0], true); err != nil {
		unix.Close(pair[0])
		return nil, fmt.Errorf("make the socket for its orders: %w", err)
	}
	n := &nascent{socket: os.NewFile(uintptr(pair[0]), "orders"), spaces: namespaces}
	var failed error
	if !l.maker.do(func() { n.process, failed = l.fork(pair[1], path, namespaces) }) {
		failed = ErrClosed
	}
	if failed == nil && n.process == nil {
		failed = errors.New("a defect in gilgul")
	}
	if failed != nil {
		n.socket.Close()
		return nil, fmt.Errorf("start %s: %w", l.enclose, failed)
	}
	return n, nil
}

// namespacesOfItsOwn are made by clone. There is none for time, which clone
// can't make, and none for cgroups: programs read their memory limits by the
// paths of the one hierarchy.
const namespacesOfItsOwn = unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWNET

// setUpCapabilities are what enclose needs in its own user namespace, where
// they concern nobody else, until it gives them up.
var setUpCapabilities = []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_SYS_CHROOT, unix.CAP_SETUID, unix.CAP_SETGID, unix.CAP_SETPCAP}

func (l *Launcher) fork(socket int, path string, namespaces bool) (*Process, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	pidfd := -1
	sys := &syscall.SysProcAttr{Setsid: true, PidFD: &pidfd}
	if os.Getpid() != 1 { // without PID 1 there is nothing left to end
		sys.Pdeathsig = syscall.SIGKILL
	}
	if namespaces {
		sys.Cloneflags, sys.AmbientCaps = namespacesOfItsOwn, setUpCapabilities
	}
	if path != "" {
		dir, err := unix.Open(path, unix.O_DIRECTORY|unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, fmt.Errorf("open its cgroup: %w", err)
		}
		defer unix.Close(dir)
		sys.UseCgroupFD, sys.CgroupFD = true, dir
	}
	arguments := []string{enclosure.Name}
	if l.can.root {
		arguments = append(arguments, enclosure.Leave)
	}
	l.births.Lock()
	defer l.births.Unlock()
	pid, _, err := syscall.StartProcess(l.enclose, arguments, &syscall.ProcAttr{
		Env:   []string{"GOMAXPROCS=2", "GOGC=off"},
		Files: []uintptr{null.Fd(), null.Fd(), null.Fd(), uintptr(socket)},
		Sys:   sys,
	})
	if err != nil {
		return nil, err
	}
	p, err := newProcess(pid, pidfd)
	if err != nil {
		unix.Kill(pid, unix.SIGKILL)
		unix.Wait4(pid, nil, 0, nil)
		return nil, err
	}
	l.owned[pid] = true
	p.reaped = func() {
		l.births.Lock()
		defer l.births.Unlock()
		delete(l.owned, pid)
	}
	return p, nil
}

// fits says whether a process that waits ahead can serve a start in a cgroup.
func (n *nascent) fits(c *Cgroup) bool {
	if n.cgroup == nil {
		return c == nil
	}
	return c != nil && c.fresh(n.cgroup.slice)
}

// end kills the process and waits until it is gone.
func (n *nascent) end() {
	_ = n.process.Signal(syscall.SIGKILL)
	_, _ = n.process.Wait()
	n.socket.Close()
	if n.cgroup != nil && !n.adopted {
		n.cgroup.EndLater(nil)
	}
}

// become gives the process its identity and its orders, and returns when it
// runs the program. listen is called with the descriptor on which it tells
// refusals, and must answer them: nothing else goes on meanwhile.
func (n *nascent) become(p *plan, listen func(*os.File)) error {
	defer n.socket.Close()
	if err := n.raise(p.orders.Files); err != nil {
		return err
	}
	if n.spaces {
		if err := n.identify(p.orders.UID, p.orders.GID, p.orders.Groups); err != nil {
			return err
		}
	}
	text, err := json.Marshal(p.orders)
	if err != nil {
		return fmt.Errorf("write its orders: %w", err)
	}
	if len(text) > enclosure.MaxOrders || len(p.files) > enclosure.MaxFiles {
		return fmt.Errorf("its arguments, environment and paths are too long: %d bytes in %d mounts, %d bytes are possible", len(text), len(p.files), enclosure.MaxOrders)
	}
	if err := n.socket.SetDeadline(time.Now().Add(birthPatience)); err != nil {
		return fmt.Errorf("send its orders: %w", err)
	}
	if err := n.send(text, p.files); err != nil {
		return fmt.Errorf("send its orders: %w", err)
	}
	return n.watch(listen)
}

// watch reads what the process answers until it runs the program. Exec closes
// the socket, and so does an early death, which lacks the word before it.
func (n *nascent) watch(listen func(*os.File)) error {
	running := false
	for {
		answer, file, over, err := n.receive()
		if file != nil {
			listen(file)
		}
		if err == nil && over && !running {
			err = errors.New("it ended before it was confined")
		}
		if err == nil {
			err = failure(answer)
		}
		if err != nil || over {
			return err
		}
		running = running || answer.Running
	}
}

// failure is the error in an answer.
func failure(a enclosure.Answer) error {
	switch {
	case a.Failed == "":
		return nil
	case a.Errno != 0:
		return fmt.Errorf("%s: %w", a.Failed, syscall.Errno(a.Errno))
	}
	return errors.New(a.Failed)
}

// raise lets the process have more open files than gilgul itself may have, if
// it needs to.
func (n *nascent) raise(files uint64) error {
	var own unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &own); err != nil || files <= own.Max {
		return err
	}
	err := unix.Prlimit(n.process.PID(), unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: files, Max: files}, nil)
	if err != nil {
		return fmt.Errorf("limit its open files to %d, where gilgul may have %d: %w", files, own.Max, err)
	}
	return nil
}

// identify writes which user and group of the machine the process's user
// namespace knows: one each, under their own numbers.
func (n *nascent) identify(uid, gid uint32, groups bool) error {
	folder := "/proc/" + strconv.Itoa(n.process.PID())
	if !groups {
		if err := write(folder, "setgroups", []byte("deny")); err != nil {
			return fmt.Errorf("give it its user: %w", err)
		}
	}
	if err := write(folder, "uid_map", fmt.Appendf(nil, "%d %d 1\n", uid, uid)); err != nil {
		return fmt.Errorf("give it its user %d: %w", uid, err)
	}
	if err := write(folder, "gid_map", fmt.Appendf(nil, "%d %d 1\n", gid, gid)); err != nil {
		return fmt.Errorf("give it its group %d: %w", gid, err)
	}
	return nil
}

func (n *nascent) send(text []byte, files []int) error {
	raw, err := n.socket.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Write(func(fd uintptr) bool {
		failed = unix.Sendmsg(int(fd), text, unix.UnixRights(files...), nil, unix.MSG_NOSIGNAL)
		return !errors.Is(failed, unix.EAGAIN)
	})
	return errors.Join(err, failed)
}

// receive waits for an answer; over says that the socket was closed, by exec
// or because the process is gone.
func (n *nascent) receive() (answer enclosure.Answer, file *os.File, over bool, err error) {
	raw, err := n.socket.SyscallConn()
	if err != nil {
		return answer, nil, false, fmt.Errorf("read its answer: %w", err)
	}
	text, rights := make([]byte, 4096), make([]byte, unix.CmsgSpace(4*4))
	var size, rightsSize int
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		size, rightsSize, _, _, failed = unix.Recvmsg(int(fd), text, rights, unix.MSG_CMSG_CLOEXEC)
		return !errors.Is(failed, unix.EAGAIN)
	})
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return answer, nil, false, fmt.Errorf("%w within %s", errLate, birthPatience)
	}
	if err = errors.Join(err, failed); err != nil {
		return answer, nil, false, fmt.Errorf("read its answer: %w", err)
	}
	if size == 0 {
		return answer, nil, true, nil
	}
	file, err = fileOf(rights[:rightsSize])
	if err != nil {
		return answer, nil, false, fmt.Errorf("read its answer: %w", err)
	}
	if err := json.Unmarshal(text[:size], &answer); err != nil {
		return answer, file, false, fmt.Errorf("read its answer: %w", err)
	}
	return answer, file, false, nil
}

// fileOf takes the one descriptor that came with an answer, if there is one.
func fileOf(rights []byte) (*os.File, error) {
	if len(rights) == 0 {
		return nil, nil
	}
	messages, err := unix.ParseSocketControlMessage(rights)
	if err != nil {
		return nil, err
	}
	var first *os.File
	for _, m := range messages {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			return first, err
		}
		for _, fd := range fds {
			if first != nil {
				unix.Close(fd)
				continue
			}
			if err := unix.SetNonblock(fd, true); err != nil {
				return nil, err
			}
			first = os.NewFile(uintptr(fd), "refusals")
		}
	}
	return first, nil
}
