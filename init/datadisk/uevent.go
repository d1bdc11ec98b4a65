package datadisk

import (
	"bytes"
	"context"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"runa/init/contain"
)

// watchDisks sends when the kernel says that a block device came or changed
// (kobject uevents, lib/kobject_uevent.c), until ctx is done. The socket is
// open before it returns, so nothing that comes later is missed.
func watchDisks(ctx context.Context) (<-chan struct{}, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return nil, fmt.Errorf("watch for disks: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("watch for disks: %w", err)
	}
	socket := os.NewFile(uintptr(fd), "uevents")
	context.AfterFunc(ctx, func() { socket.Close() })
	events := make(chan struct{}, 1)
	contain.Go("watch for disks", func() {
		buffer := make([]byte, 64<<10)
		for {
			n, err := socket.Read(buffer)
			if ctx.Err() != nil {
				return
			}
			// A read error means that messages were lost: look again as well.
			if err != nil || isNewDisk(buffer[:n]) {
				select {
				case events <- struct{}{}:
				default:
				}
			}
		}
	})
	return events, nil
}

// isNewDisk reads one message: a line, then KEY=VALUE, all ended by NUL.
func isNewDisk(message []byte) bool {
	block, came := false, false
	for _, field := range bytes.Split(message, []byte{0}) {
		switch string(field) {
		case "SUBSYSTEM=block":
			block = true
		case "ACTION=add", "ACTION=change":
			came = true
		}
	}
	return block && came
}
