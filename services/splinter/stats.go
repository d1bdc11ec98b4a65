package splinter

import (
	"fmt"
	"math/bits"
	"runtime"
	"sync/atomic"
	"unsafe"
)

const (
	counterSets = iota
	counterGets
	counterMisses
	counterUnsets
	counterFramesSent
	counterBytesSent
	counterDrops
	counterRepairs
	counterRetries
	counterPublished
	counterBytesPublished
	counterReceived
	counterForbidden
)

// Counters are totals since the bus was made. All of them only grow.
type Counters struct {
	Sets, Gets, Misses, Unsets uint64
	Frames, Bytes              uint64 // sent whole over connections, in bytes on the wire
	Drops                      uint64 // frames that Send was given and could not send whole
	Repairs                    uint64 // locks taken over from dead processes
	Retries                    uint64 // reads begun again because two writes passed them
	Published, BytesPublished  uint64 // on topics, in bytes on the wire
	Received                   uint64 // messages that Receive of subscriptions returned
	Forbidden                  uint64 // calls refused for want of a right
}

func (b *Bus) count(counter int, n uint64) { b.stripe.values[counter].Add(n) }

// EndpointInfo is one name somebody listens under.
type EndpointInfo struct {
	Name       string
	PID        int    // as it sees itself
	Generation uint32 // how often the endpoint has changed hands
	Alive      bool
}

// Info is what a bus is and holds at one moment.
type Info struct {
	Path            string
	Bytes           uint64 // of the file
	Slots, Keys     int
	ValueMax        int    // bytes
	Heap, HeapUsed  uint64 // bytes, in blocks
	Keyed           bool
	Connections     int
	OpenConnections int
	RingSize        int // bytes each way
	Topics          int
	Enforced        bool // rights are asked for
	Endpoints       []EndpointInfo
	Counters        Counters
}

// Info gathers figures without stopping anybody; they may be of slightly different moments.
func (b *Bus) Info() (Info, error) {
	if err := b.checkOpen(); err != nil {
		return Info{}, fmt.Errorf("info: %w", err)
	}
	defer runtime.KeepAlive(b)
	info := Info{
		Path: b.path, Bytes: b.g.FileSize, Slots: int(b.g.Slots), ValueMax: b.valueLimit(),
		Heap: b.g.HeapSize, HeapUsed: b.header().heapUsed.Load(), Keyed: b.keys != nil,
		Connections: int(b.g.Connections), RingSize: int(b.g.RingSize), Counters: b.counters(),
		Enforced: b.g.Channels.Flags&flagEnforce != 0,
	}
	for i := range b.g.Slots / 64 {
		info.Keys += bits.OnesCount64(b.usedWord(i).Load())
	}
	for i := range b.g.Connections {
		if b.connection(i).state.Load()&heldMask != 0 {
			info.OpenConnections++
		}
	}
	for i := range uint32(topicLimit) {
		info.Topics += int(b.topic(i).state.Load() & 1)
	}
	b.lockChannels()
	defer b.unlockChannels()
	for i := range uint32(endpointLimit) {
		if e := b.endpoint(i); e.owner.Load() != 0 {
			info.Endpoints = append(info.Endpoints, EndpointInfo{
				Name: e.text(), PID: ownerPID(e.owner.Load()), Generation: e.generation.Load(), Alive: b.alive(e.owner.Load()),
			})
		}
	}
	return info, nil
}

// counters is the sum over all components and those that are forgotten.
func (b *Bus) counters() Counters {
	var total stripe
	for i := range b.header().counters {
		total.add(&b.header().counters[i])
	}
	for i := range uint32(componentLimit) {
		total.add(&b.component(i).counters)
	}
	return total.counters()
}

func (s *stripe) add(other *stripe) {
	for i := range s.values {
		s.values[i].Add(other.values[i].Load())
	}
}

func (s *stripe) counters() Counters {
	v := func(i int) uint64 { return s.values[i].Load() }
	return Counters{
		Sets: v(counterSets), Gets: v(counterGets), Misses: v(counterMisses), Unsets: v(counterUnsets),
		Frames: v(counterFramesSent), Bytes: v(counterBytesSent), Drops: v(counterDrops),
		Repairs: v(counterRepairs), Retries: v(counterRetries),
		Published: v(counterPublished), BytesPublished: v(counterBytesPublished),
		Received: v(counterReceived), Forbidden: v(counterForbidden),
	}
}

func (m *mapping) usedWord(i uint32) *atomic.Uint64 {
	return (*atomic.Uint64)(unsafe.Pointer(&m.data[m.at.used+8*uint64(i)]))
}
