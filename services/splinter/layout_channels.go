package splinter

import (
	"fmt"
	"sync/atomic"
	"unsafe"
)

// What topics, rights and statistics keep in the file. layout.go places these
// regions after the store's and before the rings, and gives them room in the
// geometry and in the header; everything else about them is decided here.

const (
	topicLimit       = 64
	subscriberLimit  = 40 // of one topic
	pinLimit         = 4  // messages of one subscription that are read in place at once
	publisherLimit   = 16 // publishers of one topic that statistics tell apart
	componentLimit   = 128
	rightsLimit      = 64   // uids
	rightsText       = 1984 // bytes of one uid's patterns
	histogramBuckets = 32

	cellSize  = 256
	cellHead  = 48
	cellRoom  = cellSize - cellHead // bytes of a frame that needs no block
	cellGroup = 16                  // cells are given to topics in groups
)

// channelGeometry is the part of the geometry that belongs to channels; 64 bytes.
type channelGeometry struct {
	Cells uint32 // messages of all topics together, a multiple of cellGroup
	Flags uint32 // flagEnforce
	_     [56]byte
}

const flagEnforce = 1 // who has no grant may do next to nothing

// channelHeader is the part of the first page that belongs to channels; 512 bytes, zero at first.
type channelHeader struct {
	rightsChanged atomic.Uint64 // grows with every Grant
	_             [504]byte
}

// channelOffsets are where the regions of channels begin.
type channelOffsets struct{ topics, cells, components, rights uint64 }

// channelRegions places the regions: take(size) returns the offset of a region
// of that many bytes, which begins at a page.
func (g geometry) channelRegions(take func(size uint64) uint64) channelOffsets {
	return channelOffsets{
		topics:     take(topicLimit * uint64(unsafe.Sizeof(topic{}))),
		cells:      take(cellSize * uint64(g.Channels.Cells)),
		components: take(componentLimit * uint64(unsafe.Sizeof(component{}))),
		rights:     take(rightsLimit * uint64(unsafe.Sizeof(grant{}))),
	}
}

// channelDefaults fills the channels' part of a new bus's geometry.
func (o Options) channelDefaults() (channelGeometry, error) {
	cells := o.Messages
	if cells == 0 {
		cells = 4096
	}
	if cells < 0 || cells > 1<<20 {
		return channelGeometry{}, fmt.Errorf("%d messages in all topics, 1 to %d were expected", cells, 1<<20)
	}
	g := channelGeometry{Cells: uint32(roundUp(uint64(cells), cellGroup))}
	if o.Enforce {
		g.Flags |= flagEnforce
	}
	return g, nil
}

// checkChannels refuses a channels' part outside of what the code counts on.
func (g geometry) checkChannels() error {
	c := g.Channels
	switch {
	case c.Cells == 0 || c.Cells%cellGroup != 0 || c.Cells > 1<<20:
		return fmt.Errorf("%d messages in all topics, a multiple of %d up to %d was expected", c.Cells, cellGroup, 1<<20)
	case c.Flags&^flagEnforce != 0:
		return fmt.Errorf("flags of channels %#x, this program knows %#x", c.Flags, flagEnforce)
	}
	return nil
}

// topic is one topic: a ring of cells and who reads it. What is not said to be
// somebody else's is guarded by lock.
type topic struct {
	state    atomic.Uint32 // 0: free; 1: there. The channel lock's, written last
	policy   uint32
	depth    uint32
	history  uint32
	first    uint32 // its first cell
	capacity uint32 // its cells, a power of two
	bytes    uint64 // TopicOptions.Bytes
	nameLen  uint32
	_        uint32
	name     [MaxName]byte
	_        [112]byte

	lock      atomic.Uint64 // publishing, subscribing, retiring
	tail      atomic.Uint64 // the oldest message that is kept
	slowest   atomic.Uint64 // no subscriber is before it
	byteFloor atomic.Uint64 // the oldest message within the limit of bytes
	used      atomic.Uint64 // no subscriber is at or past this place
	_         [24]byte
	head      atomic.Uint64 // messages ever published
	_         [56]byte
	wake      bell // subscribers sleep here
	_         [48]byte
	space     atomic.Uint32 // publishers that wait for a subscriber sleep here
	_         [60]byte

	drops      [8]atomic.Uint64
	latency    histogram
	_          [192]byte
	publishers [publisherLimit]publisher
	_          [1536]byte

	subscribers [subscriberLimit]subscriber
}

// bell is a futex word and when it was last rung, in ns since 1970.
type bell struct {
	word  atomic.Uint32
	_     uint32
	stamp atomic.Uint64
}

// publisher is what one handle has published.
type publisher struct {
	owner    atomic.Uint64
	messages atomic.Uint64
	bytes    atomic.Uint64
	uid      atomic.Uint32
	_        uint32
}

// subscriber is one subscription's place; a handle's own while owner names it.
type subscriber struct {
	position atomic.Uint64 // the next message for it; it and publishers move it, by compare-and-swap
	owner    atomic.Uint64 // 0: free
	uid      atomic.Uint32
	lagging  atomic.Uint32 // 1: a publisher has waited for it in vain and nobody waits again until it reads
	pins     [pinLimit]atomic.Uint64
	_        [8]byte
	drops    [8]atomic.Uint64
}

// cell is one message: a whole frame in data, or size bytes from offset in a block.
type cell struct {
	block  atomic.Uint64 // 0: the frame is in data
	begin  uint64        // bytes published in the topic before it
	size   uint32        // bytes of the frame
	offset uint32
	_      [24]byte
	data   [cellRoom]byte
}

// component is one handle and what it has done.
type component struct {
	owner     atomic.Uint64
	uid       uint32
	nameLen   uint32
	name      [48]byte
	counters  stripe
	drops     [8]atomic.Uint64
	latency   histogram
	namespace uint64        // of the owner's pid, as /proc numbers it; 0: not known
	ended     atomic.Uint32 // 1: the handle is closed
	_         [500]byte
}

// histogram counts durations by their logarithm: bucket i holds those from 2^i ns.
type histogram [histogramBuckets]atomic.Uint64

// grant is what one uid may do and was refused; the channel lock's but for forbidden.
type grant struct {
	uid       atomic.Uint64 // uid + 1; 0: free
	forbidden atomic.Uint64 // what was refused to it
	granted   atomic.Uint32 // 1: it has a grant, be it empty
	length    uint32        // bytes of text
	_         [40]byte
	text      [rightsText]byte // lines of r or w, a space and a pattern
}

// The sizes are the file format; the compiler holds them.
var (
	_ [8192]byte     = [unsafe.Sizeof(topic{})]byte{}
	_ [256]byte      = [unsafe.Offsetof(topic{}.lock)]byte{}
	_ [1024]byte     = [unsafe.Offsetof(topic{}.publishers)]byte{}
	_ [3072]byte     = [unsafe.Offsetof(topic{}.subscribers)]byte{}
	_ [128]byte      = [unsafe.Sizeof(subscriber{})]byte{}
	_ [cellSize]byte = [unsafe.Sizeof(cell{})]byte{}
	_ [cellHead]byte = [unsafe.Offsetof(cell{}.data)]byte{}
	_ [1024]byte     = [unsafe.Sizeof(component{})]byte{}
	_ [2048]byte     = [unsafe.Sizeof(grant{})]byte{}
)

func (m *mapping) topic(i uint32) *topic {
	return (*topic)(unsafe.Pointer(&m.data[m.at.channels.topics+uint64(i%topicLimit)*uint64(unsafe.Sizeof(topic{}))]))
}

// cell is a cell of the pool; a number outside of it, which only damage makes, wraps.
func (m *mapping) cell(i uint32) *cell {
	return (*cell)(unsafe.Pointer(&m.data[m.at.channels.cells+cellSize*uint64(i%m.g.Channels.Cells)]))
}

func (m *mapping) component(i uint32) *component {
	return (*component)(unsafe.Pointer(&m.data[m.at.channels.components+uint64(i%componentLimit)*uint64(unsafe.Sizeof(component{}))]))
}

func (m *mapping) grant(i uint32) *grant {
	return (*grant)(unsafe.Pointer(&m.data[m.at.channels.rights+uint64(i%rightsLimit)*uint64(unsafe.Sizeof(grant{}))]))
}
