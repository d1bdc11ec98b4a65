package preinit

import (
	"bytes"
	"fmt"
	"os"
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

func TestALineIsAwaitedAndAnEndIsNone(t *testing.T) {
	path := t.TempDir() + "/terminal"
	for text, want := range map[string]bool{"\n": true, "x\n": true, "": false, "x": false} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := awaitLine(path); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
	if awaitLine(path + "-missing") {
		t.Error("a terminal that isn't there was read")
	}
}
