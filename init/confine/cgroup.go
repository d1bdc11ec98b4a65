package confine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"runa/init/contain"
	"runa/init/manifest"
)

// Cgroup is the cgroup of one life of a service.
type Cgroup struct {
	slice  *Slice
	name   string
	limits manifest.Limits

	mu       sync.Mutex
	path     string // "" until the first process starts in it
	counters *counterFiles
}

// endPatience is how long the kernel may take to end what is killed in the
// background; endPause is between tries while there are no descriptors to see it.
const (
	endPatience = 30 * time.Second
	endPause    = 50 * time.Millisecond
)

// Path is its folder; "" as long as no process was started in it.
func (c *Cgroup) Path() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.path
}

// make makes the folder if there is none yet.
func (c *Cgroup) make() (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.path != "" {
		return c.path, nil
	}
	path, err := c.slice.folder(c.name)
	if err != nil {
		return "", err
	}
	if err := c.slice.limit(path, c.limits); err != nil {
		os.Remove(path)
		return "", err
	}
	c.path = path
	return path, nil
}

// fresh says whether no process was started in it yet and it belongs to slice.
func (c *Cgroup) fresh(slice *Slice) bool { return c.slice == slice && c.Path() == "" }

// adopt takes over a folder of its slice in which a process waits ahead.
func (c *Cgroup) adopt(slice *Slice, path string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.path != "" || c.slice != slice {
		return errors.New("start two processes at once in a new cgroup")
	}
	if err := slice.limit(path, c.limits); err != nil {
		return err
	}
	c.path = path
	return nil
}

// Kill ends every process in the cgroup; it does not wait.
func (c *Cgroup) Kill() error {
	path := c.Path()
	if path == "" {
		return nil
	}
	if err := write(path, "cgroup.kill", []byte("1")); err != nil && !gone(err) {
		return fmt.Errorf("kill all of its processes: %w", err)
	}
	return nil
}

// EndLater is End in the background, with thirty seconds of patience also while
// there are no descriptors; done, if it is not nil, is told how it went.
func (c *Cgroup) EndLater(done func(error)) {
	c.slice.ending.Add(1)
	contain.Go("end a cgroup", func() {
		defer c.slice.ending.Done()
		ctx, cancel := context.WithTimeout(context.Background(), endPatience)
		defer cancel()
		err := c.End(ctx)
		for Exhausted(err) && ctx.Err() == nil {
			time.Sleep(endPause)
			err = c.End(ctx)
		}
		if done != nil {
			done(err)
		}
	})
}

// End kills what is left in the cgroup, waits until the kernel says that it is
// empty, and removes it. If the context ends first (processes stuck in the
// kernel cannot be killed) the cgroup stays and the error says so.
func (c *Cgroup) End(ctx context.Context) error {
	path := c.Path()
	if path == "" {
		return nil
	}
	c.closeCounters()
	if err := os.Remove(path); err == nil || gone(err) {
		return nil // an empty one takes no descriptor
	}
	events, err := os.Open(filepath.Join(path, "cgroup.events"))
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
			return fmt.Errorf("processes %s cannot be killed: %w", strings.Join(pidsIn(path), ", "), err)
		}
	}
	if err := os.Remove(path); err != nil && !gone(err) {
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

// Exhausted says whether an error means that there are no descriptors left, in
// this process or in the kernel.
func Exhausted(err error) bool { return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) }

func populated(events *os.File) bool {
	var text [256]byte
	n, _ := events.ReadAt(text[:], 0)
	return bytes.Contains(text[:n], []byte("populated 1"))
}

func pidsIn(path string) []string {
	text, _ := os.ReadFile(filepath.Join(path, "cgroup.procs"))
	return strings.Fields(string(text))
}
