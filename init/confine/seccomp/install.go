package seccomp

import (
	"errors"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Install filters the calls of this thread from now on, and of all it makes.
// With report it returns the descriptor on which refused calls are told, else
// -1. The thread must have no_new_privs.
func Install(program []bpf.RawInstruction, report bool) (int, error) {
	// A RawInstruction is laid out as the kernel's struct sock_filter.
	fprog := unix.SockFprog{Len: uint16(len(program)), Filter: (*unix.SockFilter)(unsafe.Pointer(&program[0]))}
	if !report {
		_, err := install(&fprog, 0)
		return -1, err
	}
	// Once gilgul has read of a call, only a signal that kills interrupts it, so
	// that it is told once.
	fd, err := install(&fprog, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER|unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV)
	if errors.Is(err, unix.EINVAL) { // before Linux 5.19
		return install(&fprog, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER)
	}
	return fd, err
}

func install(fprog *unix.SockFprog, flags uintptr) (int, error) {
	fd, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(fprog)))
	if errno != 0 {
		return -1, errno
	}
	return int(fd), nil
}
