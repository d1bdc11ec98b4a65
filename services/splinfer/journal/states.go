package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"runa/services/hint"
)

// states keeps account of the states of a store.
type states struct {
	disk disk
	log  hclog.Logger

	mu     sync.Mutex
	budget int64
	used   int64 // by all that are held, and by those that are being saved
	held   map[string]*held
}

// held is the state of one conversation.
type held struct {
	bytes   int64
	at      time.Time // when it was saved or last loaded
	loading bool
}

func (s *states) size(id string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.held[id]; h != nil {
		return h.bytes
	}
	return 0
}

// reserve makes room for n bytes more of a state that is being saved.
func (s *states) reserve(n int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.used+n > s.budget {
		err := s.giveUp("there are newer ones")
		if errors.Is(err, errNoneHeld) {
			return hint.New(fmt.Errorf("%w: the budget of all states is %d bytes", ErrTooLarge, s.budget), "give splinfer a larger budget for states")
		}
		if err != nil {
			return err
		}
	}
	s.used += n
	return nil
}

// free takes back what was reserved.
func (s *states) free(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used -= n
}

// shrink gives states up until they fit into the budget.
func (s *states) shrink() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.used > s.budget {
		if err := s.giveUp("the budget is smaller than before"); err != nil {
			return err
		}
	}
	return nil
}

// giveUpOldest makes room on a full disk, and says whether it did.
func (s *states) giveUpOldest() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.giveUp("the disk is full")
	if err != nil && !errors.Is(err, errNoneHeld) {
		s.log.Warn("no state can be given up", "error", err)
	}
	return err == nil
}

// errNoneHeld means that there is no state that could be given up.
var errNoneHeld = errors.New("no state is held")

// giveUp removes the oldest state that nobody is loading; mu must be held.
func (s *states) giveUp(reason string) error {
	oldest := ""
	for id, h := range s.held {
		if h.loading {
			continue
		}
		if o := s.held[oldest]; o == nil || h.at.Before(o.at) || h.at.Equal(o.at) && id < oldest {
			oldest = id
		}
	}
	h := s.held[oldest]
	if h == nil {
		return errNoneHeld
	}
	if err := s.disk.remove(oldest + stateSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("give up the state of conversation %s: %w", oldest, err)
	}
	s.log.Info("a state was given up", "conversation", oldest, "bytes", h.bytes, "reason", reason)
	s.drop(oldest)
	return nil
}

// drop takes a state whose file is gone out of the account; mu must be held.
func (s *states) drop(id string) {
	if h := s.held[id]; h != nil {
		s.used -= h.bytes
		delete(s.held, id)
	}
}

func (s *states) forget(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(id)
}

// replace makes the file temp, whose bytes are reserved already, id's state.
// Both happen at once, so that nobody gives the new one up for the old one.
func (s *states) replace(id, temp string, bytes int64, at time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.disk.rename(temp, id+stateSuffix); err != nil {
		return err
	}
	s.drop(id)
	s.held[id] = &held{bytes: bytes, at: at}
	return nil
}

// load marks the state as being loaded, so that it is not given up, or returns false.
func (s *states) load(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.held[id]
	if h != nil {
		h.loading = true
	}
	return h != nil
}

// loaded ends load.
func (s *states) loaded(id string, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.held[id]; h != nil {
		h.loading, h.at = false, at
	}
}
