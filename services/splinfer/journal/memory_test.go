package journal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

var errPowerCut = errors.New("the power was cut")

// memory is a disk that knows what a power cut may leave of it: what was synced,
// and of the rest any part that a file system which keeps the order may have written.
type memory struct {
	mu      sync.Mutex
	names   map[string]*inode
	durable map[string]*inode // the folder as it is on the disk
	pending []func(map[string]*inode)
	locked  bool

	steps    int   // that may still be done; negative: any number
	room     int64 // bytes of all files; negative: any number
	syncs    int   // of files, that were done
	badSyncs int   // how many fsyncs from now on fail, losing what they had to write
}

type inode struct {
	data     []byte
	durable  []byte
	writes   []write // since the last sync, in their order
	modified time.Time
}

// write is data at an offset, or a new size if data is nil.
type write struct {
	at   int64
	data []byte
}

func (w write) apply(b []byte) []byte {
	if w.data == nil {
		return slices.Clone(resize(b, w.at))
	}
	b = slices.Clone(resize(b, max(int64(len(b)), w.at+int64(len(w.data)))))
	copy(b[w.at:], w.data)
	return b
}

func resize(b []byte, n int64) []byte {
	if n <= int64(len(b)) {
		return b[:n:n]
	}
	return append(b[:len(b):len(b)], make([]byte, n-int64(len(b)))...)
}

func newMemory() *memory {
	return &memory{names: map[string]*inode{}, durable: map[string]*inode{}, steps: -1, room: -1}
}

// step counts what changes the disk.
func (m *memory) step() error {
	if m.steps == 0 {
		return errPowerCut
	}
	if m.steps > 0 {
		m.steps--
	}
	return nil
}

// change does something to the folder, on the disk at the next sync.
func (m *memory) change(f func(map[string]*inode)) error {
	if err := m.step(); err != nil {
		return err
	}
	f(m.names)
	m.pending = append(m.pending, f)
	return nil
}

func (m *memory) open(name string, how access) (file, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.names[name]
	switch {
	case n == nil && how == present:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	case n == nil:
		n = &inode{}
		if err := m.change(func(names map[string]*inode) { names[name] = n }); err != nil {
			return nil, err
		}
	case how == emptied:
		if err := m.step(); err != nil {
			return nil, err
		}
		n.do(write{})
	}
	return &memoryFile{m, n}, nil
}

func (n *inode) do(w write) {
	n.data = w.apply(n.data)
	n.writes = append(n.writes, w)
}

func (m *memory) known(name string) error {
	if m.names[name] == nil {
		return &fs.PathError{Op: "find", Path: name, Err: fs.ErrNotExist}
	}
	return nil
}

func (m *memory) rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.known(from); err != nil {
		return err
	}
	return m.change(func(names map[string]*inode) { names[to] = names[from]; delete(names, from) })
}

func (m *memory) link(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.known(from); err != nil {
		return err
	}
	if m.names[to] != nil {
		return &fs.PathError{Op: "link", Path: to, Err: fs.ErrExist}
	}
	return m.change(func(names map[string]*inode) { names[to] = names[from] })
}

func (m *memory) remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.known(name); err != nil {
		return err
	}
	return m.change(func(names map[string]*inode) { delete(names, name) })
}

func (m *memory) list() ([]entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var entries []entry
	for _, name := range slices.Sorted(maps.Keys(m.names)) {
		entries = append(entries, entry{name, int64(len(m.names[name].data)), m.names[name].modified})
	}
	return entries, nil
}

func (m *memory) touch(name string, at time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.known(name); err != nil {
		return err
	}
	m.names[name].modified = at
	return m.step()
}

func (m *memory) sync() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.step(); err != nil {
		return err
	}
	m.durable, m.pending = maps.Clone(m.names), nil
	return nil
}

func (m *memory) lock(string) (io.Closer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.locked {
		return nil, ErrBusy
	}
	m.locked = true
	return memoryLock{m}, nil
}

type memoryLock struct{ m *memory }

func (l memoryLock) Close() error {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	l.m.locked = false
	return nil
}

func (m *memory) close() error { return nil }

// killed is the disk after the process died: nothing is lost but the lock.
func (m *memory) killed() *memory {
	after := newMemory()
	for name, n := range m.names {
		after.put(name, n.data)
	}
	return after
}

func (m *memory) put(name string, data []byte) {
	n := &inode{data: slices.Clone(data), durable: slices.Clone(data)}
	m.names[name], m.durable[name] = n, n
}

// afterPowerCut is what one power cut, of the many that random may draw, leaves.
func (m *memory) afterPowerCut(random *rand.Rand) *memory {
	names := maps.Clone(m.durable)
	for _, change := range m.pending[:random.IntN(len(m.pending)+1)] {
		change(names)
	}
	after := newMemory()
	for name, n := range names {
		after.put(name, n.afterPowerCut(random))
	}
	return after
}

// afterPowerCut does some of the writes, the last of them in part; of what
// is new a sector may have another content than it should.
func (n *inode) afterPowerCut(random *rand.Rand) []byte {
	data := slices.Clone(n.durable)
	done := random.IntN(len(n.writes) + 1)
	for _, w := range n.writes[:done] {
		data = w.apply(data)
	}
	if done < len(n.writes) && len(n.writes[done].data) > 0 && random.IntN(2) == 0 {
		w := n.writes[done]
		data = write{w.at, w.data[:1+random.IntN(len(w.data))]}.apply(data)
	}
	const sector = 32
	if fresh := len(data) - len(n.durable); fresh > 0 && random.IntN(2) == 0 {
		from := len(n.durable) + random.IntN(fresh)
		for i := from; i < min(len(data), from+sector); i++ {
			data[i] = 0
			if i >= headerSize && random.IntN(2) == 0 {
				data[i] = byte(random.IntN(256))
			}
		}
	}
	return data
}

func (m *memory) String() string { return fmt.Sprint(slices.Sorted(maps.Keys(m.names))) }
