// Command splinter serves, shows and times Runa's bus.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"runa/services/hint"
	"runa/services/splinter/command"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := command.Main(ctx); err != nil {
		hint.Print(os.Stderr, err)
		os.Exit(1)
	}
}
