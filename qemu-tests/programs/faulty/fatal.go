package main

import (
	"errors"
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// fault ends the process by a true SIGSEGV, as a C library's bug would: Go's
// own handler, which turns it into a panic, is taken away before.
func fault() error {
	var none [4]uint64 // struct sigaction of the kernel: SIG_DFL, no flags
	_, _, errno := syscall.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(unix.SIGSEGV), uintptr(unsafe.Pointer(&none)), 0, 8, 0, 0)
	if errno != 0 {
		return fmt.Errorf("take the handler of SIGSEGV away: %w", errno)
	}
	page, err := unix.Mmap(-1, 0, unix.Getpagesize(), unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return fmt.Errorf("map a page that nobody may read: %w", err)
	}
	return fmt.Errorf("%w: %d", errors.New("a page that nobody may read was read"), page[0])
}

// bomb forks, and so does each of its children, without end or, with a bound,
// so often each. Nothing but system calls may happen after the first fork: the
// child has one thread and no Go runtime to speak of.
func bomb(forks int) {
	for i := 0; forks == 0 || i < forks; i++ {
		// A fork that is refused (the group is full) is tried again, as bombs do.
		_, _, _ = syscall.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	}
	for {
		_, _, _ = syscall.RawSyscall(unix.SYS_PAUSE, 0, 0, 0)
	}
}
