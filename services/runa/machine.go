package runa

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"runa/init/control"
)

// Service is the argument of start, stop and restart.
type Service struct {
	Service string `arg:"" help:"Name of the service; runa status lists them."`
}

// Start is `runa start`.
type Start struct{ Service }

// Stop is `runa stop`.
type Stop struct{ Service }

// Restart is `runa restart`.
type Restart struct{ Service }

// Help adds what `runa start --help` shows below the usage.
func (Start) Help() string { return "Examples:\n  runa start splinfer" }

// Help adds what `runa stop --help` shows below the usage.
func (Stop) Help() string {
	return "Examples:\n  runa stop splinfer\n\nIt stays stopped until you start it or the machine boots again."
}

// Help adds what `runa restart --help` shows below the usage.
func (Restart) Help() string { return "Examples:\n  runa restart splinfer" }

func (s Start) run(ctx context.Context, e Environment) error { return s.change(ctx, e, control.Start) }

func (s Stop) run(ctx context.Context, e Environment) error { return s.change(ctx, e, control.Stop) }

func (s Restart) run(ctx context.Context, e Environment) error {
	return s.change(ctx, e, control.Restart)
}

func (s Service) change(ctx context.Context, e Environment, action string) error {
	ctx, cancel := e.interruptible(ctx)
	defer cancel()
	if err := control.NewClient(e.Control).Service(ctx, s.Service, action); err != nil {
		return fmt.Errorf("%s %s: %w", action, s.Service, err)
	}
	fmt.Fprintf(e.Out, "%s: %s asked for; `runa status` shows how it goes\n", s.Service, action)
	return nil
}

// PowerOff is `runa poweroff`.
type PowerOff struct{}

// Reboot is `runa reboot`.
type Reboot struct{}

// Help adds what `runa poweroff --help` shows below the usage.
func (PowerOff) Help() string {
	return "Examples:\n  runa poweroff\n\nServices are stopped in order and /data is written out first."
}

// Help adds what `runa reboot --help` shows below the usage.
func (Reboot) Help() string {
	return "Examples:\n  runa reboot\n\nServices are stopped in order and /data is written out first."
}

func (PowerOff) run(ctx context.Context, e Environment) error {
	return e.power(ctx, control.PowerOff, "powering off")
}

func (Reboot) run(ctx context.Context, e Environment) error {
	return e.power(ctx, control.Reboot, "rebooting")
}

// power asks for the machine's end and then waits for it, so that no prompt
// appears in between. Ctrl-C gives the prompt back; the end still comes.
func (e Environment) power(ctx context.Context, action, saying string) error {
	ctx, cancel := e.interruptible(ctx)
	defer cancel()
	if err := control.NewClient(e.Control).Power(ctx, action); err != nil {
		return fmt.Errorf("%s: %w", saying, err)
	}
	fmt.Fprintln(e.Out, saying)
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(answersEvery):
		}
		// A user's gilgul ends and leaves the machine to others.
		if _, err := os.Stat(e.Control); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
	}
}

// answersEvery is how often is looked whether gilgul is still there.
const answersEvery = 200 * time.Millisecond
