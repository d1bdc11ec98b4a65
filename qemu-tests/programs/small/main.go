// Command small is a small service of the kind that supervisors are measured
// with: it says that it is ready and waits to be ended. It says so to gilgul, if
// that has started it, and then in the pipe "alive" in its working folder, which
// is what the benchmark reads of all supervisors alike.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"runa/services/supervised"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run() error {
	told, err := supervised.FromEnvironment(os.Getenv)
	if err != nil {
		return err
	}
	if err := told.Ready(); err != nil {
		return err
	}
	alive, err := os.OpenFile("alive", os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(alive, os.Getpid()); err != nil {
		return err
	}
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	<-end
	return nil
}
