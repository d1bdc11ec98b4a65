// Package preinit is the first program of the appliance. It finds the system that
// the kernel's command line names, has the kernel check each of its blocks when it
// is read, and gives its place to the system's own init, gilgul. It is inside of
// the kernel's file, because some boot loaders can load nothing else.
//
// What it can't start it explains: what is wrong, and what a person can do. It
// starts nothing that was not checked and never offers a shell.
package preinit

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"runa/init/boot"
	"runa/init/systemdisk"
	"runa/init/terminal"
)

// Where the system is mounted, and the program in it that takes over.
const (
	root    = "/system"
	program = "/bin/gilgul"
)

// How long a disk may take to appear before a person is told that it is waited
// for, and how often it is looked for.
const (
	patience = 10 * time.Second
	period   = 10 * time.Millisecond
)

// Run is the whole program. It never returns.
func Run() {
	line, err := prepare()
	terminals := terminal.Named(line)
	screen := newLines{terminal.All(terminals)}
	if err == nil {
		err = start(line, screen)
		_, _ = prepare() // enter may have let go of /dev, by which terminals are found
	}
	fmt.Fprint(screen, explain(err))
	switchOff(terminals)
}

// prepare mounts what is needed to read the command line and to see disks.
func prepare() (boot.CommandLine, error) {
	for _, fs := range []string{"devtmpfs /dev", "proc /proc", "sysfs /sys"} {
		kind, target, _ := strings.Cut(fs, " ")
		if err := os.MkdirAll(target, 0o755); err != nil {
			return nil, fmt.Errorf("make %s: %w", target, err)
		}
		if err := unix.Mount(kind, target, kind, 0, ""); err != nil && !errors.Is(err, unix.EBUSY) {
			return nil, fmt.Errorf("mount %s: %w", kind, err)
		}
	}
	text, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return nil, fmt.Errorf("read the kernel's command line: %w", err)
	}
	return boot.ParseCommandLine(string(text)), nil
}

// errNoSystem says that the boot loader gave no system's name.
var errNoSystem = errors.New("the kernel's command line has no " + systemdisk.Option)

// start returns only if the system can't be started.
func start(line boot.CommandLine, screen io.Writer) error {
	value, there := line.Value(systemdisk.Option)
	if !there {
		return errNoSystem
	}
	system, err := systemdisk.Parse(value)
	if err != nil {
		return err
	}
	device, err := await(system, screen)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		return fmt.Errorf("make the mount point: %w", err)
	}
	if err := system.Mount(device, root); err != nil {
		return err
	}
	if err := systemdisk.ReadThrough(root + program); err != nil {
		return fmt.Errorf("read %s on %s: %w", program, device, err)
	}
	return enter()
}

// await finds the system's partition. It waits for a disk as long as there is none,
// and after its patience says so; a disk with another system is an error by then.
func await(system systemdisk.System, screen io.Writer) (device string, err error) {
	told := false
	for begun := time.Now(); ; time.Sleep(period) {
		if device, err = systemdisk.Find("/sys/class/block", "/dev", system); err == nil {
			return device, nil
		}
		switch {
		case time.Since(begun) < patience:
		case !errors.Is(err, systemdisk.ErrNone):
			return "", err
		case !told:
			fmt.Fprint(screen, waiting)
			told = true
		}
	}
}

// enter makes the mounted system the root and becomes its init.
func enter() error {
	for _, target := range []string{"/dev", "/proc", "/sys"} {
		_ = unix.Unmount(target, unix.MNT_DETACH) // init mounts its own
	}
	_ = os.Remove("/init") // this program: 2 MB of memory
	if err := os.Chdir(root); err != nil {
		return fmt.Errorf("enter the system: %w", err)
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("make the system the root: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("make the system the root: %w", err)
	}
	return fmt.Errorf("start %s: %w", program, unix.Exec(program, os.Args, os.Environ()))
}
