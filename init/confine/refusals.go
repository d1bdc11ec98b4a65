package confine

import (
	"errors"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"runa/init/confine/seccomp"
)

// How refusals are told: the first of each rule and detail at once, then
// together after firstPause, which doubles each time up to longestPause. After
// mostTold different ones details are left out. A service that makes refused
// calls without end waits slowDown for each answer after freeCalls in paceEvery,
// so that it costs gilgul nothing worth speaking of.
const (
	firstPause   = time.Second
	longestPause = 10 * time.Minute
	mostTold     = 512
	paceEvery    = time.Second
	freeCalls    = 2000
	slowDown     = 10 * time.Millisecond
)

// seccompNotice and seccompAnswer are the kernel's structs seccomp_notif and
// seccomp_notif_resp (linux/seccomp.h).
type seccompNotice struct {
	ID          uint64
	PID         uint32
	Flags       uint32
	Number      int32
	Arch        uint32
	Instruction uint64
	Args        [6]uint64
}

type seccompAnswer struct {
	ID    uint64
	Value int64
	Error int32
	Flags uint32
}

// listen answers the refused calls of a service until all of its processes are
// gone. No thread waits: the kernel tells the runtime's poller.
func (l *Launcher) listen(listener *os.File, service string, pid int) {
	defer listener.Close()
	raw, err := listener.SyscallConn()
	if err != nil {
		l.log.Error("refused calls are not told", "service", service, "error", err)
		return
	}
	t := &teller{tell: l.refused, service: service, pid: pid}
	for over := false; !over; {
		var failed error
		err := raw.Read(func(fd uintptr) bool {
			var notice *seccompNotice
			notice, over, failed = nextNotice(int(fd))
			if notice == nil {
				return over || failed != nil // else wait until there is one
			}
			t.refused(notice.Number, notice.Args)
			t.flush(time.Now())
			failed = answer(int(fd), notice.ID)
			return true
		})
		if err = errors.Join(err, failed); err != nil {
			if !errors.Is(err, os.ErrClosed) {
				l.log.Error("refused calls are told no more", "service", service, "error", err)
			}
			return
		}
		t.pace()
	}
	t.end()
}

// nextNotice reads a refused call; none: there is no more at the moment. over
// says that nobody is left who could make one.
func nextNotice(fd int) (notice *seccompNotice, over bool, err error) {
	poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	if _, err := unix.Poll(poll, 0); err != nil && !errors.Is(err, unix.EINTR) {
		return nil, false, err
	}
	if poll[0].Revents&unix.POLLIN == 0 {
		return nil, poll[0].Revents&(unix.POLLHUP|unix.POLLERR|unix.POLLNVAL) != 0, nil
	}
	notice = &seccompNotice{}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SECCOMP_IOCTL_NOTIF_RECV, uintptr(unsafe.Pointer(notice)))
	switch errno {
	case 0:
		return notice, false, nil
	case unix.ENOENT, unix.EINTR: // the caller was killed meanwhile
		return nil, false, nil
	}
	return nil, false, errno
}

// answer lets a call fail with EPERM. If the caller is gone it needs none.
func answer(fd int, id uint64) error {
	a := seccompAnswer{ID: id, Error: -int32(unix.EPERM)}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SECCOMP_IOCTL_NOTIF_SEND, uintptr(unsafe.Pointer(&a)))
	if errno != 0 && errno != unix.ENOENT && errno != unix.EINPROGRESS {
		return errno
	}
	return nil
}

// teller counts refusals and tells them now and then.
type teller struct {
	tell    func(Refusal)
	service string
	pid     int

	told   map[refusalKind]*refusalCount
	window time.Time // when the calls began to be counted
	calls  int
}

type refusalKind struct{ rule, detail string }

type refusalCount struct {
	untold int
	next   time.Time // before that it is not told again
	pause  time.Duration
}

// refused counts a call. The first of its kind is told at once.
func (t *teller) refused(number int32, args [6]uint64) {
	rule, detail := seccomp.Describe(number, args)
	kind := refusalKind{rule, detail}
	if t.told == nil {
		t.told = map[refusalKind]*refusalCount{}
	}
	if t.told[kind] == nil && len(t.told) >= mostTold {
		kind.detail = "and others"
	}
	if t.told[kind] == nil {
		t.told[kind] = &refusalCount{}
	}
	t.told[kind].untold++
	t.calls++
}

// flush tells what may be told at the time now.
func (t *teller) flush(now time.Time) {
	for kind, count := range t.told {
		if count.untold > 0 && !now.Before(count.next) {
			t.say(kind, count, now)
		}
	}
}

// end tells what is left.
func (t *teller) end() {
	for kind, count := range t.told {
		if count.untold > 0 {
			t.say(kind, count, time.Time{})
		}
	}
}

func (t *teller) say(kind refusalKind, count *refusalCount, now time.Time) {
	if t.tell != nil {
		t.tell(Refusal{Service: t.service, PID: t.pid, Rule: kind.rule, Detail: kind.detail, Count: count.untold})
	}
	count.pause = min(max(2*count.pause, firstPause), longestPause)
	count.untold, count.next = 0, now.Add(count.pause)
}

// pace makes a service wait that asks too often.
func (t *teller) pace() {
	now := time.Now()
	if now.Sub(t.window) >= paceEvery {
		t.window, t.calls = now, 0
	}
	if t.calls > freeCalls {
		time.Sleep(slowDown)
	}
}
