// Command besiege runs in a booted machine as root and does to gilgul itself
// what nothing on it may survive: it brings up interfaces that nobody consented
// to, crowds the control socket, and asks for the faults that gilgul does itself
// when the kernel's command line says gilgul.faults=1. It must never judge; the
// tests that type its commands do.
//
//	besiege up IFACE TIMES   brings the interface up so often, prints how long it stayed up
//	besiege ping ADDRESS     sends one ICMP echo and prints how long the answer took
//	besiege crowd CLIENTS    opens so many clients of the control socket and holds them
//	besiege fault NAME       has gilgul do a fault of its own
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("say up IFACE TIMES, ping ADDRESS, crowd CLIENTS or fault NAME")

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) < 2 {
		return errUsage
	}
	number := 1
	if last := args[len(args)-1]; args[0] == "up" || args[0] == "crowd" {
		var err error
		if number, err = strconv.Atoi(last); err != nil || number < 1 {
			return fmt.Errorf("%q is no number of times: %w", last, errUsage)
		}
	}
	switch args[0] {
	case "up":
		return bringUp(ctx, args[1], number, out)
	case "ping":
		return ping(ctx, args[1], out)
	case "crowd":
		return crowd(ctx, number, out)
	case "fault":
		return fault(ctx, args[1])
	}
	return errUsage
}
