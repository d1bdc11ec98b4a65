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

	"runa/services/hint"
)

// DefaultPath is where the appliance keeps its bus.
const DefaultPath = "/run/runa/bus"

// Options are fixed when a bus is made; zero fields take the defaults.
type Options struct {
	Mode        os.FileMode // default 0660
	GID         int         // group of the file; 0 leaves it as it is
	Slots       int         // keys, rounded up to a multiple of 64; default 512
	ValueMax    int         // bytes; default 4096
	Connections int         // open at once; default 32
	RingSize    int         // bytes each way, rounded up to a power of two; default 64 KiB
	Seed        uint64      // of the key hash; 0 draws one
}

// Bus is one process's handle on a bus. Its methods may be called from any goroutine.
type Bus struct {
	*mapping
	path   string
	self   uint64  // owner word of this process
	stripe *stripe // the counters this process adds to
	closed atomic.Bool

	mu          sync.Mutex // guards what follows
	member      *participant
	memberIndex uint32
	watcher     chan struct{} // closed when the watcher has ended
	conns       map[*Conn]struct{}
	listeners   map[*Listener]struct{}
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
	return Open(path)
}

func (o Options) geometry() (geometry, Options, error) {
	defaults := func(value *int, n int) {
		if *value == 0 {
			*value = n
		}
	}
	defaults(&o.Slots, 512)
	defaults(&o.ValueMax, 4096)
	defaults(&o.Connections, 32)
	defaults(&o.RingSize, 64<<10)
	if o.Mode == 0 {
		o.Mode = 0o660
	}
	for _, n := range []int{o.Slots, o.ValueMax, o.Connections, o.RingSize} {
		if n < 0 || n > 1<<24 {
			return geometry{}, o, fmt.Errorf("option %d is outside 1 to %d", n, 1<<24)
		}
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
		Seed: o.Seed, Slots: uint32(slots), ValueMax: uint32(o.ValueMax),
		IndexSize:   powerOfTwo(4 * slots),
		Connections: uint32(o.Connections), RingSize: powerOfTwo(uint64(o.RingSize)),
	}
	g.FileSize = g.offsets().end
	return g, o, g.check()
}

func powerOfTwo(n uint64) uint32 { return uint32(1) << bits.Len64(n-1) }

func dirOf(path string) string { return filepath.Dir(path) }

// Open opens the bus at path. A file that is no whole bus of this layout is
// ErrNotABus; nothing of it is changed.
func Open(path string) (*Bus, error) {
	m, err := openMapping(path)
	if err != nil {
		return nil, hint.New(fmt.Errorf("open bus %s: %w", path, err), "%s", openHint(err))
	}
	self, err := ownerOf(os.Getpid())
	if err != nil {
		return nil, hint.New(fmt.Errorf("open bus %s: own start time: %w", path, err), "/proc must be mounted")
	}
	b := &Bus{mapping: m, path: path, self: self, conns: map[*Conn]struct{}{}, listeners: map[*Listener]struct{}{}}
	b.stripe = &m.header().counters[os.Getpid()%stripes]
	return b, nil
}

func openHint(err error) string {
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "is the splinter service running? RUNA_BUS names another bus"
	case errors.Is(err, os.ErrPermission):
		return "the bus is open to members of group runa"
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
	for _, l := range listeners {
		l.Close()
	}
	for _, c := range conns {
		c.Close()
	}
	for i := range uint64(wakeWords) {
		kick(&b.wake(i).word)
	}
	b.leave()
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
		return fmt.Errorf("bus %s: %w", b.path, ErrClosed)
	}
	return nil
}
