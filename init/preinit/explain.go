package preinit

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"runa/init/contain"
	"runa/init/systemdisk"
	"runa/init/terminal"
)

const waiting = `
Runa: no disk has its system yet (a partition named ` + systemdisk.PartitionName + `).
Attach the disk or the stick that Runa was written to; it then goes on by itself.
`

// explain says what is wrong and what a person can do.
func explain(err error) string {
	said := "Runa did not start: " + err.Error() + ".\n"
	switch {
	case errors.Is(err, errNoSystem):
		said += `The boot loader must give the kernel the argument ` + systemdisk.Option + ` that belongs to the
image: it stands in the image's inventory.json and in the boot loader's own files.
`
	case errors.Is(err, systemdisk.ErrOther), errors.Is(err, unix.EIO), errors.Is(err, unix.EUCLEAN), errors.Is(err, unix.EINVAL):
		said += `The system on this disk was changed or is damaged. Nothing of it was used, and
what you keep in Runa (the partition runa-data) was not touched.
Save a copy of that partition if you need it, then write the image to a disk
again: runa-image flash. If that happens twice, the disk is worn out.
`
	default:
		said += "Try once more; if it stays so, write the image to the disk again: runa-image flash.\n"
	}
	return "\n" + said + "Press Enter to switch the machine off.\n"
}

// newLines ends lines as terminals that nobody has set up need them.
type newLines struct{ to io.Writer }

func (w newLines) Write(p []byte) (int, error) {
	_, err := io.WriteString(w.to, strings.ReplaceAll(string(p), "\n", "\r\n"))
	return len(p), err
}

// switchOff waits for a person's Enter at one of the terminals and ends the
// machine. One at which nobody is stays as it is, with the message to be read.
func switchOff(terminals []terminal.Terminal) {
	entered := make(chan struct{}, len(terminals))
	for _, t := range terminals {
		contain.Go("await Enter at "+t.Path, func() {
			if awaitLine(t.Path) {
				entered <- struct{}{}
			}
		})
	}
	for {
		select {
		case <-entered:
			if err := unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF); err != nil {
				fmt.Fprint(newLines{terminal.All(terminals)}, "Switch the machine off by its button: ", err, "\n")
			}
		case <-time.After(time.Hour): // the end of PID 1 would be a kernel panic
		}
	}
}

// awaitLine waits until a line was typed at a terminal; false if none can be.
func awaitLine(path string) bool {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOCTTY, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	_, err = bufio.NewReader(f).ReadString('\n')
	return err == nil
}
