package supervised

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"runa/services/splinter"
)

// HeartbeatKey is the key on the bus that the service sets to say that it lives.
func HeartbeatKey(service string) string { return "service/" + service + "/heartbeat" }

// Setter is what a heart-beat needs of a bus.
type Setter interface {
	Set(key string, value []byte) error
}

// Getter is what reading a heart-beat needs of a bus.
type Getter interface {
	AppendGet(dst []byte, key string) (value []byte, version uint64, err error)
}

// Heartbeat is the number that the service has set last; known is false if it
// has set none or the bus does not give it. It takes no lock and waits for nobody.
// Only a change tells something: each life of a service begins at any number.
func Heartbeat(bus Getter, service string) (count uint64, known bool) {
	value, _, err := bus.AppendGet(make([]byte, 0, 20), HeartbeatKey(service))
	if err != nil {
		return 0, false
	}
	count, err = strconv.ParseUint(string(value), 10, 64)
	return count, err == nil
}

// beats is the number of the next heart-beat.
type beats struct {
	mu     sync.Mutex
	next   uint64
	buffer []byte
}

// start begins at a number that no earlier life is likely to have ended with.
func (b *beats) start() { b.next = rand.Uint64N(1 << 48) }

// Beat says that the service does its work. Without a name, or if no heart-beats
// are wanted, it does nothing.
func (s *Supervised) Beat(bus Setter) error {
	if s.Service() == "" || s.period == 0 {
		return nil
	}
	b := &s.beats
	b.mu.Lock()
	defer b.mu.Unlock()
	b.next++
	b.buffer = strconv.AppendUint(b.buffer[:0], b.next, 10)
	if err := bus.Set(HeartbeatKey(s.service), b.buffer); err != nil {
		return fmt.Errorf("say that %s lives: %w", s.service, err)
	}
	return nil
}

// Beating says so at once and then twice in each period for as long as alive
// says that work is done, until ctx ends or the bus is closed, which is an error.
// alive is called from this goroutine alone and must not wait for the work. A bus
// that refuses a heart-beat, being full say, is tried again the next time.
func (s *Supervised) Beating(ctx context.Context, bus Setter, alive func() bool) error {
	if s.Service() == "" || s.period == 0 {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(max(s.period/2, time.Millisecond))
	defer tick.Stop()
	for {
		if alive() {
			if err := s.Beat(bus); errors.Is(err, splinter.ErrClosed) {
				return err
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}
