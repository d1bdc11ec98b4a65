package splinter

import (
	"fmt"
	"hash/crc32"
	"math/bits"
	"sync/atomic"
	"unsafe"
)

const (
	// MaxKey and MaxName are in bytes.
	MaxKey  = 255
	MaxName = 104

	pageSize      = 4096
	layoutVersion = 1
	orderProbe    = 0x01020304 // reads otherwise on a big-endian machine
	wakeWords     = 256        // futex words that keys share by hash
	stripes       = 16         // copies of the counters, by pid, so that processes do not contend
	endpointLimit = 64
	processLimit  = 128

	recordHead = 16 // version u64, value length u32, key length u32
	slotHead   = 64
)

var busMagic = [8]byte{'S', 'P', 'L', 'I', 'N', 'T', 'R', 0}

// geometry is what Create fixed for the life of the file.
type geometry struct {
	FileSize    uint64
	Seed        uint64 // of the key hash
	Slots       uint32 // a multiple of 64
	ValueMax    uint32 // bytes
	IndexSize   uint32 // entries, a power of two, at least 2*Slots
	Connections uint32
	RingSize    uint32 // bytes each way, a power of two
	_           uint32
}

// header is the first page of the file.
type header struct {
	Magic    [8]byte
	Version  uint32
	Order    uint32
	Geometry geometry
	Checksum uint32 // CRC-32 (IEEE) of the bytes of Geometry
	_        [196]byte

	storeLock    atomic.Uint64 // adding and removing keys
	_            [56]byte
	channelLock  atomic.Uint64 // endpoints, participants, claiming connections
	_            [56]byte
	versionFloor atomic.Uint64 // no key that is removed had a greater version
	dialSequence atomic.Uint64
	_            [624]byte
	counters     [stripes]stripe
	_            [1024]byte
}

type stripe struct {
	values [16]atomic.Uint64
}

// slot is the head of a key's slot; two records follow it.
type slot struct {
	epoch atomic.Uint64 // epoch/2 counts writes, its low bit chooses the valid record; odd: a write is under way
	owner atomic.Uint64 // lock of writers
	_     [slotHead - 16]byte
}

type wakeWord struct {
	word atomic.Uint32
	_    [60]byte
}

// participant is one Bus handle that uses channels.
type participant struct {
	owner    atomic.Uint64
	doorbell atomic.Uint32
	_        [52]byte
}

// endpoint is a name somebody listens under.
type endpoint struct {
	owner       atomic.Uint64 // 0: free; written last
	participant atomic.Uint32
	generation  atomic.Uint32
	nameLen     uint32
	_           uint32
	name        [MaxName]byte
}

// connection is two rings and who holds them.
type connection struct {
	state       atomic.Uint32 // bits client... below
	endpoint    uint32
	generation  uint32
	_           uint32
	sequence    uint64    // order of dialling
	participant [2]uint32 // client, server
	owner       [2]uint64 // client, server
	_           [80]byte
	rings       [2]ring // client to server, server to client
	_           [384]byte
}

// ring is a single-producer single-consumer queue of bytes.
type ring struct {
	head  atomic.Uint64 // bytes ever written; the producer's
	_     [56]byte
	tail  atomic.Uint64 // bytes ever read; the consumer's
	_     [56]byte
	data  atomic.Uint32 // the consumer sleeps here
	_     [60]byte
	space atomic.Uint32 // the producer sleeps here
	_     [60]byte
}

// The sizes are the file format; the compiler holds them.
var (
	_ [pageSize]byte = [unsafe.Sizeof(header{})]byte{}
	_ [64]byte       = [unsafe.Sizeof(slot{})]byte{}
	_ [64]byte       = [unsafe.Sizeof(wakeWord{})]byte{}
	_ [64]byte       = [unsafe.Sizeof(participant{})]byte{}
	_ [128]byte      = [unsafe.Sizeof(endpoint{})]byte{}
	_ [1024]byte     = [unsafe.Sizeof(connection{})]byte{}
)

// offsets are where the regions begin; each on a page of its own.
type offsets struct {
	index, used, wake, participants, endpoints, connections, slots, rings, end uint64
	recordSize, slotSize                                                       uint64
}

func (g geometry) offsets() offsets {
	var o offsets
	o.recordSize = recordHead + MaxKey + 1 + roundUp(uint64(g.ValueMax), 8)
	o.slotSize = roundUp(slotHead+2*o.recordSize, 64)
	at := uint64(pageSize)
	take := func(size uint64) uint64 {
		begin := at
		at += roundUp(size, pageSize)
		return begin
	}
	o.index = take(8 * uint64(g.IndexSize))
	o.used = take(uint64(g.Slots) / 8)
	o.wake = take(64 * wakeWords)
	o.participants = take(64 * processLimit)
	o.endpoints = take(128 * endpointLimit)
	o.connections = take(1024 * uint64(g.Connections))
	o.slots = take(o.slotSize * uint64(g.Slots))
	o.rings = take(2 * uint64(g.RingSize) * uint64(g.Connections))
	o.end = at
	return o
}

func roundUp(n, to uint64) uint64 { return (n + to - 1) / to * to }

// check refuses sizes outside of what the code counts on.
func (g geometry) check() error {
	switch {
	case g.Slots == 0 || g.Slots%64 != 0 || g.Slots > 1<<22:
		return fmt.Errorf("%d slots, a multiple of 64 up to %d was expected", g.Slots, 1<<22)
	case g.ValueMax == 0 || g.ValueMax > 1<<20:
		return fmt.Errorf("values of %d bytes, 1 to %d were expected", g.ValueMax, 1<<20)
	case bits.OnesCount32(g.IndexSize) != 1 || g.IndexSize < 2*g.Slots || g.IndexSize > 1<<26:
		return fmt.Errorf("an index of %d entries does not fit %d slots", g.IndexSize, g.Slots)
	case g.Connections == 0 || g.Connections > 1<<14:
		return fmt.Errorf("%d connections, 1 to %d were expected", g.Connections, 1<<14)
	case bits.OnesCount32(g.RingSize) != 1 || g.RingSize < pageSize || g.RingSize > 1<<24:
		return fmt.Errorf("rings of %d bytes, a power of two from %d to %d was expected", g.RingSize, pageSize, 1<<24)
	}
	if end := g.offsets().end; g.FileSize != end {
		return fmt.Errorf("file size %d, these regions make %d", g.FileSize, end)
	}
	return nil
}

func (g *geometry) checksum() uint32 {
	return crc32.ChecksumIEEE(unsafe.Slice((*byte)(unsafe.Pointer(g)), unsafe.Sizeof(*g)))
}

// check says whether h heads a bus in a file of size bytes.
func (h *header) check(size int64) error {
	switch {
	case h.Magic != busMagic:
		return fmt.Errorf("its magic is %q", h.Magic[:])
	case h.Order != orderProbe:
		return fmt.Errorf("its byte order is not this machine's")
	case h.Version != layoutVersion:
		return fmt.Errorf("its layout is version %d, this program knows %d", h.Version, layoutVersion)
	case h.Checksum != h.Geometry.checksum():
		return fmt.Errorf("the checksum of its geometry is wrong")
	case h.Geometry.FileSize != uint64(size):
		return fmt.Errorf("it has %d bytes where its header says %d", size, h.Geometry.FileSize)
	}
	return h.Geometry.check()
}
