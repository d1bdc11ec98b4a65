package runa

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"runa/services/hint"
	"runa/services/splinter"
)

// listener is the name under which splinfer answers on the bus; modelKey holds
// the default model's name and is set anew each time splinfer has become ready.
const (
	listener = "splinfer"
	modelKey = "service/splinfer/model"
)

// inference asks the inference service over the bus.
type inference struct {
	bus     *splinter.Bus
	now     func() time.Time
	trace   func() [16]byte
	message uint64 // the last message's id
}

// openInference opens the bus. Where gilgul runs and has not made it yet, because
// the machine has only just started, it waits for it.
func openInference(ctx context.Context, e Environment) (*inference, error) {
	bus, err := splinter.Open(e.Bus)
	if _, noGilgul := os.Stat(e.Control); errors.Is(err, fs.ErrNotExist) && noGilgul == nil {
		bounded, cancel := context.WithTimeout(ctx, e.Patience)
		defer cancel()
		e.waitingNote()()
		if awaitFile(bounded, e.Bus) == nil {
			bus, err = splinter.Open(e.Bus)
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = hint.New(err, "the bus is made by the service splinter: see `runa status` and `runa logs splinter`")
	}
	if err != nil {
		return nil, err
	}
	return &inference{bus: bus, now: e.Now, trace: e.Trace}, nil
}

// awaitFile sleeps until there is a file at path, in a folder that exists.
func awaitFile(ctx context.Context, path string) error {
	descriptor, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return fmt.Errorf("wait for %s: %w", path, err)
	}
	events := os.NewFile(uintptr(descriptor), "inotify")
	defer events.Close()
	defer context.AfterFunc(ctx, func() { events.SetReadDeadline(time.Unix(1, 0)) })()
	if _, err := unix.InotifyAddWatch(descriptor, filepath.Dir(path), unix.IN_CREATE|unix.IN_MOVED_TO); err != nil {
		return fmt.Errorf("wait for %s: %w", path, err)
	}
	buffer := make([]byte, 4096)
	for {
		if _, err := os.Stat(path); err == nil {
			return nil
		}
		if _, err := events.Read(buffer); err != nil {
			return fmt.Errorf("wait for %s: %w", path, err)
		}
	}
}

func (i *inference) Close() error { return i.bus.Close() }

// awaitModel waits until splinfer is ready and returns its default model's
// name, which is empty when no model can be used. It calls waiting once if it
// has to wait.
func (i *inference) awaitModel(ctx context.Context, patience time.Duration, waiting func()) (string, error) {
	connection, err := i.dial(ctx, patience, waiting)
	if err != nil {
		return "", err
	}
	connection.Close()
	name, _, err := i.bus.Get(modelKey)
	if errors.Is(err, splinter.ErrNotFound) {
		bounded, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		waiting()
		if name, _, err = i.bus.Wait(bounded, modelKey, 0); err != nil {
			return "", noAnswer(ctx, bounded, patience, err)
		}
	}
	if err != nil {
		return "", fmt.Errorf("read the model's name from the bus: %w", err)
	}
	return string(name), nil
}

// dial connects to splinfer. If it is not there (it is loading its model, or
// being restarted) dial sleeps until splinfer says that it is ready, at most for
// patience. The key's version is read before each try, so that no change
// between the try and the sleep is missed.
func (i *inference) dial(ctx context.Context, patience time.Duration, waiting func()) (*splinter.Conn, error) {
	bounded, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		_, version, err := i.bus.Get(modelKey)
		if err != nil && !errors.Is(err, splinter.ErrNotFound) {
			return nil, fmt.Errorf("read %s from the bus: %w", modelKey, err)
		}
		connection, err := i.bus.Dial(bounded, listener)
		if err == nil {
			return connection, nil
		}
		if errors.Is(err, splinter.ErrNoListener) {
			waiting()
			waiting = func() {}
			_, _, err = i.bus.Wait(bounded, modelKey, version)
		}
		if err != nil {
			return nil, noAnswer(ctx, bounded, patience, err)
		}
	}
}

// life is a number that is greater each time splinfer has become ready again.
func (i *inference) life() uint64 {
	_, version, _ := i.bus.Get(modelKey) // 0: it never was
	return version
}

// awaitLife sleeps until splinfer has become ready again since the life before,
// for a time: one that is being stopped may still be dialled and answers nothing.
func (i *inference) awaitLife(ctx context.Context, before uint64, most time.Duration) {
	bounded, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	_, _, _ = i.bus.Wait(bounded, modelKey, before)
}

// noAnswer says why there is no connection: ctx ended, or the part of it that
// is bounded by patience, or it cannot be made at all.
func noAnswer(ctx, bounded context.Context, patience time.Duration, err error) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case bounded.Err() != nil:
		return hint.New(fmt.Errorf("reach the model: no answer on the bus from %s within %v", listener, patience),
			"see `runa status` and `runa logs %s`", listener)
	}
	return fmt.Errorf("reach the model: %w", err)
}
