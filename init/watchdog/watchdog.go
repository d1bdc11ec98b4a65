// Package watchdog arms the timer that resets a machine whose PID 1 no longer
// works, and feeds it. It owns /dev/watchdog*, of which it takes one: hardware
// before the kernel's own software timer, which can't help when the kernel
// hangs.
//
//	dog, err := watchdog.Open(watchdog.System(log)) // armed from here on
//	go dog.Run(ctx, alive)                          // fed while alive() says so
//	dog.Close()                                     // disarmed: the orderly end
//
// It must never keep a machine from booting: a missing or odd device is an
// error to log, never to wait for. It must never feed because of its own
// liveliness alone: that is what alive is for. And it must never disarm but by
// Close, for a gilgul that lost its way must not leave the machine unwatched.
package watchdog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"

	"runa/init/contain"
)

// ErrNone: the machine has no watchdog that can be used.
var ErrNone = errors.New("the machine has no watchdog")

// Options say where devices are and how long the machine may be without life.
type Options struct {
	Dev     string        // /dev
	Class   string        // /sys/class/watchdog
	Timeout time.Duration // until the reset; the hardware may only know less
	Log     hclog.Logger

	ioctls ioctls
}

// System is this machine's.
func System(log hclog.Logger) Options {
	return Options{Dev: "/dev", Class: "/sys/class/watchdog", Timeout: time.Minute, Log: log, ioctls: kernel{}}
}

// Watchdog is a timer that runs. Its methods may be called from any goroutine.
type Watchdog struct {
	log     hclog.Logger
	timeout time.Duration
	starve  bool // only in Run

	mu     sync.Mutex
	device *device // nil once closed
}

// Open takes the best watchdog there is and arms it. ErrNone is no fault.
func Open(o Options) (*Watchdog, error) {
	d, err := choose(o)
	if err != nil {
		return nil, err
	}
	w := &Watchdog{log: o.Log, device: d}
	w.timeout = d.arm(o.Timeout)
	o.Log.Info("a watchdog resets this machine when gilgul no longer works",
		"device", d.path, "identity", d.identity, "software", d.software(), "timeout", w.timeout, "fed-each", w.Period())
	if d.causedReset() {
		o.Log.Error("the watchdog had reset this machine before it started", "device", d.path)
	}
	return w, nil
}

// Timeout is after how long without food the machine is reset.
func (w *Watchdog) Timeout() time.Duration { return w.timeout }

// Period is how often it is fed: two meals may be missed.
func (w *Watchdog) Period() time.Duration { return w.timeout / 3 }

// Run feeds it while alive says so, until ctx is done or it is closed. When ctx
// is done it stays armed. An alive that panics or doesn't answer feeds nothing.
func (w *Watchdog) Run(ctx context.Context, alive func() bool) {
	ticker := time.NewTicker(w.Period())
	defer ticker.Stop()
	for ctx.Err() == nil {
		if !w.turn(alive) {
			return
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
}

// turn feeds it once if that is right; false: it is closed.
func (w *Watchdog) turn(alive func() bool) (open bool) {
	lives := false
	err := contain.Call("ask whether the machine is alive", func() error { lives = alive(); return nil })
	if lives == w.starve { // it changed
		w.starve = !lives
		if w.starve {
			w.log.Error("the watchdog is not fed: the machine is reset unless it recovers", "within", w.timeout, "reason", err)
		} else {
			w.log.Warn("the watchdog is fed again")
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.device == nil {
		return false
	}
	if lives {
		if err := w.device.feed(); err != nil {
			w.log.Error("feed the watchdog", "device", w.device.path, "reason", err)
		}
	}
	return true
}

// Close disarms it, if the hardware lets itself be disarmed, for the orderly end
// of the machine. It may be called more than once, and of a nil Watchdog.
func (w *Watchdog) Close() error {
	if w == nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.device == nil {
		return nil
	}
	d := w.device
	w.device = nil
	if d.options&unix.WDIOF_MAGICCLOSE == 0 {
		w.log.Warn("the watchdog can't be disarmed: the machine must end in time", "device", d.path, "timeout", w.timeout)
	}
	if err := d.release(); err != nil {
		return fmt.Errorf("disarm the watchdog %s: %w", d.path, err)
	}
	return nil
}
