package watchdog

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// ioctls are the calls of watchdog-api.rst in the kernel's documentation.
type ioctls interface {
	support(fd int) (unix.WatchdogInfo, error)
	get(fd int, request uint) (int, error)
	set(fd int, request uint, value int) error
	keepAlive(fd int) error
}

// kernel is the real one.
type kernel struct{}

func (kernel) support(fd int) (unix.WatchdogInfo, error) {
	info, err := unix.IoctlGetWatchdogInfo(fd)
	if err != nil {
		return unix.WatchdogInfo{}, err
	}
	return *info, nil
}

func (kernel) get(fd int, request uint) (int, error) { return unix.IoctlGetInt(fd, request) }

func (kernel) set(fd int, request uint, value int) error {
	return unix.IoctlSetPointerInt(fd, request, value)
}

func (kernel) keepAlive(fd int) error { return unix.IoctlWatchdogKeepalive(fd) }

// device is an open watchdog. The kernel arms it when it is opened, with a
// time-out of the driver's own.
type device struct {
	file     *os.File
	fd       int
	path     string
	identity string
	options  uint32
	ioctls   ioctls
}

// softdog is how the kernel's software timer calls itself.
const softdog = "Software Watchdog"

func (d *device) software() bool { return d.identity == softdog }

func openDevice(path string, calls ioctls) (*device, error) {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open watchdog %s: %w", path, err)
	}
	d := &device{file: os.NewFile(uintptr(fd), path), fd: fd, path: path, ioctls: calls}
	info, err := calls.support(fd)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("ask watchdog %s what it is: %w", path, err), d.release())
	}
	d.identity, d.options = unix.ByteSliceToString(info.Identity[:]), info.Options
	return d, nil
}

// leastTimeout is assumed of a device that doesn't tell its time-out.
const leastTimeout = 3 * time.Second

// arm asks for a time-out, or the longest below it that the device accepts, and
// returns the one in force.
func (d *device) arm(timeout time.Duration) time.Duration {
	wanted := max(1, int(timeout/time.Second))
	err := d.ioctls.set(d.fd, unix.WDIOC_SETTIMEOUT, wanted)
	if errors.Is(err, unix.EINVAL) {
		wanted, err = d.longest(wanted)
	}
	seconds, asked := d.ioctls.get(d.fd, unix.WDIOC_GETTIMEOUT)
	switch {
	case asked == nil && seconds > 0:
		return time.Duration(seconds) * time.Second
	case err == nil:
		return time.Duration(wanted) * time.Second
	}
	return leastTimeout
}

// longest sets the longest time-out, in seconds, that is below one which the
// device refused.
func (d *device) longest(refused int) (accepted int, err error) {
	for refused-accepted > 1 {
		middle := (accepted + refused) / 2
		switch err := d.ioctls.set(d.fd, unix.WDIOC_SETTIMEOUT, middle); {
		case err == nil:
			accepted = middle
		case errors.Is(err, unix.EINVAL):
			refused = middle
		default:
			return 0, err
		}
	}
	return accepted, d.ioctls.set(d.fd, unix.WDIOC_SETTIMEOUT, accepted)
}

// causedReset says whether this device was why the machine started anew.
func (d *device) causedReset() bool {
	status, err := d.ioctls.get(d.fd, unix.WDIOC_GETBOOTSTATUS)
	return err == nil && status > 0 && status&unix.WDIOF_CARDRESET != 0
}

func (d *device) feed() error { return d.ioctls.keepAlive(d.fd) }

// release disarms and closes: without the letter V just before it, a close
// leaves the timer running.
func (d *device) release() error {
	_, err := d.file.WriteString("V")
	return errors.Join(err, d.file.Close())
}
