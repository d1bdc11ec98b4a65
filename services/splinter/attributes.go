package splinter

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
)

// MaxType is the longest name of a type, in bytes.
const MaxType = 15

// Meta is what a key has beside its value. A plain Set keeps it.
type Meta struct {
	Type     string        // what the value is, for those who read it; to MaxType bytes
	Labels   uint64        // bits that Find and Watch look for
	TTL      time.Duration // after its last Set the key is gone; 0: never
	HalfLife time.Duration // in which an unused key loses half its weight; 0: it never decays
}

func (m Meta) check() error {
	switch {
	case len(m.Type) > MaxType:
		return fmt.Errorf("%w: the name of type %q has %d bytes, at most %d were expected", ErrType, m.Type, len(m.Type), MaxType)
	case m.TTL < 0 || m.HalfLife < 0:
		return fmt.Errorf("%w: a TTL of %v and a half-life of %v, none may be negative", ErrMeta, m.TTL, m.HalfLife)
	}
	for i := range len(m.Type) {
		if m.Type[i] == 0 {
			return fmt.Errorf("%w: the name of type %q has a zero byte", ErrType, m.Type)
		}
	}
	return nil
}

// ErrMeta means a TTL or half-life is negative.
var ErrMeta = errors.New("bad attributes")

// attributes are all of a record but its value.
type attributes struct {
	version, length uint64
	expires         uint64 // unix nanoseconds, 0: never
	labels          uint64
	ttl, halfLife   uint64
	kind            [2]uint64
}

func (m Meta) attributes() attributes {
	is := attributes{labels: m.Labels, ttl: uint64(m.TTL), halfLife: uint64(m.HalfLife)}
	var name [16]byte
	copy(name[:], m.Type)
	is.kind = [2]uint64{binary.LittleEndian.Uint64(name[:8]), binary.LittleEndian.Uint64(name[8:])}
	return is
}

func (is *attributes) meta() Meta {
	return Meta{Type: is.typeName(), Labels: is.labels, TTL: time.Duration(is.ttl), HalfLife: time.Duration(is.halfLife)}
}

func (is *attributes) typeName() string {
	var name [16]byte
	binary.LittleEndian.PutUint64(name[:8], is.kind[0])
	binary.LittleEndian.PutUint64(name[8:], is.kind[1])
	n := 0
	for n < MaxType && name[n] != 0 {
		n++
	}
	return string(name[:n])
}

func (is *attributes) expired(now uint64) bool { return is.expires != 0 && is.expires <= now }

// attributes reads the record; what it says counts as read does.
func (r *record) attributes() attributes {
	is := attributes{version: load(&r.version), length: load(&r.length)}
	if is.length&flagMeta != 0 {
		is.expires, is.labels = load(&r.expires), load(&r.labels)
		is.ttl, is.halfLife = load(&r.ttl), load(&r.halfLife)
		is.kind = [2]uint64{load(&r.kind[0]), load(&r.kind[1])}
	}
	is.length &= lengthMask
	return is
}

// setAttributes writes all but the version; expires and length follow from the rest.
func (r *record) setAttributes(is *attributes, length uint64) {
	if is.labels|is.ttl|is.halfLife|is.kind[0]|is.kind[1] != 0 {
		length |= flagMeta
		if is.ttl|is.halfLife != 0 {
			length |= flagTimed
		}
		store(&r.expires, is.expires)
		store(&r.labels, is.labels)
		store(&r.ttl, is.ttl)
		store(&r.halfLife, is.halfLife)
		store(&r.kind[0], is.kind[0])
		store(&r.kind[1], is.kind[1])
	}
	store(&r.length, length)
}

// keepAttributes gives r what old has, for a value that is set now.
func (b *Bus) keepAttributes(s *slot, r, old *record, length uint64) {
	if load(&old.length)&flagMeta == 0 {
		store(&r.length, length)
		return
	}
	is := old.attributes()
	if is.expires != 0 && is.expired(b.now()) {
		is = attributes{} // the key was gone
	}
	b.renew(s, &is)
	r.setAttributes(&is, length)
}

// renew begins the life of a value that is set now: its TTL, and its use.
func (b *Bus) renew(s *slot, is *attributes) {
	if is.ttl|is.halfLife == 0 {
		is.expires = 0
		return
	}
	now := b.now()
	is.expires = 0
	if is.ttl != 0 {
		is.expires = now + is.ttl
	}
	if is.halfLife != 0 {
		b.use(s, is.halfLife, now)
	}
}

func (b *Bus) now() uint64 { return uint64(b.clock().UnixNano()) }

// fresh says whether a timed record is still there, and counts the use of one that decays.
func (b *Bus) fresh(s *slot, r *record) bool {
	now := b.now()
	if expires := load(&r.expires); expires != 0 && expires <= now {
		return false
	}
	if halfLife := load(&r.halfLife); halfLife != 0 {
		b.use(s, halfLife, now)
	}
	return true
}

// use adds one to the key's weight, at most 64 times in a half-life: readers of
// one key would else write the same line at every read. Uses at the same instant
// may count as one.
func (b *Bus) use(s *slot, halfLife, now uint64) {
	last := s.used.Load()
	if last != 0 && now < last+halfLife/64 {
		return
	}
	weight := s.weightAt(halfLife, now) + 1
	s.weight.Store(math.Float64bits(weight))
	s.used.Store(now)
}

// weightAt is the key's weight after it decayed until now: half of it in each half-life.
func (s *slot) weightAt(halfLife, now uint64) float64 {
	weight, last := math.Float64frombits(s.weight.Load()), s.used.Load()
	if !(weight >= 0 && weight < 1e18) { // also NaN, of a damaged file
		return 0
	}
	if now <= last || halfLife == 0 {
		return weight
	}
	return weight * math.Exp2(-float64(now-last)/float64(halfLife))
}
