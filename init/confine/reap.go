package confine

import (
	"errors"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// childInfo is the siginfo_t that waitid fills, as 64-bit machines lay it out.
type childInfo struct {
	Signo, Errno, Code int32
	_                  int32
	PID                int32
	UID                uint32
	Status             int32
	_                  [100]byte
}

// reap takes the status of the child behind a pidfd if it has ended.
func reap(pidfd int) (Exit, bool, error) {
	var info childInfo
	var usage unix.Rusage
	for {
		err := unix.Waitid(unix.P_PIDFD, pidfd, (*unix.Siginfo)(unsafe.Pointer(&info)), unix.WEXITED|unix.WNOHANG, &usage)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if errors.Is(err, unix.EAGAIN) || err == nil && info.PID == 0 {
			return Exit{}, false, nil
		}
		if err != nil {
			return Exit{}, false, err
		}
		cpu := time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
		return Exit{Status: waitStatus(info.Code, info.Status), CPU: cpu}, true, nil
	}
}

// waitStatus packs what waitid says as wait4 would (wait(2)).
func waitStatus(code, status int32) syscall.WaitStatus {
	const exited, dumped = 1, 3 // CLD_EXITED, CLD_DUMPED (siginfo.h)
	switch code {
	case exited:
		return syscall.WaitStatus(status&0xff) << 8
	case dumped:
		return syscall.WaitStatus(status&0x7f | 0x80)
	}
	return syscall.WaitStatus(status & 0x7f)
}
