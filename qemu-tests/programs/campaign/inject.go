package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"runa/init/control"
)

// injection does the harm; undo, if there is one, takes it away again once it
// was detected.
type injection func(ctx context.Context, m *machine, f fault) (undo func() error, err error)

// badVersion is a program that gets ready and ends at once: faulty, built so.
const badVersion = "/bin/faulty-bad"

var injections = map[string]injection{
	"kill":             signalled(syscall.SIGKILL),
	"stop":             signalled(syscall.SIGSTOP),
	"segv":             ordered("segv"),
	"panic":            ordered("panic"),
	"exit":             ordered("exit"),
	"spin":             ordered("spin"),
	"hang":             ordered("hang"),
	"slow-heart-beat":  ordered("slow-heart-beat"),
	"leak":             ordered("leak"),
	"fork-bomb":        ordered("fork-bomb"),
	"open-descriptors": ordered("open-descriptors"),
	"data-full":        fillData,
	"corrupt-state":    corruptState,
	"never-ready":      atNextStart("never-ready"),
	"false-ready":      atNextStart("false-ready"),
	"bad-update":       update,
	"complaint":        complain,
}

// signalled sends a signal from outside, as the kernel or a person would.
func signalled(signal syscall.Signal) injection {
	return func(ctx context.Context, m *machine, f fault) (func() error, error) {
		s, err := m.service(ctx, f.target)
		if err != nil {
			return nil, err
		}
		if s.PID <= 1 {
			return nil, fmt.Errorf("%s has no process", f.target)
		}
		m.events.now()
		return nil, syscall.Kill(s.PID, signal)
	}
}

// ordered tells the service to harm itself.
func ordered(order string) injection {
	return func(_ context.Context, m *machine, f fault) (func() error, error) {
		m.events.now()
		return nil, m.order(f.target, order)
	}
}

func (m *machine) order(service, order string) error {
	return m.bus.Set("service/"+service+"/order", []byte(order))
}

// atNextStart makes the next life a bad one, and asks for it as a person would.
func atNextStart(harm string) injection {
	return func(ctx context.Context, m *machine, f fault) (func() error, error) {
		if err := m.bus.Set("service/"+f.target+"/next", []byte(harm)); err != nil {
			return nil, err
		}
		m.events.now()
		return nil, m.client.Service(ctx, f.target, control.Restart)
	}
}

// update installs a version that is bad.
func update(ctx context.Context, m *machine, f fault) (func() error, error) {
	m.events.now()
	return nil, m.client.Update(ctx, f.target, badVersion)
}

// complain lets a peer complain about a service that answers nobody any more.
func complain(_ context.Context, m *machine, f fault) (func() error, error) {
	if err := m.order(f.target, "deaf"); err != nil {
		return nil, err
	}
	m.events.now()
	return nil, m.order(f.helper, "complain "+f.target)
}

// corruptState writes into the service's state file while the service is
// stopped, as a fault of the disk would, and starts it. There is a snapshot of
// the good state by then, and none of the bad one: gilgul takes them only of
// services that run.
func corruptState(ctx context.Context, m *machine, f fault) (func() error, error) {
	if err := m.settle(ctx, "no snapshot", func(context.Context) error { return snapshotDone(snapshots, f.target) }); err != nil {
		return nil, err
	}
	if err := m.client.Service(ctx, f.target, control.Stop); err != nil {
		return nil, err
	}
	if err := m.settle(ctx, "not stopped", func(ctx context.Context) error { return m.stopped(ctx, f.target) }); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(filepath.Join("/data", f.target, "state"), os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	_, err = file.WriteAt([]byte{0xff, 0xfe}, 3)
	if err := errors.Join(err, file.Close()); err != nil {
		return nil, err
	}
	m.events.now()
	return nil, m.client.Service(ctx, f.target, control.Start)
}

// snapshots is where gilgul keeps them, in a folder for each service; a name
// that begins with a dot stands for one that is not finished.
const snapshots = "/data/gilgul/snapshots"

// snapshotDone is an error unless there is a snapshot and none is being taken.
func snapshotDone(root, service string) error {
	entries, err := os.ReadDir(filepath.Join(root, service))
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		return fmt.Errorf("there is no snapshot of %s", service)
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") {
			return fmt.Errorf("a snapshot of %s is being taken", service)
		}
	}
	return nil
}

func (m *machine) stopped(ctx context.Context, service string) error {
	s, err := m.service(ctx, service)
	if err == nil && (s.State != "defined" || s.PID != 0) {
		err = fmt.Errorf("%s is %s", service, s.State)
	}
	return err
}

// fill is what takes the place on /data.
const fill = "/data/owner/fill"

// fillData leaves no byte on /data until the service has said that it suffers.
// What others free in the meantime is taken too.
func fillData(ctx context.Context, m *machine, f fault) (func() error, error) {
	filling, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	undo := func() error {
		stop()
		return errors.Join(<-ended, os.Remove(fill))
	}
	if err := takeAll(fill); err != nil {
		stop()
		return nil, errors.Join(err, os.Remove(fill))
	}
	go func() { ended <- keepFull(filling) }()
	m.events.now()
	return undo, m.order(f.target, "save")
}

func keepFull(ctx context.Context) error {
	for {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
		if err := takeAll(fill); err != nil {
			return err
		}
	}
}

// takeAll lets a file grow over all the free space of its file system.
func takeAll(path string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(file.Fd()), &fs); err != nil {
		return err
	}
	at, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	for piece := int64(fs.Bfree) * fs.Bsize; piece >= fs.Bsize; {
		switch err := unix.Fallocate(int(file.Fd()), 0, at, piece); {
		case err == nil:
			at += piece
		case errors.Is(err, unix.ENOSPC):
			piece = piece / 2 / fs.Bsize * fs.Bsize
		case errors.Is(err, unix.EINTR):
		default:
			return fmt.Errorf("take %d bytes: %w", piece, err)
		}
	}
	return nil
}
