package runa

import (
	"context"
	"fmt"

	"runa/init/control"
)

// Logs is `runa logs`: what a service wrote.
type Logs struct {
	Service string `arg:"" help:"Name of the service, or gilgul for what starts and watches them."`
	Follow  bool   `short:"f" help:"Go on showing what comes; Ctrl-C ends it."`
	Lines   int    `short:"n" help:"How many of the last lines." default:"50"`
}

// Help adds what `runa logs --help` shows below the usage.
func (Logs) Help() string {
	return `Examples:
  runa logs splinfer
  runa logs -n 10 gilgul
  runa logs -f splinfer

Logs are in memory and start anew at each boot. What you and the model say is not in them.`
}

func (l Logs) run(ctx context.Context, e Environment) error {
	ctx, cancel := e.interruptible(ctx)
	defer cancel()
	client := control.NewClient(e.Control)
	err := client.Logs(ctx, l.Service, l.Lines, l.Follow, func(line control.LogLine) error {
		if line.Lost > 0 {
			fmt.Fprintf(e.Out, "(%d lines lost: the service wrote faster than they were kept)\n", line.Lost)
		}
		_, err := fmt.Fprintf(e.Out, "%s %s\n", clock(line.Time), printable(line.Text))
		return err
	})
	if l.Follow && interrupted(ctx) {
		return nil // the way to end -f
	}
	if err != nil {
		return fmt.Errorf("read the log of %s: %w", l.Service, err)
	}
	return nil
}
