// Command faulty is the service that the fault campaign hurts. Left alone it
// works: it counts on the bus, acknowledges each count in its data folder and
// beats from that work. On an order that stands on the bus it does itself one
// harm that services do themselves: it hangs, spins, leaks, forks without end,
// lies about being ready, and so on (harms.go).
//
// What it has acknowledged it must have done before, so that the campaign can
// tell a lost write. It must never harm anything outside of its own group.
//
//	faulty serve [--forks N]   the service; N bounds the fork bomb, for tests on a host
//	faulty probe               ends with status 0 if the service of this user works
//
// Keys on the bus: service/NAME/order holds what to do now, service/NAME/next
// what to do at the next start (once), service/NAME/work the count.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"runa/services/supervised"
)

// born is set by the linker in a build that stands for a bad new version: what
// it does itself at every start, in place of what stands under next.
var born string

func main() {
	// A service that is asked to end has nothing to tidy up.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Getenv)
	switch {
	case errors.Is(err, errCorrupt):
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(supervised.ExitCorruptState)
	case err != nil:
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, env func(string) string) error {
	flags := flag.NewFlagSet("faulty", flag.ContinueOnError)
	forks := flags.Int("forks", 0, "how often each process of the fork bomb forks; 0: without end")
	if len(args) == 0 {
		return errors.New("say serve or probe")
	}
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	s, err := open(env)
	if err != nil {
		return err
	}
	defer s.bus.Close()
	switch args[0] {
	case "serve":
		return s.serve(ctx, *forks)
	case "probe":
		return s.probe(ctx)
	}
	return fmt.Errorf("%q: say serve or probe", args[0])
}
