package boot

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

func setHostname() error {
	return unix.Sethostname([]byte(Hostname))
}

// forbidCoreDumps keeps a crashed program's memory, which holds what a person
// said, from being written anywhere. Every process inherits the limit.
func forbidCoreDumps() error {
	return unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
}

// openStandardStreams gives PID 1 the console when the kernel found none in
// the initramfs at the time it started us. The Go runtime then has put
// /dev/null in its place, which is what is looked for.
func openStandardStreams() error {
	if !isNull(2) {
		return nil
	}
	console, err := unix.Open("/dev/console", unix.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return fmt.Errorf("open /dev/console: %w", err)
	}
	defer unix.Close(console)
	for fd := range 3 {
		if err := unix.Dup3(console, fd, 0); err != nil {
			return fmt.Errorf("use /dev/console as descriptor %d: %w", fd, err)
		}
	}
	return nil
}

func isNull(fd int) bool {
	var s unix.Stat_t
	if err := unix.Fstat(fd, &s); err != nil {
		return true
	}
	return s.Mode&unix.S_IFMT == unix.S_IFCHR && unix.Major(s.Rdev) == 1 && unix.Minor(s.Rdev) == 3
}

// controllers are what service limits need (Documentation/admin-guide/cgroup-v2.rst).
var controllers = []string{"cpu", "memory", "pids", "io"}

// EnableControllers lets the groups below the cgroup2 folder root use the
// controllers that limits need. One that the kernel lacks is an error that
// names it; the others are enabled all the same.
func EnableControllers(root string) error {
	offered, err := os.ReadFile(filepath.Join(root, "cgroup.controllers"))
	if err != nil {
		return fmt.Errorf("read which controllers there are: %w", err)
	}
	has := map[string]bool{}
	for _, name := range strings.Fields(string(offered)) {
		has[name] = true
	}
	var failed []error
	for _, name := range controllers {
		if !has[name] {
			failed = append(failed, fmt.Errorf("the kernel has no %s controller", name))
			continue
		}
		control := filepath.Join(root, "cgroup.subtree_control")
		if err := os.WriteFile(control, []byte("+"+name), 0o644); err != nil {
			failed = append(failed, fmt.Errorf("enable %s: %w", name, err))
		}
	}
	return errors.Join(failed...)
}
