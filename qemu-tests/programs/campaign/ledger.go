package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"runa/services/splinter"
)

// ledger writes to the bus all through the campaign and remembers what the bus
// has acknowledged: what Set returned for must be there for ever.
type ledger struct {
	bus *splinter.Bus

	mu           sync.Mutex
	acknowledged [ledgerKeys]uint64
	failed       error

	promised map[string]uint64 // by service: the most it has acknowledged itself
}

// ledgerKeys and ledgerPause keep the writer at some work, beside the harm.
const (
	ledgerKeys  = 8
	ledgerPause = 25 * time.Millisecond
)

func ledgerKey(i int) string { return "campaign/ledger/" + strconv.Itoa(i) }

func keepLedger(ctx context.Context, bus *splinter.Bus) *ledger {
	l := &ledger{bus: bus, promised: map[string]uint64{}}
	go func() {
		for n := uint64(1); ctx.Err() == nil; n++ {
			i := int(n % ledgerKeys)
			err := bus.Set(ledgerKey(i), strconv.AppendUint(nil, n, 10))
			l.mu.Lock()
			if err == nil {
				l.acknowledged[i] = n
			} else if l.failed == nil && !errors.Is(err, splinter.ErrClosed) {
				l.failed = fmt.Errorf("write to the bus: %w", err)
			}
			l.mu.Unlock()
			time.Sleep(ledgerPause)
		}
	}()
	return l
}

// check looks whether each acknowledged write, or a later one, is on the bus:
// the campaign's own and those of the services.
func (l *ledger) check(services []string) error {
	l.mu.Lock()
	acknowledged, failed := l.acknowledged, l.failed
	l.mu.Unlock()
	if failed != nil {
		return failed
	}
	for i, least := range acknowledged {
		if err := l.atLeast(ledgerKey(i), least); err != nil {
			return err
		}
	}
	for _, name := range services {
		promise, err := promiseOf(filepath.Join("/data", name, "acknowledged"))
		if err != nil {
			return err
		}
		l.promised[name] = max(l.promised[name], promise)
		if err := l.atLeast("service/"+name+"/work", l.promised[name]); err != nil {
			return err
		}
	}
	return nil
}

func (l *ledger) atLeast(key string, least uint64) error {
	if least == 0 {
		return nil // nothing was acknowledged yet
	}
	value, _, err := l.bus.Get(key)
	if err != nil {
		return fmt.Errorf("%s: %d was acknowledged: %w", key, least, err)
	}
	if got, err := strconv.ParseUint(string(value), 10, 64); err != nil || got < least {
		return fmt.Errorf("a write is lost: %s holds %q, but %d was acknowledged", key, value, least)
	}
	return nil
}

// promiseOf reads what a service has acknowledged. It writes the record anew
// all the time and in place, so it is read until two readings agree.
func promiseOf(path string) (uint64, error) {
	last := ""
	for {
		content, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			return 0, nil // its state was set aside and nothing restored
		}
		if err != nil {
			return 0, err
		}
		text := strings.TrimSpace(string(content))
		if text == "" || text == last {
			break
		}
		last = text
	}
	if last == "" {
		return 0, nil
	}
	promise, err := strconv.ParseUint(last, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return promise, nil
}
