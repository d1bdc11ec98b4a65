package command

import (
	"fmt"
	"time"

	"runa/services/hint"
	"runa/services/splinter"
)

type checkCommand struct {
	Repair bool `help:"Get back what processes left that died, and remove keys that are damaged."`
}

func (c *checkCommand) Help() string {
	return `Looks over the whole bus: is space lost or used twice, does a dead process hold a
lock, is a record damaged. It changes nothing without --repair; what the dead
leave is also got back by whoever next needs it. Others may go on working.

Examples:
  splinter check
  splinter check --repair`
}

func (c *checkCommand) Run(e environment) error {
	return e.withBus(func(b *splinter.Bus) error {
		begin := time.Now()
		look := b.Check
		if c.Repair {
			look = b.Repair
		}
		r, err := look()
		if err != nil {
			return err
		}
		fmt.Fprintf(e.Out, "%d keys; %d blocks take %d of %d KiB\n", r.Keys, r.Blocks, r.HeapUsed>>10, r.HeapSize>>10)
		for _, p := range r.Problems {
			fmt.Fprintln(e.Out, printable(p))
		}
		if !r.Clean() {
			what := "splinter check --repair gets back what the dead left"
			if c.Repair {
				what = "stop everything that uses the bus, remove the file and start the splinter service"
			}
			return hint.New(fmt.Errorf("check %s: leaked %d blocks and %d slots, %d used twice, %d stuck locks, %d damaged records",
				e.bus, r.Leaked, r.LeakedSlots, r.DoublyUsed, r.StuckLocks, r.Torn), "%s", what)
		}
		fmt.Fprintf(e.Out, "clean, looked over in %v\n", time.Since(begin).Round(time.Microsecond))
		return nil
	})
}
