package preinit

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"runa/init/systemdisk"
)

func TestEveryFailureTellsWhatToDo(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{errNoSystem, "inventory.json"},
		{fmt.Errorf("/dev/sda3: %w", systemdisk.ErrOther), "write the image to a disk\nagain"},
		{fmt.Errorf("read /bin/gilgul on /dev/sda3: %w", unix.EIO), "write the image to a disk\nagain"},
		{fmt.Errorf("mount the system: %w", unix.EUCLEAN), "runa-data"},
		{fmt.Errorf("mount proc: %w", unix.ENODEV), "Try once more"},
	} {
		said := explain(c.err)
		if !strings.Contains(said, c.want) || !strings.Contains(said, c.err.Error()) || !strings.Contains(said, "Press Enter") {
			t.Errorf("%v: it says\n%s", c.err, said)
		}
		for line := range strings.Lines(said) {
			if len(line) > 100 {
				t.Errorf("a line of %d characters: %q", len(line), line)
			}
		}
	}
}

func TestLinesEndAsATerminalNeedsThem(t *testing.T) {
	var out bytes.Buffer
	fmt.Fprint(newLines{&out}, "a\nb\n")
	if out.String() != "a\r\nb\r\n" {
		t.Errorf("it wrote %q", out.String())
	}
}
