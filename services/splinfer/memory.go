package splinfer

import (
	"bufio"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// AvailableMemory returns how many bytes this process may still take: what
// the kernel calls available, or less where a cgroup (version 2) of ours or
// above ours is bounded. root is "/", or another folder in tests. Page cache counts as
// available. Sources: proc(5), the kernel's cgroup-v2 document.
func AvailableMemory(root string) (uint64, error) {
	available, err := meminfo(filepath.Join(root, "proc/meminfo"), "MemAvailable")
	if err != nil {
		return 0, err
	}
	group, err := ownGroup(filepath.Join(root, "proc/self/cgroup"))
	if err != nil {
		return available, nil // no cgroup version 2: nothing else bounds us
	}
	for ; ; group = filepath.Dir(group) {
		available = min(available, groupRoom(filepath.Join(root, "sys/fs/cgroup", group)))
		if group == "/" {
			return available, nil
		}
	}
}

// meminfo reads one line of /proc/meminfo, whose unit is 1024 bytes.
func meminfo(path, name string) (uint64, error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, fmt.Errorf("read available memory: %w", err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) >= 2 && fields[0] == name+":" {
			n, err := strconv.ParseUint(fields[1], 10, 54)
			if err != nil {
				return 0, fmt.Errorf("read available memory: %s: %w", path, err)
			}
			return n << 10, nil
		}
	}
	return 0, fmt.Errorf("read available memory: %s has no %s", path, name)
}

func ownGroup(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		if group, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			return filepath.Clean("/" + group), nil
		}
	}
	return "", errors.New("no cgroup version 2")
}

// groupRoom is memory.max less what can't be reclaimed of memory.current; a
// group without a bound, or whose files can't be read, has endless room.
func groupRoom(folder string) uint64 {
	limit, ok := readNumber(filepath.Join(folder, "memory.max"))
	if high, bounded := readNumber(filepath.Join(folder, "memory.high")); bounded && (!ok || high < limit) {
		limit, ok = high, true
	}
	current, read := readNumber(filepath.Join(folder, "memory.current"))
	if !ok || !read {
		return math.MaxUint64
	}
	current -= min(current, statistic(filepath.Join(folder, "memory.stat"), "file"))
	return limit - min(limit, current)
}

func readNumber(path string) (uint64, bool) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	return n, err == nil // "max" is no number
}

func statistic(path, name string) uint64 {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			n, err := strconv.ParseUint(strings.TrimSpace(value), 10, 64)
			if err == nil {
				return n
			}
		}
	}
	return 0
}
