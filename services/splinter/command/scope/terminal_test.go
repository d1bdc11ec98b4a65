package scope

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"runa/services/splinter"
)

// terminal is a pseudo-terminal that answers nothing and knows no size, as a serial line.
func terminal(t *testing.T) (person, program *os.File) {
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { person.Close() })
	if err := unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { program.Close() })
	return person, program
}

func TestALiveScopeAsksTheTerminalNothingAndEndsWithQ(t *testing.T) {
	bus, err := splinter.Create(t.TempDir()+"/bus", splinter.Options{Slots: 64})
	if err != nil {
		t.Fatal(err)
	}
	defer bus.Close()
	person, program := terminal(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, bus, program, program, Options{Interval: 20 * time.Millisecond}) }()

	var seen []byte
	typed := false
	for buffer := make([]byte, 4096); !bytes.Contains(seen, []byte("\x1b[?1049l")); {
		n, err := person.Read(buffer)
		if err != nil {
			t.Fatalf("%v after %q", err, seen)
		}
		seen = append(seen, buffer[:n]...)
		if !typed && bytes.Contains(seen, []byte("COMPONENT")) && bytes.Contains(seen, []byte("keys 0/64")) {
			typed = true
			if _, err := person.WriteString("q"); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := <-ended; err != nil || !typed {
		t.Fatalf("%v; picture seen: %v in %q", err, typed, seen)
	}
	for _, question := range []string{"\x1b]10;?", "\x1b]11;?", "\x1b[6n", "\x1b[c", "\x1b[0c", "\x1b[>"} {
		if bytes.Contains(seen, []byte(question)) {
			t.Errorf("the terminal was asked %q", question)
		}
	}
}
