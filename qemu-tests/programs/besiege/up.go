package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
)

// look is how often the interface is looked at: far less than what is measured.
const look = 100 * time.Microsecond

// bringUp brings an interface up and measures how long it stays so.
func bringUp(ctx context.Context, name string, times int, out io.Writer) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find %s: %w", name, err)
	}
	var took []time.Duration
	for range times {
		began := time.Now()
		if err := netlink.LinkSetUp(link); err != nil {
			return fmt.Errorf("bring %s up: %w", name, err)
		}
		if err := awaitDown(ctx, name); err != nil {
			return err
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	at := func(p int) float64 { return took[max(0, (len(took)*p+99)/100-1)].Seconds() * 1000 }
	fmt.Fprintf(out, "%s was up %d times, for p50 %.2f ms, p99 %.2f ms, longest %.2f ms\n", name, times, at(50), at(99), at(100))
	return nil
}

// awaitDown waits until the interface is down.
func awaitDown(ctx context.Context, name string) error {
	for {
		card, err := net.InterfaceByName(name)
		if err != nil {
			return err
		}
		if card.Flags&net.FlagUp == 0 {
			return nil
		}
		select {
		case <-time.After(look):
		case <-ctx.Done():
			return fmt.Errorf("%s stays up: %w", name, ctx.Err())
		}
	}
}
