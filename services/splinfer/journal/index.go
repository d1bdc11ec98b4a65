package journal

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Info is what a listing tells of a conversation.
type Info struct {
	ID         string
	Bytes      int64     // of the journal
	StateBytes int64     // of the state; 0: there is none
	Modified   time.Time // when the journal was written to
	Open       bool      // by this Store
}

// List lists the conversations by name. It reads the folder, not the files.
func (s *Store) List() ([]Info, error) {
	entries, err := s.disk.list()
	if err != nil {
		return nil, fmt.Errorf("list conversations: %w", fault(err))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []Info
	for _, e := range entries {
		id, ok := strings.CutSuffix(e.name, journalSuffix)
		if !ok || checkID(id) != nil {
			continue
		}
		_, open := s.open[id]
		list = append(list, Info{ID: id, Bytes: e.bytes, StateBytes: s.states.size(id), Modified: e.modified, Open: open})
	}
	return list, nil
}

// Recover lists the conversations in which an answer began and did not end,
// and which nobody has open: what was open at a crash, if it is called before
// anything else. It reads the journals that were not finished in peace, and a few
// bytes of the others. One that is damaged is logged and left out.
func (s *Store) Recover() ([]Info, error) {
	list, err := s.List()
	if err != nil {
		return nil, err
	}
	var found []Info
	for _, info := range list {
		if info.Open {
			continue
		}
		unfinished, err := s.unfinished(info.ID)
		switch {
		case errors.Is(err, ErrDamaged) || errors.Is(err, ErrNewer):
			s.log.Warn("a conversation can't be read", "conversation", info.ID, "error", err)
		case err != nil:
			return found, naming("read", info.ID, err)
		case unfinished:
			found = append(found, info)
		}
	}
	return found, nil
}

func (s *Store) unfinished(id string) (bool, error) {
	f, err := s.disk.open(id+journalSuffix, present)
	if errors.Is(fault(err), ErrNotFound) {
		return false, nil // it was removed meanwhile
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	size, err := f.size()
	if err != nil {
		return false, err
	}
	if at := size - markSize; at >= headerSize {
		b := make([]byte, markSize)
		if _, err := f.ReadAt(b, at); err != nil {
			return false, err
		}
		if m, ok := markAt(at, b); ok && m.Finished {
			return false, nil
		}
	}
	var held contents
	_, err = scan(f, size, held.take)
	return held.unfinished, err
}
