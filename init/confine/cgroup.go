package confine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"runa/init/manifest"
)

// This file writes the cgroup v2 files itself (their formats: the kernel's
// Documentation/admin-guide/cgroup-v2.rst). containerd/cgroups would bring
// D-Bus, eBPF and protobuf into PID 1 and retries removal on a timer; gilgul
// needs eight files, and a wait that the kernel ends.

// cpuPeriod is the period of cpu.max in microseconds.
const cpuPeriod = 100_000

// Slice is the cgroup that all services share.
type Slice struct {
	path        string
	controllers []string // those its children have
	missing     []string
}

// Cgroup is the cgroup of one service's life.
type Cgroup struct {
	path  string
	slice *Slice
}

// Share is what all services together may take of a machine with so many bytes
// of memory and processors: 80 %, so that the console always answers.
func Share(memory uint64, processors int) manifest.Limits {
	return manifest.Limits{MemoryMax: memory / 5 * 4, CPU: 80 * processors, PIDs: 4096}
}

// OpenSlice makes the cgroup dir (such as /sys/fs/cgroup/runa) in a mounted
// cgroup v2 hierarchy, with limits for all services together. Controllers that
// the kernel does not offer are left out and told by Missing. Cgroups left by an
// earlier gilgul are emptied and removed.
func OpenSlice(ctx context.Context, dir string, limits manifest.Limits) (*Slice, error) {
	s := &Slice{path: dir}
	parent := filepath.Dir(dir)
	var fs unix.Statfs_t
	if err := unix.Statfs(parent, &fs); err != nil {
		return nil, fmt.Errorf("open the cgroup folder %s: %w", parent, err)
	}
	if fs.Type != unix.CGROUP2_SUPER_MAGIC {
		return nil, fmt.Errorf("open the cgroup folder %s: not a cgroup v2 file system", parent)
	}
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("make the cgroup of all services: %w", err)
	}
	for _, controller := range []string{"memory", "cpu", "pids", "io"} {
		enable := []byte("+" + controller)
		if write(parent, "cgroup.subtree_control", enable) != nil || write(dir, "cgroup.subtree_control", enable) != nil {
			s.missing = append(s.missing, controller)
			continue
		}
		s.controllers = append(s.controllers, controller)
	}
	if err := s.limit(dir, limits); err != nil {
		return nil, fmt.Errorf("limit all services together: %w", err)
	}
	return s, s.removeOld(ctx)
}

// Missing lists the controllers that could not be had, so that their limits
// are not in force.
func (s *Slice) Missing() []string { return s.missing }

func (s *Slice) removeOld(ctx context.Context) error {
	entries, err := os.ReadDir(s.path)
	if err != nil {
		return fmt.Errorf("list old cgroups: %w", err)
	}
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		if err := (&Cgroup{filepath.Join(s.path, entry.Name()), s}).End(ctx); err != nil {
			return err
		}
	}
	return nil
}

// New makes an empty cgroup for a service. One of that name left from an
// earlier life is ended first.
func (s *Slice) New(ctx context.Context, name string, limits manifest.Limits) (*Cgroup, error) {
	c := &Cgroup{filepath.Join(s.path, name), s}
	err := os.Mkdir(c.path, 0o755)
	if errors.Is(err, os.ErrExist) {
		if err := c.End(ctx); err != nil {
			return nil, err
		}
		err = os.Mkdir(c.path, 0o755)
	}
	if err != nil {
		return nil, fmt.Errorf("make its cgroup: %w", err)
	}
	if err := s.limit(c.path, limits); err != nil {
		os.Remove(c.path)
		return nil, err
	}
	if s.has("memory") {
		// The kernel then kills all of a service or nothing of it.
		if err := write(c.path, "memory.oom.group", []byte("1")); err != nil {
			os.Remove(c.path)
			return nil, fmt.Errorf("group its processes for the out-of-memory killer: %w", err)
		}
	}
	return c, nil
}

func (s *Slice) has(controller string) bool { return slices.Contains(s.controllers, controller) }

// limit writes the limits that the controllers at hand can keep.
func (s *Slice) limit(dir string, l manifest.Limits) error {
	for _, f := range limitFiles(l) {
		controller, _, _ := strings.Cut(f.name, ".")
		if !s.has(controller) {
			continue
		}
		err := write(dir, f.name, []byte(f.value))
		if controller == "io" && errors.Is(err, os.ErrNotExist) {
			continue // weights also need a disk scheduler that knows them
		}
		if err != nil {
			return fmt.Errorf("set its limit %s to %q: %w", f.name, f.value, err)
		}
	}
	return nil
}

type limitFile struct{ name, value string }

func limitFiles(l manifest.Limits) []limitFile {
	var files []limitFile
	add := func(set bool, name, format string, args ...any) {
		if set {
			files = append(files, limitFile{name, fmt.Sprintf(format, args...)})
		}
	}
	add(l.MemoryHigh > 0, "memory.high", "%d", l.MemoryHigh)
	add(l.MemoryMax > 0, "memory.max", "%d", l.MemoryMax)
	add(l.CPU > 0, "cpu.max", "%d %d", l.CPU*cpuPeriod/100, cpuPeriod)
	add(l.PIDs > 0, "pids.max", "%d", l.PIDs)
	add(l.IOWeight > 0, "io.weight", "default %d", l.IOWeight)
	return files
}

// Kill ends every process in the cgroup; it does not wait.
func (c *Cgroup) Kill() error {
	if err := write(c.path, "cgroup.kill", []byte("1")); err != nil && !gone(err) {
		return fmt.Errorf("kill all of its processes: %w", err)
	}
	return nil
}

// End kills what is left in the cgroup, waits until the kernel says that it is
// empty, and removes it. If the context ends first (processes stuck in the
// kernel cannot be killed) the cgroup stays and the error says so.
func (c *Cgroup) End(ctx context.Context) error {
	events, err := os.Open(filepath.Join(c.path, "cgroup.events"))
	if err != nil {
		if gone(err) {
			return nil
		}
		return fmt.Errorf("look into its cgroup: %w", err)
	}
	defer events.Close()
	if populated(events) {
		if err := c.Kill(); err != nil {
			return err
		}
		if err := waitEmpty(ctx, events); err != nil {
			return fmt.Errorf("processes %s cannot be killed: %w", strings.Join(c.pids(), ", "), err)
		}
	}
	if err := os.Remove(c.path); err != nil && !gone(err) {
		return fmt.Errorf("remove its cgroup: %w", err)
	}
	return nil
}

// waitEmpty sleeps until cgroup.events says populated 0: the kernel wakes a
// poll for priority data at each change. The wait is cut in slices only to see
// the context end.
func waitEmpty(ctx context.Context, events *os.File) error {
	const slice = 100 * time.Millisecond
	for populated(events) {
		if err := ctx.Err(); err != nil {
			return err
		}
		fds := []unix.PollFd{{Fd: int32(events.Fd()), Events: unix.POLLPRI}}
		if _, err := unix.Poll(fds, int(slice.Milliseconds())); err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait for its cgroup: %w", err)
		}
	}
	return nil
}

func populated(events *os.File) bool {
	var text [256]byte
	n, _ := events.ReadAt(text[:], 0)
	return bytes.Contains(text[:n], []byte("populated 1"))
}

func (c *Cgroup) pids() []string {
	text, _ := os.ReadFile(filepath.Join(c.path, "cgroup.procs"))
	return strings.Fields(string(text))
}

// Memory is what the cgroup uses now, in bytes; 0 if that is not known.
func (c *Cgroup) Memory() uint64 {
	text, _ := os.ReadFile(filepath.Join(c.path, "memory.current"))
	value, _ := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	return value
}

// OutOfMemory says whether the kernel killed processes of the cgroup because
// it was at its limit.
func (c *Cgroup) OutOfMemory() bool {
	text, _ := os.ReadFile(filepath.Join(c.path, "memory.events"))
	for line := range strings.Lines(string(text)) {
		if name, count, _ := strings.Cut(strings.TrimSpace(line), " "); name == "oom_kill" {
			return count != "0"
		}
	}
	return false
}

// write writes a cgroup file in one piece, as the kernel wants it; it never
// makes a file.
func write(dir, name string, value []byte) error {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(value)
	return errors.Join(err, f.Close())
}

func gone(err error) bool { return errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENODEV) }
