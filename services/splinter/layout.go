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
	layoutVersion = 3
	orderProbe    = 0x01020304 // reads otherwise on a big-endian machine
	wakeWords     = 256        // futex words that keys share by hash
	stripes       = 16         // copies of the counters, by pid, so that processes do not contend
	endpointLimit = 64
	valueCeiling  = 1 << 26 // bytes; the greatest limit a bus may have
	logEntries    = 1 << 10 // events that a watcher may fall behind
	logEntrySize  = 320
	watcherLimit  = 64
	watcherSize   = 384
	processLimit  = 128

	flagKeyed  = 1 // keys are hashed, values sealed
	flagsKnown = flagKeyed

	inlineSize = 120 // bytes of a value that lie in the record itself
	slotSize   = 704
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
	Share       uint32 // percent of slots and heap that one uid's keys may take; 0: all
	HeapSize    uint64 // bytes, a multiple of a page
	Flags       uint64 // flagKeyed
	KeyCheck    [16]byte
	_           [64]byte
	Channels    channelGeometry
}

// header is the first page of the file.
type header struct {
	Magic    [8]byte
	Version  uint32
	Order    uint32
	Geometry geometry
	Checksum uint32 // CRC-32 (IEEE) of the bytes of Geometry
	_        [36]byte

	storeLock    atomic.Uint64 // adding and removing keys
	_            [56]byte
	channelLock  atomic.Uint64 // endpoints, participants, claiming connections
	_            [56]byte
	versionFloor atomic.Uint64 // no key that is removed had a greater version
	dialSequence atomic.Uint64
	_            [48]byte
	heapLock     atomic.Uint64      // blocks
	heapUsed     atomic.Uint64      // bytes in blocks that are taken; the heap lock's
	heapFree     [heapOrders]uint32 // first free block of each size, its unit + 1; the heap lock's
	_            [48]byte
	watching     atomic.Uint64 // one bit for each watcher that is registered
	logHead      atomic.Uint64 // events ever logged
	logLock      atomic.Uint64 // adding to the log, registering watchers
	_            [40]byte
	channels     channelHeader
	counters     [stripes]stripe
	_            [832]byte
}

type stripe struct {
	values [16]atomic.Uint64
}

// slot is one key: what it is called and the two records that its writes take by turns.
type slot struct {
	epoch   atomic.Uint64 // epoch/2 counts writes, its low bit chooses the valid record; odd: a write is under way
	owner   atomic.Uint64 // lock of writers
	keyLen  atomic.Uint32 // 0: the slot holds no key
	uid     atomic.Uint32 // who added the key
	used    atomic.Uint64 // unix nanoseconds of the last use that counted; of keys with a half-life
	weight  atomic.Uint64 // float64 bits, at that time
	_       [24]byte
	key     [MaxKey + 1]byte
	records [2]record
}

// record is one version of a key's value. Its words are read and written by load
// and store: they count only between two reads of the epoch.
type record struct {
	version  uint64
	length   uint64 // of the value in bits 0-31, flags above
	block    uint64 // holds the value if it is longer than inline
	inline   [inlineSize]byte
	expires  uint64 // unix nanoseconds; 0: never
	labels   uint64
	ttl      uint64 // nanoseconds; 0: none
	halfLife uint64 // nanoseconds; 0: none
	kind     [2]uint64
}

// logEntry is one change that a watcher asked for.
type logEntry struct {
	sequence atomic.Uint64 // 2*number+1 while it is written, 2*number+2 when it is whole
	version  uint64
	labels   uint64
	kind     uint64
	keyLen   uint64
	_        [24]byte
	key      [MaxKey + 1]byte
}

// watcherEntry is what one Watch asks for; written before its bit in watching.
type watcherEntry struct {
	owner     atomic.Uint64
	word      atomic.Uint32 // it sleeps here
	_         uint32
	labels    uint64 // any of these, if not 0
	prefixLen uint64
	exact     uint64 // 1: the prefix is a whole key
	_         [88]byte
	prefix    [MaxKey + 1]byte
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
	data  bell // the consumer sleeps here
	_     [48]byte
	space atomic.Uint32 // the producer sleeps here
	_     [60]byte
}

// The sizes are the file format; the compiler holds them.
var (
	_ [pageSize]byte     = [unsafe.Sizeof(header{})]byte{}
	_ [slotSize]byte     = [unsafe.Sizeof(slot{})]byte{}
	_ [64]byte           = [unsafe.Sizeof(wakeWord{})]byte{}
	_ [64]byte           = [unsafe.Sizeof(participant{})]byte{}
	_ [128]byte          = [unsafe.Sizeof(endpoint{})]byte{}
	_ [1024]byte         = [unsafe.Sizeof(connection{})]byte{}
	_ [16]byte           = [unsafe.Sizeof(heapUnit{})]byte{}
	_ [logEntrySize]byte = [unsafe.Sizeof(logEntry{})]byte{}
	_ [watcherSize]byte  = [unsafe.Sizeof(watcherEntry{})]byte{}
	_ [64]byte           = [unsafe.Sizeof(channelGeometry{})]byte{}
	_ [512]byte          = [unsafe.Sizeof(channelHeader{})]byte{}
)

// offsets are where the regions begin; each on a page of its own.
type offsets struct {
	index, used, wake, participants, endpoints, connections, slots uint64
	log, watchers, heapUnits, heap                                 uint64
	channels                                                       channelOffsets
	rings, end                                                     uint64
}

func (g geometry) offsets() offsets {
	var o offsets
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
	o.slots = take(slotSize * uint64(g.Slots))
	o.log = take(logEntrySize * logEntries)
	o.watchers = take(watcherSize * watcherLimit)
	o.heapUnits = take(16 * (g.HeapSize / unitSize))
	o.heap = take(g.HeapSize)
	o.channels = g.channelRegions(take)
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
	case g.ValueMax == 0 || g.ValueMax > valueCeiling:
		return fmt.Errorf("values of %d bytes, 1 to %d were expected", g.ValueMax, valueCeiling)
	case bits.OnesCount32(g.IndexSize) != 1 || g.IndexSize < 2*g.Slots || g.IndexSize > 1<<26:
		return fmt.Errorf("an index of %d entries does not fit %d slots", g.IndexSize, g.Slots)
	case g.Connections == 0 || g.Connections > 1<<14:
		return fmt.Errorf("%d connections, 1 to %d were expected", g.Connections, 1<<14)
	case bits.OnesCount32(g.RingSize) != 1 || g.RingSize < pageSize || g.RingSize > 1<<24:
		return fmt.Errorf("rings of %d bytes, a power of two from %d to %d was expected", g.RingSize, pageSize, 1<<24)
	case g.HeapSize == 0 || g.HeapSize%pageSize != 0 || g.HeapSize > 1<<36:
		return fmt.Errorf("a heap of %d bytes, a multiple of %d up to %d was expected", g.HeapSize, pageSize, uint64(1)<<36)
	case g.Share > 100:
		return fmt.Errorf("a share of %d percent", g.Share)
	case g.Flags&^flagsKnown != 0:
		return fmt.Errorf("flags %#x, this program knows %#x", g.Flags, uint64(flagsKnown))
	}
	if err := g.checkChannels(); err != nil {
		return err
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
