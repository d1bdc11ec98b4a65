package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

// harms are what the service can do itself.
type harms struct {
	*service
	forks int
}

// harm is one of them. It returns an error to end the service by it; most do
// their harm beside the work, and return.
type harm func(h harms, ctx context.Context, about string) error

// table has every order that is understood. An order may name somebody:
// "complain faulty-a".
var table = map[string]harm{
	"exit":             func(harms, context.Context, string) error { return errors.New("it was told to end") },
	"panic":            func(harms, context.Context, string) error { return explode() },
	"segv":             func(harms, context.Context, string) error { return fault() },
	"hang":             func(h harms, _ context.Context, _ string) error { h.worker.hanging.Store(true); return nil },
	"slow-heart-beat":  func(h harms, _ context.Context, _ string) error { h.worker.slow.Store(true); return nil },
	"spin":             func(harms, context.Context, string) error { spin(); return nil },
	"leak":             func(harms, context.Context, string) error { go leak(); return nil },
	"fork-bomb":        func(h harms, _ context.Context, _ string) error { go bomb(h.forks); return nil },
	"open-descriptors": func(harms, context.Context, string) error { go exhaust(); return nil },
	"save":             func(h harms, _ context.Context, _ string) error { h.worker.saving.Store(true); return nil },
	"read-state":       func(h harms, _ context.Context, _ string) error { return h.state.check() },
	"deaf":             func(h harms, _ context.Context, _ string) error { h.deaf(); return nil },
	"complain": func(h harms, _ context.Context, about string) error {
		return h.told.Complain(about, "it does not answer its peers")
	},
}

func (h harms) do(ctx context.Context, order string) error {
	name, about, _ := strings.Cut(order, " ")
	harm, known := table[name]
	if !known {
		return fmt.Errorf("the order %q is not understood", order)
	}
	return harm(h, ctx, about)
}

func explode() error {
	return fmt.Errorf("there is no argument %s", os.Args[len(os.Args)]) // panics: one past the last
}

// spin keeps every processor busy for nothing, beside the work: the heart goes
// on beating.
func spin() {
	for range runtime.NumCPU() {
		go func() {
			for i := 0; ; i++ {
				runtime.KeepAlive(i)
			}
		}()
	}
}

// mostLeaked bounds the leak where nobody limits the service, as on a host.
const mostLeaked = 256 << 20

// leak takes memory, touches all of it and gives nothing back.
func leak() {
	var kept [][]byte
	for range mostLeaked >> 20 {
		piece := make([]byte, 1<<20)
		for at := 0; at < len(piece); at += os.Getpagesize() {
			piece[at] = 1
		}
		kept = append(kept, piece)
		time.Sleep(time.Millisecond) // so that others run on a machine with one processor
	}
	time.Sleep(time.Hour)
	runtime.KeepAlive(kept)
}

// exhaust opens what it can and closes nothing.
func exhaust() {
	var kept []*os.File
	for {
		file, err := os.Open(os.DevNull)
		if err != nil {
			time.Sleep(time.Hour)
			runtime.KeepAlive(kept)
			return
		}
		kept = append(kept, file)
	}
}
