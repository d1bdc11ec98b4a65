package power

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"unsafe"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"

	"runa/init/contain"
)

// signals are those that ask PID 1 for something. The kernel sends SIGINT for
// ctrl-alt-del; SIGPWR comes from a power supply that fails; SIGTERM and
// SIGUSR2 are what commands named poweroff send.
var signals = map[os.Signal]Request{
	unix.SIGINT:  {Reboot, "ctrl-alt-del was pressed"},
	unix.SIGTERM: {Off, "a signal asked for it"},
	unix.SIGUSR2: {Off, "a signal asked for it"},
	unix.SIGPWR:  {Off, "the power supply fails"},
}

// Listen sends what a signal or a power button asks for, until ctx is done.
// input is the folder of input devices, /dev/input.
func Listen(ctx context.Context, input string, log hclog.Logger) <-chan Request {
	requests := make(chan Request)
	send := func(r Request) {
		select {
		case requests <- r:
		case <-ctx.Done():
		}
	}
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_CAD_OFF); err != nil {
		log.Warn("ctrl-alt-del resets at once", "reason", err)
	}
	caught := make(chan os.Signal, 4)
	for s := range signals {
		signal.Notify(caught, s)
	}
	contain.Go("listen for signals", func() {
		defer signal.Stop(caught)
		for {
			select {
			case s := <-caught:
				send(signals[s])
			case <-ctx.Done():
				return
			}
		}
	})
	buttons := powerButtons(input)
	for _, b := range buttons {
		context.AfterFunc(ctx, func() { b.Close() })
		contain.Go("watch a power button", func() {
			watchButton(b, func() { send(Request{Off, "the power button was pressed"}) })
		})
	}
	log.Info("listening for the end", "power_buttons", len(buttons))
	return requests
}

// Input events as linux/input.h and input-event-codes.h define them, on a
// 64-bit machine: two 8-byte times, type, code, value.
const (
	eventSize = 24
	evKey     = 1
	keyPower  = 116
	keyBytes  = 0x300 / 8
)

// powerButtons opens the input devices that have a power key.
func powerButtons(folder string) []*os.File {
	paths, _ := filepath.Glob(filepath.Join(folder, "event*"))
	var buttons []*os.File
	for _, path := range paths {
		f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
		if err != nil {
			continue
		}
		if has, err := hasPowerKey(f); err != nil || !has {
			f.Close()
			continue
		}
		buttons = append(buttons, f)
	}
	return buttons
}

// hasPowerKey asks with EVIOCGBIT(EV_KEY) which keys the device has.
func hasPowerKey(f *os.File) (bool, error) {
	var keys [keyBytes]byte
	request := uintptr(2<<30 | keyBytes<<16 | 'E'<<8 | (0x20 + evKey))
	connection, err := f.SyscallConn()
	if err != nil {
		return false, err
	}
	var errno unix.Errno
	err = connection.Control(func(fd uintptr) {
		_, _, errno = unix.Syscall(unix.SYS_IOCTL, fd, request, uintptr(unsafe.Pointer(&keys[0])))
	})
	if err == nil && errno != 0 {
		err = errno
	}
	if err != nil {
		return false, fmt.Errorf("ask %s for its keys: %w", f.Name(), err)
	}
	return keys[keyPower/8]&(1<<(keyPower%8)) != 0, nil
}

func watchButton(f *os.File, pressed func()) {
	buffer := make([]byte, 64*eventSize)
	for {
		n, err := f.Read(buffer)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return // taken away, or the end
		}
		if powerPressed(buffer[:n]) {
			pressed()
		}
	}
}

// powerPressed finds a press (value 1; 0 is the release, 2 a repeat).
func powerPressed(events []byte) bool {
	for ; len(events) >= eventSize; events = events[eventSize:] {
		kind, code := binary.NativeEndian.Uint16(events[16:]), binary.NativeEndian.Uint16(events[18:])
		if kind == evKey && code == keyPower && binary.NativeEndian.Uint32(events[20:]) == 1 {
			return true
		}
	}
	return false
}
