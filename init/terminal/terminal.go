// Package terminal is the devices at which a person may sit: which there are, how
// they are opened without waiting for a line that nobody reads, and how they are set
// up. It is small, for the kernel's own archive holds it too (package preinit).
package terminal

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"runa/init/boot"
)

// Terminal is a device a person may sit at.
type Terminal struct {
	Path string // /dev/ttyS0
	Baud int    // bits per second; 0 leaves it as the kernel set it
}

// Term is the terminal's type for programs (terminfo).
func (t Terminal) Term() string {
	if strings.HasPrefix(t.Path, "/dev/tty") && !strings.HasPrefix(t.Path, "/dev/ttyS") {
		return "linux"
	}
	return "vt220"
}

// Named returns the terminals that the kernel's command line names and that have a
// device behind them, or the kernel's own console when none has.
func Named(line boot.CommandLine) []Terminal {
	var named []Terminal
	for _, t := range line.Consoles() {
		named = append(named, Terminal{Path: "/dev/" + t.Name, Baud: t.Baud})
	}
	return usable(named, Terminal{Path: "/dev/console"})
}

// usable returns those of the terminals that have a device behind them, or
// fallback when none has.
func usable(terminals []Terminal, fallback Terminal) []Terminal {
	var found []Terminal
	for _, t := range terminals {
		f, err := t.Open(unix.O_NONBLOCK)
		if err != nil {
			continue
		}
		f.Close()
		found = append(found, t)
	}
	if len(found) == 0 {
		return []Terminal{fallback}
	}
	return found
}

// Open opens the terminal without making it anybody's controlling terminal. A
// node without a device behind it (a serial port that isn't there) is an error.
// Of the flags only O_NONBLOCK counts.
func (t Terminal) Open(flags int) (*os.File, error) {
	// Without O_NONBLOCK the open itself would wait for a modem's carrier.
	fd, err := unix.Open(t.Path, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open terminal %s: %w", t.Path, err)
	}
	if _, err := unix.IoctlGetTermios(fd, unix.TCGETS); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("open terminal %s: nothing is connected: %w", t.Path, err)
	}
	if err := unix.SetNonblock(fd, flags&unix.O_NONBLOCK != 0); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("open terminal %s: %w", t.Path, err)
	}
	return os.NewFile(uintptr(fd), t.Path), nil
}

// Prepare puts the terminal, opened as f, into the state a person expects, whatever
// the last program left behind, and gives it a size when it has none.
func (t Terminal) Prepare(f *os.File) error { return control(f, t.prepare) }

func (t Terminal) prepare(fd int) error {
	s, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return fmt.Errorf("read the settings of %s: %w", t.Path, err)
	}
	makeSane(s, t.Baud)
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, s); err != nil {
		return fmt.Errorf("set up %s: %w", t.Path, err)
	}
	size, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ)
	if err != nil || size.Row == 0 || size.Col == 0 {
		// A serial line doesn't know; 80 by 24 is what every terminal can show.
		if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80}); err != nil {
			return fmt.Errorf("set the size of %s: %w", t.Path, err)
		}
	}
	return nil
}

// control runs do with f's descriptor and leaves its mode alone.
func control(f *os.File, do func(fd int) error) error {
	connection, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var result error
	if err := connection.Control(func(fd uintptr) { result = do(int(fd)) }); err != nil {
		return err
	}
	return result
}

var speeds = map[int]uint32{
	9600: unix.B9600, 19200: unix.B19200, 38400: unix.B38400, 57600: unix.B57600,
	115200: unix.B115200, 230400: unix.B230400, 460800: unix.B460800, 921600: unix.B921600,
	1500000: unix.B1500000,
}

// makeSane sets what "stty sane" means on a line with 8 bits and no modem:
// lines are edited by the kernel, Enter is a newline, a newline also returns.
func makeSane(s *unix.Termios, baud int) {
	s.Iflag = unix.ICRNL | unix.IXON | unix.IUTF8 | unix.IMAXBEL
	s.Oflag = unix.OPOST | unix.ONLCR
	s.Lflag = unix.ISIG | unix.ICANON | unix.IEXTEN | unix.ECHO | unix.ECHOE | unix.ECHOK | unix.ECHOCTL | unix.ECHOKE
	s.Cflag = s.Cflag&(unix.CBAUD|unix.CBAUDEX) | unix.CS8 | unix.CREAD | unix.CLOCAL
	if speed, known := speeds[baud]; known {
		s.Cflag = s.Cflag&^(unix.CBAUD|unix.CBAUDEX) | speed
		s.Ispeed, s.Ospeed = speed, speed
	}
	clear(s.Cc[:])
	for index, value := range map[int]uint8{
		unix.VINTR: 'C' - '@', unix.VQUIT: '\\' - '@', unix.VERASE: 0x7f, unix.VKILL: 'U' - '@',
		unix.VEOF: 'D' - '@', unix.VSTART: 'Q' - '@', unix.VSTOP: 'S' - '@', unix.VSUSP: 'Z' - '@',
		unix.VREPRINT: 'R' - '@', unix.VWERASE: 'W' - '@', unix.VLNEXT: 'V' - '@', unix.VMIN: 1,
	} {
		s.Cc[index] = value
	}
}

// All writes to every one of the terminals, opened anew each time, and never
// waits for one that nobody reads.
type All []Terminal

// Write succeeds when one of the terminals took p.
func (a All) Write(p []byte) (int, error) {
	var failed []error
	for _, t := range a {
		if err := t.write(p); err != nil {
			failed = append(failed, err)
		}
	}
	if len(failed) == len(a) {
		return 0, errors.Join(failed...)
	}
	return len(p), nil
}

func (t Terminal) write(p []byte) error {
	f, err := t.Open(unix.O_NONBLOCK)
	if err != nil {
		return err
	}
	defer f.Close()
	return control(f, func(fd int) error {
		_, err := unix.Write(fd, p)
		return err
	})
}
