package splinter

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"runa/services/hint"
)

// DefaultPath is where the appliance keeps its bus.
const DefaultPath = "/run/runa/bus"

// Options are fixed when a bus is made; zero fields take the defaults.
type Options struct {
	Mode        os.FileMode // default 0660
	GID         int         // group of the file; 0 leaves it as it is
	Slots       int         // keys, rounded up to a multiple of 64; default 512
	ValueLimit  int         // longest value in bytes; default 1 MiB
	ValueMax    int         // the older name of ValueLimit, which counts if that is 0
	Connections int         // open at once; default 32
	RingSize    int         // bytes each way, rounded up to a power of two; default 64 KiB
	Heap        int64       // bytes for values and loans, rounded up to a page; default 8 MiB, less for small limits
	Messages    int         // that all topics together can hold, rounded up; default 4096
	Enforce     bool        // without a Grant a uid may do nothing but read keys under sys/
	Share       int         // percent of the keys and of the heap that one uid's keys may take; default all
	Seed        uint64      // of the key hash; 0 draws one
	Key         []byte      // KeySize secret bytes: keys are hashed and values sealed with them; nil: a plain bus

	Clock func() time.Time // of this handle, for TTL and half-lives; default time.Now

	// Component is the name under which statistics count this handle; default the
	// program's file name.
	Component string

	// Patience, if it is not 0, makes the handle fit for a process that must outlive
	// whatever members do to the file: a call that waits longer for a lock that
	// somebody alive holds panics with an error that is ErrStuck, and the handle's
	// own goroutines survive a file that is cut off. After any panic Abandon the
	// handle and open another.
	Patience time.Duration
}

// Bus is one process's handle on a bus. Its methods may be called from any goroutine.
type Bus struct {
	*mapping
	path   string
	self   uint64  // owner word of this handle
	stripe *stripe // the counters this handle adds to
	closed atomic.Bool
	clock  func() time.Time
	deaths deaths

	patience  time.Duration // 0: waits for ever
	abandoned atomic.Bool
	cause     atomic.Pointer[error] // why it was

	// permitKey says whether this process may read or write the key; nil: it may
	// do anything. Set by Open for a bus that enforces rights.
	permitKey func(key string, write bool) error
	keys      *keyring // of a keyed bus, else nil
	channels  channels

	mu          sync.Mutex // guards what follows
	member      *participant
	memberIndex uint32
	watcher     chan struct{} // closed when the watcher has ended
	conns       map[*Conn]struct{}
	listeners   map[*Listener]struct{}
	watches     map[*watch]struct{}
}

// Create makes the bus at path if nothing is there, then opens it. Two processes
// that create at once get the same bus. An existing bus keeps its options.
func Create(path string, o Options) (*Bus, error) {
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		g, o, err := o.geometry()
		if err == nil {
			err = createFile(path, g, o)
		}
		if err != nil {
			return nil, hint.New(fmt.Errorf("create bus %s: %w", path, err),
				"the folder must be there, writable for this user and on a tmpfs with room for the bus")
		}
	}
	return OpenWith(path, o)
}

func (o Options) geometry() (geometry, Options, error) {
	defaults := func(value *int, n int) {
		if *value == 0 {
			*value = n
		}
	}
	defaults(&o.Slots, 512)
	if o.ValueLimit == 0 {
		o.ValueLimit = o.ValueMax
	}
	defaults(&o.ValueLimit, 1<<20)
	defaults(&o.Connections, 32)
	defaults(&o.RingSize, 64<<10)
	if o.Mode == 0 {
		o.Mode = 0o660
	}
	for _, n := range []int{o.Slots, o.ValueLimit, o.Connections, o.RingSize} {
		if n < 0 || n > valueCeiling {
			return geometry{}, o, fmt.Errorf("option %d is outside 1 to %d", n, valueCeiling)
		}
	}
	if o.Heap < 0 || o.Share < 0 || o.Share > 100 {
		return geometry{}, o, fmt.Errorf("a heap of %d bytes, a share of %d percent", o.Heap, o.Share)
	}
	if o.Seed == 0 {
		var random [8]byte
		if _, err := rand.Read(random[:]); err != nil {
			return geometry{}, o, err
		}
		o.Seed = binary.LittleEndian.Uint64(random[:])
	}
	slots := roundUp(uint64(o.Slots), 64)
	g := geometry{
		Seed: o.Seed, Slots: uint32(slots), ValueMax: uint32(o.ValueLimit),
		IndexSize:   powerOfTwo(4 * slots),
		Connections: uint32(o.Connections), RingSize: powerOfTwo(uint64(o.RingSize)),
	}
	g.HeapSize = o.heapSize()
	g.Share = uint32(o.Share)
	if o.Key != nil {
		_, check, err := deriveKeys(o.Key)
		if err != nil {
			return geometry{}, o, err
		}
		g.Flags, g.KeyCheck = flagKeyed, check
		g.ValueMax += sealedExtra
	}
	channels, err := o.channelDefaults()
	if err != nil {
		return geometry{}, o, err
	}
	g.Channels = channels
	g.FileSize = g.offsets().end
	return g, o, g.check()
}

// heapSize is what was asked for, or room for every key's value twice as long as
// that is at most 8 MiB, and for four values of the limit in any case.
func (o Options) heapSize() uint64 {
	if o.Heap > 0 {
		return roundUp(uint64(o.Heap), pageSize)
	}
	block := max(uint64(powerOfTwo(uint64(o.ValueLimit))), unitSize)
	return roundUp(max(4*block, min(2*block*uint64(o.Slots), 8<<20)), 1<<16)
}

func powerOfTwo(n uint64) uint32 { return uint32(1) << bits.Len64(n-1) }

func dirOf(path string) string { return filepath.Dir(path) }

// Open opens the bus at path. A file that is no whole bus of this layout is
// ErrNotABus; nothing of it is changed.
func Open(path string) (*Bus, error) { return OpenWith(path, Options{}) }

// OpenWith is Open with the Key, Clock, Component and Patience of the options; the
// others do not count. A keyed bus without its key is ErrSealed.
func OpenWith(path string, o Options) (*Bus, error) {
	m, err := openMapping(path)
	var keys *keyring
	if err == nil {
		keys, err = m.g.unlockKeys(o.Key)
	}
	if err != nil {
		return nil, hint.New(fmt.Errorf("open bus %s: %w", path, err), "%s", openHint(err))
	}
	b := &Bus{
		mapping: m, path: path, self: newOwner(m.life.number), keys: keys, clock: time.Now, patience: o.Patience,
		conns: map[*Conn]struct{}{}, listeners: map[*Listener]struct{}{}, watches: map[*watch]struct{}{},
	}
	if o.Clock != nil {
		b.clock = o.Clock
	}
	b.stripe = &m.header().counters[0] // until openChannels has found this process's own
	if err := b.openChannels(o.Component); err != nil {
		return nil, hint.New(fmt.Errorf("open bus %s: %w", path, err), "%s", openHint(err))
	}
	return b, nil
}

func openHint(err error) string {
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "is the splinter service running? RUNA_BUS names another bus"
	case errors.Is(err, os.ErrPermission):
		return "the bus is open to members of group runa"
	case errors.Is(err, ErrSealed):
		return "give the key that the bus was made with"
	case errors.Is(err, ErrNotKeyed):
		return "open it without a key, or make another bus with one"
	default:
		return "stop everything that uses the bus, remove the file and start the splinter service"
	}
}

// Path is where the bus was opened.
func (b *Bus) Path() string { return b.path }

// Close closes the handle's listeners and connections and wakes every call that
// waits on it; they and all later calls return ErrClosed. The file stays.
func (b *Bus) Close() error {
	if b.closed.Swap(true) {
		return nil
	}
	b.mu.Lock()
	conns, listeners := keysOf(b.conns), keysOf(b.listeners)
	b.mu.Unlock()
	b.closeChannels()
	for _, l := range listeners {
		l.Close()
	}
	for _, c := range conns {
		c.Close()
	}
	b.mu.Lock()
	watches := keysOf(b.watches)
	b.mu.Unlock()
	for _, w := range watches {
		kick(w.word)
	}
	for i := range uint64(wakeWords) {
		kick(&b.wake(i).word)
	}
	b.leave()
	b.deaths.close()
	b.life.close()
	return nil
}

func keysOf[K comparable](m map[K]struct{}) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	return keys
}

func (b *Bus) checkOpen() error {
	if b.closed.Load() {
		if cause := b.cause.Load(); cause != nil {
			return fmt.Errorf("bus %s: %w: %w", b.path, ErrClosed, *cause)
		}
		return fmt.Errorf("bus %s: %w", b.path, ErrClosed)
	}
	return nil
}
