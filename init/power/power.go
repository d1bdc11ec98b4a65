// Package power knows when the machine shall end and ends it: it listens to
// the power button, to ctrl-alt-del and to the signals PID 1 may get, and it
// carries out the last steps in their order. It decides nothing about
// services: stopping them is one of the steps it is given.
package power

import (
	"context"
	"fmt"
	"io"
	"time"

	"runa/init/contain"
)

// Action is how the machine shall end.
type Action string

// The two ways to end.
const (
	Off    Action = "off"
	Reboot Action = "reboot"
)

// Request asks for the end.
type Request struct {
	Action Action
	Reason string // what asked for it, for the console and the log
}

// Steps is what ending consists of. Each may fail without keeping the next
// from being done.
type Steps struct {
	// StopServices stops every service, in the reverse order of their needs.
	StopServices func(ctx context.Context) error
	// KillRest ends every other process but this one.
	KillRest func(ctx context.Context) error
	// CloseData unmounts /data; nil when it isn't mounted.
	CloseData func() error
	// Sync writes everything to the disks.
	Sync func()
	// End ends the machine; it returns only when the kernel refused.
	End func(Action) error
}

// Bounds on how long steps may take; a machine that doesn't end is worse than
// a program that lost the time to say goodbye.
const (
	servicesBound = 60 * time.Second
	killBound     = 5 * time.Second
)

// Down carries out the steps and tells a person on console what is done.
func Down(r Request, s Steps, console io.Writer) error {
	say := func(format string, args ...any) { fmt.Fprintf(console, format+"\r\n", args...) }
	word := "Powering off"
	if r.Action == Reboot {
		word = "Starting again"
	}
	say("\r\n%s: %s.", word, r.Reason)
	say("  stopping the services")
	bounded(servicesBound, s.StopServices, func(err error) { say("  services: %v", err) })
	say("  ending the other programs")
	bounded(killBound, s.KillRest, func(err error) { say("  programs: %v", err) })
	s.Sync()
	if s.CloseData != nil {
		if err := s.CloseData(); err != nil {
			say("  data: %v", err)
		} else {
			say("  data is safe on the disk")
		}
	}
	s.Sync()
	say("Good-bye.")
	return s.End(r.Action)
}

func bounded(d time.Duration, step func(context.Context) error, failed func(error)) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	done := make(chan error, 1)
	contain.Go("end the machine", func() {
		done <- contain.Call("end the machine", func() error { return step(ctx) })
	})
	select {
	case err := <-done:
		if err != nil {
			failed(err)
		}
	case <-ctx.Done():
		failed(fmt.Errorf("not done within %v", d))
	}
}
