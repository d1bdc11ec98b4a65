package splinter

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"

	"runa/services/rmp"
)

// duplicateLimit is how many messages a subscription can tell from their duplicates.
const duplicateLimit = 65536

// duplicates remembers the (trace_id, msg_id) of the last messages: each as long
// as the largest ttl seen, and never more than duplicateLimit. It is a ring of
// them in order of arrival and a table, open addressed with linear probing, of
// where in the ring each one is.
type duplicates struct {
	ring   []messageID // length a power of two
	table  []seenAt    // twice as long as ring
	head   uint64      // ever added
	tail   uint64      // ever forgotten
	maxTTL uint64      // ms
	seed   uint64      // of the hash, so that nobody can choose messages that collide
}

type messageID struct {
	trace [16]byte
	id    uint64
	seen  uint64 // ms since 1970
}

// seenAt is an entry of the table.
type seenAt struct {
	hash  uint32
	place uint32 // in the ring, + 1; 0: empty
}

// add remembers the frame, which came at now in ms, and says whether it was there.
func (d *duplicates) add(h rmp.Header, now uint64) bool {
	if d.ring == nil {
		d.seed = rand.Uint64()
		d.resize(64)
	}
	d.maxTTL = max(d.maxTTL, h.TTLMs)
	m := messageID{h.TraceID, h.MsgID, now}
	hash := d.hash(&m)
	at, found := d.find(hash, &m)
	if found {
		return true
	}
	if d.head-d.tail == uint64(len(d.ring)) {
		if d.canForget(now) || len(d.ring) == duplicateLimit {
			d.forget()
		} else {
			d.resize(2 * len(d.ring))
		}
		at, _ = d.find(hash, &m)
	}
	d.put(at, hash, &m)
	return false
}

func (d *duplicates) put(at uint64, hash uint32, m *messageID) {
	place := d.head & uint64(len(d.ring)-1)
	d.ring[place] = *m
	d.table[at] = seenAt{hash, uint32(place) + 1}
	d.head++
}

// canForget says whether the oldest came longer ago than the largest ttl.
func (d *duplicates) canForget(now uint64) bool {
	oldest := d.ring[d.tail&uint64(len(d.ring)-1)]
	sum, carry := bits.Add64(oldest.seen, d.maxTTL, 0)
	return carry == 0 && now > sum
}

// hash gives eight message numbers in a row places in a row: publishers count
// theirs, and the eight share a cache line.
func (d *duplicates) hash(m *messageID) uint32 {
	a, b := binary.LittleEndian.Uint64(m.trace[:]), binary.LittleEndian.Uint64(m.trace[8:])
	return uint32(fold(fold(a^d.seed, b|1)^m.id>>3, 0xd6e8feb86659fd93))<<3 | uint32(m.id&7)
}

// find returns where in the table the message is or would be.
func (d *duplicates) find(hash uint32, m *messageID) (at uint64, found bool) {
	mask := uint64(len(d.table) - 1)
	for at = uint64(hash) & mask; d.table[at].place != 0; at = (at + 1) & mask {
		if d.table[at].hash == hash {
			if other := &d.ring[d.table[at].place-1]; other.id == m.id && other.trace == m.trace {
				return at, true
			}
		}
	}
	return at, false
}

// forget removes the oldest and moves up what was displaced by it.
func (d *duplicates) forget() {
	place := d.tail & uint64(len(d.ring)-1)
	d.tail++
	mask := uint64(len(d.table) - 1)
	hole := uint64(d.hash(&d.ring[place])) & mask
	for d.table[hole].place != uint32(place)+1 {
		hole = (hole + 1) & mask
	}
	for at := (hole + 1) & mask; d.table[at].place != 0; at = (at + 1) & mask {
		// It may move to the hole unless its own place lies behind that.
		if home := uint64(d.table[at].hash); (at-home)&mask >= (at-hole)&mask {
			d.table[hole] = d.table[at]
			hole = at
		}
	}
	d.table[hole] = seenAt{}
}

func (d *duplicates) resize(n int) {
	old := *d
	d.ring, d.table = make([]messageID, n), make([]seenAt, 2*n)
	d.head, d.tail = 0, 0
	for i := old.tail; i < old.head; i++ {
		m := &old.ring[i&uint64(len(old.ring)-1)]
		hash := d.hash(m)
		at, _ := d.find(hash, m)
		d.put(at, hash, m)
	}
}
