// Command campaign runs in a booted machine as root and hurts its services, one
// fault after another, chosen by a seed. After each it waits until the machine
// has healed and looks whether anything was lost on the way (invariants.go). It
// stops at the first thing that was, says what, and ends with status 1; else it
// prints a table of how each kind of fault was detected and how fast.
//
// It must hurt only what the plan names, and never gilgul: PID 1 has a test of
// its own.
//
//	campaign [--faults 300] [--seed 1] faulty-a faulty-b ...
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"time"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stdout, "campaign: FAILED:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("campaign", flag.ContinueOnError)
	faults := flags.Int("faults", 300, "how many")
	seed := flags.Uint64("seed", 1, "which")
	patience := flags.Duration("patience", 2*time.Minute, "how long the machine may take to heal before that is a failure")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() < 2 {
		return fmt.Errorf("name at least two services that obey, not %d", flags.NArg())
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	m, err := openMachine(ctx, flags.Args(), *patience)
	if err != nil {
		return err
	}
	defer m.close()
	plan := makePlan(*seed, *faults, flags.Args(), []string{"splinter", "splinfer"})
	var results table
	for i, f := range plan {
		result, err := m.hurt(ctx, f)
		if err != nil {
			results.print(out)
			m.tell(ctx, out)
			return fmt.Errorf("fault %d/%d of seed %d: %s on %s: %w", i+1, len(plan), *seed, f.kind, f.target, err)
		}
		results.add(result)
		fmt.Fprintf(out, "fault %d/%d: %s\n", i+1, len(plan), result)
	}
	results.print(out)
	fmt.Fprintf(out, "campaign: %d faults, everything healed, nothing lost\n", len(plan))
	return nil
}
