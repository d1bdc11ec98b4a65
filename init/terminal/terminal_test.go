package terminal

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestATerminalIsMadeSaneAtItsSpeed(t *testing.T) {
	s := unix.Termios{Lflag: 0, Oflag: 0, Cflag: unix.B9600 | unix.CRTSCTS | unix.HUPCL}
	makeSane(&s, 115200)
	if s.Lflag&(unix.ICANON|unix.ECHO|unix.ISIG) != unix.ICANON|unix.ECHO|unix.ISIG || s.Oflag&unix.ONLCR == 0 || s.Iflag&unix.ICRNL == 0 {
		t.Errorf("flags %x %x %x", s.Iflag, s.Oflag, s.Lflag)
	}
	if s.Cflag&(unix.CBAUD|unix.CBAUDEX) != unix.B115200 || s.Cflag&(unix.CRTSCTS|unix.HUPCL) != 0 || s.Cflag&unix.CLOCAL == 0 {
		t.Errorf("control flags %x", s.Cflag)
	}
	if s.Cc[unix.VINTR] != 3 || s.Cc[unix.VEOF] != 4 || s.Cc[unix.VMIN] != 1 {
		t.Errorf("characters %v", s.Cc)
	}
	makeSane(&s, 0)
	if s.Cflag&unix.CBAUD != unix.B115200&unix.CBAUD {
		t.Error("a speed nobody gave was changed")
	}
}

func TestATerminalWithoutADeviceIsSkipped(t *testing.T) {
	file := t.TempDir() + "/ttyS9"
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	fallback := Terminal{Path: "/dev/console"}
	got := usable([]Terminal{{Path: file}, {Path: file + "absent"}}, fallback)
	if len(got) != 1 || got[0] != fallback {
		t.Errorf("got %v", got)
	}
}

func TestTerminalsHaveTheTypeOfTheirKind(t *testing.T) {
	for path, want := range map[string]string{"/dev/ttyS0": "vt220", "/dev/hvc0": "vt220", "/dev/tty1": "linux"} {
		if got := (Terminal{Path: path}).Term(); got != want {
			t.Errorf("%s: %s", path, got)
		}
	}
}
