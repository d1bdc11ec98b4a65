package console

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"runa/init/terminal"

	"golang.org/x/sys/unix"
)

// Start starts a program and returns a function that waits for its end and
// gives its status. PID 1 has one place that waits for children, so nobody may
// call Wait on the command itself.
type Start func(*exec.Cmd) (wait func() syscall.WaitStatus, err error)

// Account is whom a shell runs as.
type Account struct {
	Name     string
	UID, GID uint32
	Home     string // where it starts; made by whoever owns the place
	// Temporary: what is in Home is lost at the machine's end.
	Temporary bool
}

// The two accounts of a console.
const (
	RootHome  = "/run"
	ShellPath = "/bin/sh"
)

// Root is the account of a rescue and of gilgul.console=root.
var Root = Account{Name: "root", Home: RootHome}

// runShell gives the terminal to a login shell with a session of its own and
// waits for its end. When the session's leader ends, the kernel hangs the
// terminal up, so what is left of the session can't listen to the next person.
func runShell(t terminal.Terminal, a Account, start Start) (syscall.WaitStatus, error) {
	f, err := t.Open(0)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if err := f.Chown(int(a.UID), int(a.GID)); err != nil {
		return 0, fmt.Errorf("give %s to %s: %w", t.Path, a.Name, err)
	}
	defer os.Chown(t.Path, 0, 0)
	wait, err := start(shellCommand(f, t, a))
	if err != nil {
		return 0, fmt.Errorf("start the shell: %w", err)
	}
	return wait(), nil
}

func shellCommand(f *os.File, t terminal.Terminal, a Account) *exec.Cmd {
	home := a.Home
	if info, err := os.Stat(home); err != nil || !info.IsDir() {
		home = "/"
	}
	return &exec.Cmd{
		Path:   ShellPath,
		Args:   []string{ShellPath}, // the multicall binary finds its command by this path
		Dir:    home,
		Stdin:  f,
		Stdout: f,
		Stderr: f,
		Env: []string{
			"PATH=/bin:/sbin", "HOME=" + home, "USER=" + a.Name, "LOGNAME=" + a.Name,
			"SHELL=" + ShellPath, "TERM=" + t.Term(), "LANG=C.UTF-8",
		},
		SysProcAttr: &syscall.SysProcAttr{
			Setsid: true, Setctty: true, Ctty: 0,
			Credential: &syscall.Credential{Uid: a.UID, Gid: a.GID, Groups: []uint32{a.GID}},
		},
	}
}

// ended says how a shell ended when that is worth a word.
func ended(s syscall.WaitStatus) string {
	switch {
	case s.Signaled():
		return fmt.Sprintf("The shell was ended by %s.", unix.SignalName(s.Signal()))
	case s.ExitStatus() != 0:
		return fmt.Sprintf("The shell ended with status %d.", s.ExitStatus())
	}
	return ""
}
