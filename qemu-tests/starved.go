package qemutests

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Starved tells how long this machine has waited for the host's processors since
// its start: the sum over QEMU's threads of the second figure of
// /proc/PID/task/TID/schedstat (kernel Documentation/scheduler/sched-stats.rst).
// Where the host's kernel does not count it, it is 0. One goroutine may ask.
func (a *Appliance) Starved() time.Duration {
	if a.pid == 0 {
		a.pid = qemuOf(a.Machine.Disk)
	}
	sum := time.Duration(0)
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", a.pid))
	for _, thread := range threads {
		content, err := os.ReadFile(thread)
		if err != nil {
			continue // a thread that has ended
		}
		if figures := strings.Fields(string(content)); len(figures) == 3 {
			waited, _ := strconv.ParseInt(figures[1], 10, 64)
			sum += time.Duration(waited)
		}
	}
	return sum
}

// qemuOf finds the QEMU that this test started for a machine: its own child that
// has the machine's disk among its arguments; 0 if the kernel does not tell.
func qemuOf(argument string) int {
	lists, _ := filepath.Glob("/proc/self/task/*/children")
	for _, list := range lists {
		content, _ := os.ReadFile(list)
		for child := range strings.FieldsSeq(string(content)) {
			line, _ := os.ReadFile(filepath.Join("/proc", child, "cmdline"))
			if bytes.Contains(line, []byte(argument)) {
				pid, _ := strconv.Atoi(child)
				return pid
			}
		}
	}
	return 0
}
