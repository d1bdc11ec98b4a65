package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// stat returns the fields of /proc/PID/stat after the program's name: the first
// is the state, the third the process group.
func stat(pid string) []string {
	content, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
	if err != nil {
		return nil
	}
	return strings.Fields(string(content[strings.LastIndexByte(string(content), ')')+1:]))
}

func (l *life) pid() string { return strconv.Itoa(l.cmd.Process.Pid) }

// ticks is the processor time it has used, in hundredths of a second.
func (l *life) ticks() int {
	fields := stat(l.pid())
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return user + system
}

// resident is its memory in bytes.
func (l *life) resident() int {
	fields := stat(l.pid())
	if len(fields) < 22 {
		return 0
	}
	pages, _ := strconv.Atoi(fields[21])
	return pages * os.Getpagesize()
}

// processes counts those of its group.
func (l *life) processes() int {
	count := 0
	folders, _ := filepath.Glob("/proc/[0-9]*")
	for _, folder := range folders {
		if fields := stat(filepath.Base(folder)); len(fields) > 2 && fields[2] == l.pid() {
			count++
		}
	}
	return count
}

func (l *life) descriptors() int {
	entries, _ := os.ReadDir(filepath.Join("/proc", l.pid(), "fd"))
	return len(entries)
}
