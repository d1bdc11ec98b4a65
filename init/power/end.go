package power

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// End returns the function that ends this machine. With byReset, for machines
// that can't switch themselves off, power-off is a reset as well.
func End(byReset bool) func(Action) error {
	return func(a Action) error {
		command := unix.LINUX_REBOOT_CMD_POWER_OFF
		if a == Reboot || byReset {
			command = unix.LINUX_REBOOT_CMD_RESTART
		}
		if err := unix.Reboot(command); err != nil {
			return fmt.Errorf("end the machine: %w", err)
		}
		return nil
	}
}

// grace is what programs get between SIGTERM and SIGKILL.
const grace = time.Second

// KillRest ends every process but this one (kill(2) with pid -1 spares PID 1
// its own signal): politely, then for certain. Only PID 1 may call it.
func KillRest(ctx context.Context) error {
	if os.Getpid() != 1 {
		return fmt.Errorf("end the other programs: not PID 1")
	}
	for _, s := range []unix.Signal{unix.SIGTERM, unix.SIGHUP, unix.SIGCONT} {
		unix.Kill(-1, s)
	}
	polite, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	if waitAlone(polite) == nil {
		return nil
	}
	unix.Kill(-1, unix.SIGKILL)
	return waitAlone(ctx)
}

// waitAlone waits until no other program runs. Nobody tells when the last of
// them is gone who isn't a child of ours, so it looks, for a bounded time.
func waitAlone(ctx context.Context) error {
	for {
		others, err := programs("/proc")
		if err != nil || len(others) == 0 {
			return err
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("end the other programs: still there: %s", strings.Join(others, ", "))
		}
	}
}

// programs names the processes that are neither this one, nor dead, nor
// threads of the kernel (whose command line is empty).
func programs(proc string) ([]string, error) {
	stats, err := filepath.Glob(filepath.Join(proc, "[0-9]*", "stat"))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // gone meanwhile
		}
		pid, name, state, flags := parseStat(string(stat))
		const kernelThread = 0x00200000 // PF_KTHREAD, linux/sched.h
		if pid <= 1 || pid == os.Getpid() || state == "Z" || state == "X" || flags&kernelThread != 0 {
			continue
		}
		names = append(names, name)
	}
	return names, nil
}

// parseStat reads /proc/PID/stat (proc_pid_stat(5)); the name may hold any
// character, so it ends at the last parenthesis.
func parseStat(stat string) (pid int, name, state string, flags uint64) {
	open, end := strings.IndexByte(stat, '('), strings.LastIndexByte(stat, ')')
	if open < 0 || end < open {
		return 0, "", "", 0
	}
	pid, _ = strconv.Atoi(strings.TrimSpace(stat[:open]))
	fields := strings.Fields(stat[end+1:])
	if len(fields) < 7 {
		return 0, "", "", 0
	}
	flags, _ = strconv.ParseUint(fields[6], 10, 64)
	return pid, stat[open+1 : end], fields[0], flags
}
