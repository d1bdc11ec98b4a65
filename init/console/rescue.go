package console

import (
	"fmt"
	"strings"

	"runa/init/terminal"
	"runa/services/hint"
)

// Trouble is what PID 1 can't solve while consoles are served.
type Trouble struct {
	Reason error
	Over   chan struct{} // closed by the console when its rescue has ended
}

// Rescue tells what PID 1 could not solve and gives a root shell on the
// terminal, at once and without asking for Enter. It returns when that ends.
// A terminal that can't even be opened is the error.
func Rescue(t terminal.Terminal, reason error, start Start) error {
	f, err := t.Open(0)
	if err != nil {
		return err
	}
	if err := t.Prepare(f); err != nil {
		f.Close()
		return err
	}
	_, err = f.WriteString(rescueText(reason))
	f.Close()
	if err != nil {
		return fmt.Errorf("write to %s: %w", t.Path, err)
	}
	_, err = runShell(t, Root, start)
	return err
}

func rescueText(reason error) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\nRUNA can't go on by itself.\n\n  error: %s\n", oneLine(reason.Error()))
	if h := hint.Of(reason); h != "" {
		fmt.Fprintf(&b, "  hint: %s\n", oneLine(h))
	}
	b.WriteString("\nThis is a ROOT shell to look and mend. When you leave it (exit), gilgul tries to go on.\n\n")
	return ascii(b.String())
}
