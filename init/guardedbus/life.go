package guardedbus

import (
	"context"
	"strconv"

	"runa/services/splinter"
	"runa/services/supervised"
)

// beat remembers how a service's heart-beat is read without making anything
// anew, for it is read four times a second.
type beat struct {
	key   string
	value []byte
	known bool   // it has said something since it was forgotten
	last  uint64 // what an earlier life left; not news
	stale bool   // last is of an earlier life
}

// Forget makes what an earlier life of the service said worthless.
func (b *Bus) Forget(service string) {
	count, known := b.read(service)
	b.mu.Lock()
	defer b.mu.Unlock()
	one := b.beat(service)
	one.known, one.stale, one.last = false, known, count
}

// Heartbeat returns how often the service has said that it lives; known is
// false while there is no bus or it has said nothing since it was forgotten.
func (b *Bus) Heartbeat(service string) (count uint64, known bool) {
	count, there := b.read(service)
	if !there {
		return 0, false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	one := b.beat(service)
	if !one.known && one.stale && one.last == count {
		return 0, false
	}
	one.known = true
	return count, true
}

// beat returns what is kept of a service; the caller holds b.mu.
func (b *Bus) beat(service string) *beat {
	one, there := b.beats[service]
	if !there {
		one = &beat{key: supervised.HeartbeatKey(service)}
		b.beats[service] = one
	}
	return one
}

func (b *Bus) read(service string) (count uint64, there bool) {
	b.mu.Lock()
	one := b.beat(service)
	key, room := one.key, one.value[:0]
	one.value = nil // nobody else reads into it meanwhile
	b.mu.Unlock()
	err := b.use(func(s *splinter.Bus) (err error) {
		room, _, err = s.AppendGet(room, key)
		return err
	})
	if err == nil {
		count, err = strconv.ParseUint(string(room), 10, 64)
	}
	b.mu.Lock()
	one.value = room
	b.mu.Unlock()
	return count, err == nil
}

// Ping asks the service under its own name whether it does its work.
func (b *Bus) Ping(ctx context.Context, service string) error {
	return b.within(ctx, func(s *splinter.Bus) error { return supervised.Ping(ctx, s, service) })
}

// Here says whether there is a bus now on which a service could be heard.
func (b *Bus) Here() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.open != nil && b.up
}
