package journal

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"runa/services/hint"
)

// DefaultBytes is the budget of states if none is given.
const DefaultBytes = 1 << 30

// Options of a Store.
type Options struct {
	Bytes int64            // budget of all states together; 0: DefaultBytes, negative: no states
	Log   hclog.Logger     // nil: none
	Now   func() time.Time // nil: the system's
}

// Names of the files, see doc.go.
const (
	lockName      = "lock"
	journalSuffix = ".journal"
	stateSuffix   = ".state"
	loadingSuffix = ".state.loading"
	damagedSuffix = ".damaged"
	tempSuffix    = ".temp"
)

// Store is a folder of conversations.
type Store struct {
	disk   disk
	lock   io.Closer
	log    hclog.Logger
	now    func() time.Time
	states *states
	saves  sync.WaitGroup // states that are being saved

	mu     sync.Mutex
	open   map[string]*Conversation // also those that somebody is about to open (nil)
	closed bool
}

// Open opens the folder dir and makes it if it is not there. It removes what
// was not finished and the state during whose loading the process died.
// One Store at a time has a folder open: ErrBusy.
func Open(dir string, o Options) (*Store, error) {
	f, err := openFolder(dir)
	if err != nil {
		return nil, fmt.Errorf("open conversations: %w", fault(err))
	}
	return openDisk(f, o)
}

// openDisk owns d, also when it fails.
func openDisk(d disk, o Options) (*Store, error) {
	s := &Store{disk: d, log: o.Log, now: o.Now, open: map[string]*Conversation{}}
	if s.log == nil {
		s.log = hclog.NewNullLogger()
	}
	if s.now == nil {
		s.now = time.Now
	}
	if o.Bytes == 0 {
		o.Bytes = DefaultBytes
	}
	s.states = &states{disk: d, log: s.log, budget: max(o.Bytes, 0), held: map[string]*held{}}
	var err error
	if s.lock, err = d.lock(lockName); err != nil {
		d.close()
		return nil, fmt.Errorf("open conversations: %w", hint.New(fault(err), "end the other splinfer, or give this one another folder"))
	}
	if err := s.tidy(); err != nil {
		s.lock.Close()
		d.close()
		return nil, fmt.Errorf("open conversations: %w", fault(err))
	}
	return s, nil
}

// tidy removes what is left of a process that died, and takes stock of states.
func (s *Store) tidy() error {
	entries, err := s.disk.list()
	if err != nil {
		return err
	}
	for _, e := range entries {
		id, isState := strings.CutSuffix(e.name, stateSuffix)
		tried, wasLoading := strings.CutSuffix(e.name, loadingSuffix)
		switch {
		case strings.HasSuffix(e.name, tempSuffix):
		case wasLoading:
			s.log.Warn("a state was being loaded when the process ended; it is not used again", "conversation", tried)
		case isState && !has(entries, id+journalSuffix):
		case isState:
			s.states.held[id] = &held{bytes: e.bytes, at: e.modified}
			s.states.used += e.bytes
			continue
		default:
			continue
		}
		if err := s.disk.remove(e.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return s.states.shrink()
}

func has(entries []entry, name string) bool {
	_, ok := slices.BinarySearchFunc(entries, name, func(e entry, name string) int { return cmp.Compare(e.name, name) })
	return ok
}

// checkID keeps names of conversations from being paths.
func checkID(id string) error {
	ok := len(id) >= 1 && len(id) <= 64
	for _, c := range []byte(id) {
		ok = ok && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-')
	}
	if !ok {
		return hint.New(ErrID, "use 1 to 64 letters, digits, - and _")
	}
	return nil
}

// claim reserves a conversation for whoever opens, removes or salvages it.
func (s *Store) claim(id string) error {
	if err := checkID(id); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	if _, ok := s.open[id]; ok {
		return ErrBusy
	}
	s.open[id] = nil
	return nil
}

func (s *Store) release(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, id)
}

// Conversation opens a conversation, or makes it. Close it when it is not
// needed. A torn tail is cut off. Errors wrap ErrBusy, ErrID, ErrFull,
// ErrDamaged (see Salvage), ErrNewer or the disk's.
func (s *Store) Conversation(id string) (*Conversation, error) {
	if err := s.claim(id); err != nil {
		return nil, naming("open", id, err)
	}
	c := &Conversation{id: id, store: s}
	if err := c.load(); err != nil {
		s.release(id)
		if errors.Is(err, ErrDamaged) {
			err = hint.New(err, "salvage it: what is sound is kept, the whole file is set aside")
		}
		return nil, naming("open", id, err)
	}
	s.mu.Lock()
	closed := s.closed
	s.open[id] = c
	s.mu.Unlock()
	if closed { // and did not see this conversation
		return nil, naming("open", id, errors.Join(ErrClosed, c.Close()))
	}
	return c, nil
}

func naming(what, id string, err error) error {
	if errors.Is(err, ErrID) {
		return fmt.Errorf("%s a conversation: %w", what, err) // the name could be anything
	}
	return fmt.Errorf("%s conversation %s: %w", what, id, fault(err))
}

// Remove deletes a conversation, its state and what Salvage set aside.
func (s *Store) Remove(id string) error {
	if err := s.claim(id); err != nil {
		return naming("remove", id, err)
	}
	defer s.release(id)
	entries, err := s.disk.list()
	if err != nil {
		return naming("remove", id, err)
	}
	found := false
	for _, e := range entries {
		// Temporary files of this conversation go as well.
		if name, _, _ := strings.Cut(e.name, "."); name != id || !strings.Contains(e.name, ".") {
			continue
		}
		found = true
		if err := s.disk.remove(e.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return naming("remove", id, err)
		}
	}
	s.states.forget(id)
	if !found {
		return naming("remove", id, ErrNotFound)
	}
	if err := s.disk.sync(); err != nil {
		return naming("remove", id, err)
	}
	return nil
}

// Sync is Sync of every conversation that is open, all at the same time, so
// that the disk can do it in one go.
func (s *Store) Sync() error {
	conversations := s.all()
	errs := make([]error, len(conversations))
	var wait sync.WaitGroup
	for i, c := range conversations {
		wait.Go(func() {
			if err := c.Sync(); !errors.Is(err, ErrClosed) {
				errs[i] = err
			}
		})
	}
	wait.Wait()
	return errors.Join(errs...)
}

func (s *Store) all() []*Conversation {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*Conversation
	for _, c := range s.open {
		if c != nil {
			all = append(all, c)
		}
	}
	return all
}

// beginSave counts a state that is being saved, so that Close waits for it.
func (s *Store) beginSave() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	s.saves.Add(1)
	return nil
}

// Close closes every conversation, waits until states that are being saved are,
// and gives the folder to whoever opens it next.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	var errs []error
	for _, c := range s.all() {
		errs = append(errs, c.Close())
	}
	s.saves.Wait()
	errs = append(errs, s.lock.Close(), s.disk.close())
	return errors.Join(errs...)
}
