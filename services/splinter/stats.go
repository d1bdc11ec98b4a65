package splinter

import (
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
)

// Counters are totals since the bus was made. All of them only grow.
type Counters struct {
	Sets, Gets, Misses, Unsets uint64
	Frames, Bytes              uint64 // sent whole, in bytes on the wire
	Drops                      uint64 // frames that Send was given and could not send whole
	Repairs                    uint64 // locks taken over from dead processes
	Retries                    uint64 // reads begun again because two writes passed them
}

func (b *Bus) count(counter int, n uint64) { b.stripe.values[counter].Add(n) }

// EndpointInfo is one name somebody listens under.
type EndpointInfo struct {
	Name       string
	PID        int
	Generation uint32 // how often the endpoint has changed hands
	Alive      bool
}

// Info is what a bus is and holds at one moment.
type Info struct {
	Path            string
	Bytes           uint64 // of the file
	Slots, Keys     int
	ValueMax        int // bytes
	Connections     int
	OpenConnections int
	RingSize        int // bytes each way
	Endpoints       []EndpointInfo
	Counters        Counters
}

// Info gathers figures without stopping anybody; they may be of slightly different moments.
func (b *Bus) Info() (Info, error) {
	if err := b.checkOpen(); err != nil {
		return Info{}, err
	}
	defer runtime.KeepAlive(b)
	info := Info{
		Path: b.path, Bytes: b.g.FileSize, Slots: int(b.g.Slots), ValueMax: int(b.g.ValueMax),
		Connections: int(b.g.Connections), RingSize: int(b.g.RingSize), Counters: b.counters(),
	}
	for i := range b.g.Slots / 64 {
		info.Keys += bits.OnesCount64(b.usedWord(i).Load())
	}
	for i := range b.g.Connections {
		if b.connection(i).state.Load()&heldMask != 0 {
			info.OpenConnections++
		}
	}
	b.lock(&b.header().channelLock)
	defer b.unlock(&b.header().channelLock)
	for i := range uint32(endpointLimit) {
		if e := b.endpoint(i); e.owner.Load() != 0 {
			info.Endpoints = append(info.Endpoints, EndpointInfo{
				Name: e.text(), PID: ownerPID(e.owner.Load()), Generation: e.generation.Load(), Alive: b.alive(e.owner.Load()),
			})
		}
	}
	return info, nil
}

func (b *Bus) counters() Counters {
	var total [16]uint64
	for i := range b.header().counters {
		for j := range total {
			total[j] += b.header().counters[i].values[j].Load()
		}
	}
	return Counters{
		Sets: total[counterSets], Gets: total[counterGets], Misses: total[counterMisses], Unsets: total[counterUnsets],
		Frames: total[counterFramesSent], Bytes: total[counterBytesSent], Drops: total[counterDrops],
		Repairs: total[counterRepairs], Retries: total[counterRetries],
	}
}

func (m *mapping) usedWord(i uint32) *atomic.Uint64 {
	return (*atomic.Uint64)(unsafe.Pointer(&m.data[m.at.used+8*uint64(i)]))
}
