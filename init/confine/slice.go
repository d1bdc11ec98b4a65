package confine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"runa/init/contain"
	"runa/init/manifest"
)

// This file and cgroup.go write the cgroup v2 files themselves (their formats:
// the kernel's Documentation/admin-guide/cgroup-v2.rst). containerd/cgroups
// would bring D-Bus, eBPF and protobuf into PID 1 and retries removal on a
// timer; gilgul needs eight files, and a wait that the kernel ends.

// cpuPeriod is the period of cpu.max in microseconds.
const cpuPeriod = 100_000

// Slice is the cgroup that all services share.
type Slice struct {
	path        string
	controllers []string // those its children have
	missing     []string
	lives       atomic.Uint64
	ending      sync.WaitGroup // cgroups that are ended in the background
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

// Path is the slice's folder.
func (s *Slice) Path() string { return s.path }

func (s *Slice) removeOld(ctx context.Context) error {
	entries, err := os.ReadDir(s.path)
	if err != nil {
		return fmt.Errorf("list old cgroups: %w", err)
	}
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		if err := (&Cgroup{slice: s, path: filepath.Join(s.path, entry.Name())}).End(ctx); err != nil {
			return err
		}
	}
	return nil
}

// New returns the cgroup for one life of a service. It is made when the first
// process starts in it; each life has one of its own, so that nobody waits for
// the kernel to end the one before.
func (s *Slice) New(service string, limits manifest.Limits) *Cgroup {
	return &Cgroup{slice: s, name: service, limits: limits}
}

// Wait waits until the cgroups that are ended in the background are gone, or
// the context ends.
func (s *Slice) Wait(ctx context.Context) error {
	done := make(chan struct{})
	contain.Go("wait for the end of cgroups", func() { s.ending.Wait(); close(done) })
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the end of cgroups: %w", ctx.Err())
	}
}

// folder makes an empty cgroup and returns its path. Whatever is killed for
// want of memory in it takes all of it along.
func (s *Slice) folder(name string) (string, error) {
	path := filepath.Join(s.path, fmt.Sprintf("%s.%d", name, s.lives.Add(1)))
	if err := os.Mkdir(path, 0o755); err != nil {
		return "", fmt.Errorf("make its cgroup: %w", err)
	}
	if s.has("memory") {
		if err := write(path, "memory.oom.group", []byte("1")); err != nil {
			os.Remove(path)
			return "", fmt.Errorf("group its processes for the out-of-memory killer: %w", err)
		}
	}
	return path, nil
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
