package command

import (
	"fmt"
	"text/tabwriter"

	"runa/services/splinter"
)

type infoCommand struct{}

func (c *infoCommand) Help() string {
	return `Figures are since the bus was made, of all processes together.

Examples:
  splinter info`
}

func (c *infoCommand) Run(e environment) error {
	return e.withBus(func(b *splinter.Bus) error {
		info, err := b.Info()
		if err != nil {
			return err
		}
		report, err := b.Check()
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(e.Out, 0, 0, 2, ' ', 0)
		n := info.Counters
		fmt.Fprintf(w, "bus\t%s, %.1f MiB\n", info.Path, float64(info.Bytes)/(1<<20))
		fmt.Fprintf(w, "keys\t%d of %d, values to %d bytes\n", info.Keys, info.Slots, info.ValueMax)
		fmt.Fprintf(w, "heap\t%d of %d KiB in %d blocks\n", report.HeapUsed>>10, report.HeapSize>>10, report.Blocks)
		fmt.Fprintf(w, "store\t%d sets, %d gets, %d misses, %d unsets, %d retries\n", n.Sets, n.Gets, n.Misses, n.Unsets, n.Retries)
		fmt.Fprintf(w, "connections\t%d of %d, %d KiB each way\n", info.OpenConnections, info.Connections, info.RingSize>>10)
		fmt.Fprintf(w, "frames\t%d sent, %d bytes, %d dropped\n", n.Frames, n.Bytes, n.Drops)
		fmt.Fprintf(w, "repairs\t%d after dead processes\n", n.Repairs)
		for _, l := range info.Endpoints {
			state := "listening"
			if !l.Alive {
				state = "dead"
			}
			fmt.Fprintf(w, "name\t%s: process %d, %s\n", printable(l.Name), l.PID, state)
		}
		return w.Flush()
	})
}
