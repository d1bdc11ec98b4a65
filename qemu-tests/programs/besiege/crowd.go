package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"runa/init/control"
)

// manners are the ways in which clients of a crowd behave: they say nothing, do
// not finish, ask for what never ends, ask what is answered, or talk nonsense.
var manners = []string{
	"",
	"GET /v1/status HTTP/1.1\r\nHost: gilgul\r\n",
	"GET /v1/events?follow=true HTTP/1.1\r\nHost: gilgul\r\n\r\n",
	"GET /v1/logs?follow=true&lines=1000 HTTP/1.1\r\nHost: gilgul\r\n\r\n",
	"GET /v1/status HTTP/1.1\r\nHost: gilgul\r\n\r\n",
	"\x00\xff\x00 garbage \r\n\r\n",
}

// between is how long a client that was sent away waits before it comes again.
const between = 100 * time.Millisecond

func socket() string { return cmp.Or(os.Getenv("RUNA_CONTROL"), control.DefaultPath) }

// crowd keeps so many clients at the control socket until ctx ends: one that is
// sent away comes again, so the crowd gets no smaller.
func crowd(ctx context.Context, clients int, out io.Writer) error {
	var there, all sync.WaitGroup
	var visits atomic.Uint64
	there.Add(clients)
	for i := range clients {
		all.Go(func() {
			came := sync.OnceFunc(there.Done)
			defer came()
			for ctx.Err() == nil {
				if visit(ctx, manners[i%len(manners)], came) == nil {
					visits.Add(1)
				}
				select {
				case <-time.After(between):
				case <-ctx.Done():
				}
			}
		})
	}
	there.Wait()
	fmt.Fprintf(out, "crowd: all %d clients came\n", clients)
	all.Wait()
	fmt.Fprintf(out, "crowd: %d visits\n", visits.Load())
	return nil
}

// visit is one connection: it says what its manners are and stays until it is
// sent away or ctx ends.
func visit(ctx context.Context, words string, came func()) error {
	connection, err := (&net.Dialer{}).DialContext(ctx, "unix", socket())
	if err != nil {
		return err // the queue is full
	}
	defer connection.Close()
	came()
	defer context.AfterFunc(ctx, func() { connection.Close() })()
	if _, err := io.WriteString(connection, words); err != nil {
		return nil // sent away already
	}
	_, _ = io.Copy(io.Discard, connection)
	return nil
}
