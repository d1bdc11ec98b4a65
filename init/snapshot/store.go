package snapshot

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"

	"runa/init/servicename"
	"runa/services/hint"
)

// Aside is a state that was set aside.
type Aside struct {
	Folder   string    // where it is now
	Restored time.Time // when the snapshot was taken that stands in its place; zero: an empty folder does
}

// Errors a caller may want to tell apart.
var (
	// ErrChanging: the service wrote all the while. Freeze its cgroup and try again.
	ErrChanging = errors.New("it kept changing while it was copied")
	ErrTooLarge = errors.New("it is more than a snapshot may hold")
	ErrNoRoom   = errors.New("there is no room for it on the disk")
)

// Store holds the snapshots and the states set aside. Its methods may be called
// from many goroutines; for one service they take turns, and what a service
// waits for (SetAside, GiveBack) ends a Take that is under way.
type Store struct {
	// May be set before the first use.
	MaxBytes   int64 // of one snapshot; each entry counts 4 KiB beside its content
	MaxEntries int
	MaxDepth   int // folders within folders
	KeepAside  int // states set aside, of each service
	Log        hclog.Logger

	root, aside string
	disk        disk
	pause       time.Duration               // before a folder that changed is copied again; longer each time
	room        func(fd int) (int64, error) // bytes a snapshot may take of the disk

	mu     sync.Mutex
	turns  map[string]*turn
	copied map[string]copied // by service
}

// copied is what the newest snapshot of a service is a copy of.
type copied struct {
	name  string
	print uint64
}

// Open names the folder of the snapshots; the states set aside are in a folder
// "aside" beside it. Both are made when they are needed. What a power cut left
// unfinished is deleted at the first use.
func Open(root string) *Store {
	return &Store{
		MaxBytes: 1 << 30, MaxEntries: 20_000, MaxDepth: 32, KeepAside: 3,
		Log:   hclog.NewNullLogger(),
		pause: 50 * time.Millisecond,
		root:  root, aside: filepath.Join(filepath.Dir(root), "aside"),
		room:   roomBesideReserve,
		turns:  map[string]*turn{},
		copied: map[string]copied{},
	}
}

// Take copies folder as a good state of service and then keeps the newest keep
// snapshots (at least one). When nothing changed since the newest snapshot it
// stands for this one too. On any error the snapshots are what they were, but
// for old ones that were given up for room.
func (s *Store) Take(ctx context.Context, service, folder string, keep int) error {
	if err := s.take(ctx, service, folder, max(keep, 1)); err != nil {
		return fmt.Errorf("take a snapshot of %s: %w", folder, err)
	}
	return nil
}

func (s *Store) take(ctx context.Context, service, folder string, keep int) error {
	ctx, end, err := s.begin(ctx, service, false)
	if err != nil {
		return err
	}
	defer end()
	source, err := openFolder(folder)
	if err != nil {
		return err
	}
	defer source.close()
	shelf, err := s.openShelf(ctx, s.root, service)
	if err != nil {
		return err
	}
	defer shelf.close()
	name, print, err := s.copyGood(ctx, source, shelf)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.copied[service] = copied{name, print}
	s.mu.Unlock()
	shelf.keep(ctx, keep)
	return nil
}

// SetAside moves folder away and puts the newest snapshot, or an empty folder if
// there is none, in its place, in one atomic step. No process may still use the
// folder. On an error the folder is what it was.
func (s *Store) SetAside(ctx context.Context, service, folder string) (Aside, error) {
	a, err := s.setAside(ctx, service, folder)
	if err != nil {
		return Aside{}, fmt.Errorf("set %s aside: %w", folder, err)
	}
	s.Log.Warn("a service's state was set aside", "service", service, "now", a.Folder, "restored", a.Restored)
	return a, nil
}

func (s *Store) setAside(ctx context.Context, service, folder string) (Aside, error) {
	ctx, end, err := s.begin(ctx, service, true)
	if err != nil {
		return Aside{}, err
	}
	defer end()
	home, err := openFolder(filepath.Dir(folder))
	if err != nil {
		return Aside{}, err
	}
	defer home.close()
	snapshots, err := s.openShelf(ctx, s.root, service)
	if err != nil {
		return Aside{}, err
	}
	defer snapshots.close()
	aside, err := s.openShelf(ctx, s.aside, service)
	if err != nil {
		return Aside{}, err
	}
	defer aside.close()
	name, restored, err := s.prepare(ctx, home, filepath.Base(folder), snapshots, aside)
	if err != nil {
		return Aside{}, err
	}
	if err := s.exchange(home, filepath.Base(folder), aside.folder, name); err != nil {
		return Aside{}, err
	}
	aside.keep(ctx, s.KeepAside)
	return Aside{Folder: filepath.Join(aside.folder.path, name), Restored: restored}, nil
}

// GiveBack puts a state that was set aside back into its place. What stood there
// meanwhile is kept beside the states set aside. No process may still use the
// folder. A state can be given back once.
func (s *Store) GiveBack(ctx context.Context, service, folder string, a Aside) error {
	if err := s.giveBack(ctx, service, folder, a); err != nil {
		return fmt.Errorf("give %s back to %s: %w", a.Folder, folder, err)
	}
	s.Log.Warn("a service got its state back", "service", service, "from", a.Folder)
	return nil
}

func (s *Store) giveBack(ctx context.Context, service, folder string, a Aside) error {
	ctx, end, err := s.begin(ctx, service, true)
	if err != nil {
		return err
	}
	defer end()
	name := filepath.Base(a.Folder)
	if _, ok := parseName(name); !ok || filepath.Dir(a.Folder) != filepath.Join(s.aside, service) {
		return fmt.Errorf("no state of %s was set aside there", service)
	}
	home, err := openFolder(filepath.Dir(folder))
	if err != nil {
		return err
	}
	defer home.close()
	aside, err := s.openShelf(ctx, s.aside, service)
	if err != nil {
		return err
	}
	defer aside.close()
	if err := s.exchange(home, filepath.Base(folder), aside.folder, name); err != nil {
		return err
	}
	// Under a name of its own it can't be given back by mistake.
	if err := aside.rename(name, name+replaced); err != nil {
		s.Log.Error("the state that was replaced keeps its name", "folder", a.Folder, "reason", err)
	}
	return nil
}

// exchange swaps two folders atomically and makes that last.
func (s *Store) exchange(home handle, name string, aside handle, other string) error {
	err := s.disk.exchange(home, name, aside, other)
	switch {
	case errors.Is(err, unix.EXDEV):
		return hint.New(err, "the snapshots must be on the file system of the data folders")
	case errors.Is(err, unix.EINVAL):
		return hint.New(err, "the file system can't exchange two folders; ext4, xfs, btrfs and tmpfs can")
	case err != nil:
		return err
	}
	return errors.Join(s.disk.sync(home), s.disk.sync(aside))
}

// turn is one operation on a service's states.
type turn struct {
	ctx    context.Context
	cancel context.CancelFunc // nothing if it is urgent
	over   chan struct{}
}

// begin waits for the service's turn; urgent ends what is under way and isn't
// urgent itself. end must be called.
func (s *Store) begin(ctx context.Context, service string, urgent bool) (_ context.Context, end func(), err error) {
	if !servicename.Valid(service) {
		return nil, nil, fmt.Errorf("%q is not the name of a service", service)
	}
	work, cancel := context.WithCancel(ctx)
	mine := &turn{ctx: work, cancel: cancel, over: make(chan struct{})}
	if urgent {
		mine.cancel = func() {}
	}
	for {
		s.mu.Lock()
		other := s.turns[service]
		if other == nil {
			s.turns[service] = mine
			s.mu.Unlock()
			break
		}
		s.mu.Unlock()
		if urgent {
			other.cancel()
		}
		select {
		case <-other.over:
		case <-ctx.Done():
			cancel()
			return nil, nil, ctx.Err()
		}
	}
	return work, func() {
		s.mu.Lock()
		delete(s.turns, service)
		s.mu.Unlock()
		close(mine.over)
		cancel()
	}, nil
}
