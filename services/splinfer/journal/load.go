package journal

import (
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"io/fs"
)

// LoadState returns the state of the conversation and after how many tokens it
// was saved. ErrNoState: there is none, or none that is whole and matches the
// journal; a damaged one is removed. All of r was checked before it is returned.
//
// Close r after the state has been used. Should the process die before, then the state
// is taken for what killed it, and Open removes it.
func (c *Conversation) LoadState() (tokens int, r io.ReadCloser, err error) {
	if err := c.occupy(); err != nil {
		return 0, nil, naming("load the state of", c.id, err)
	}
	s := c.store
	if !s.states.load(c.id) {
		c.vacate()
		return 0, nil, naming("load the state of", c.id, ErrNoState)
	}
	reader, info, err := c.loadState()
	if err != nil {
		s.states.loaded(c.id, s.now())
		if errors.Is(err, errBadState) {
			s.log.Warn("a damaged state was removed", "conversation", c.id)
			_ = s.disk.remove(c.stateName()) // the next SaveState replaces it
			s.states.forget(c.id)
		}
		c.vacate()
		return 0, nil, naming("load the state of", c.id, err)
	}
	return int(info.tokens), reader, nil
}

func (c *Conversation) loadState() (r *stateReader, info stateInfo, err error) {
	d := c.store.disk
	f, err := d.open(c.stateName(), present)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, info, fmt.Errorf("%w: %w: its file is gone", ErrNoState, errBadState)
	}
	if err != nil {
		return nil, info, err
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	if info, err = c.readState(f); err != nil {
		return nil, info, err
	}
	if err := d.rename(c.stateName(), c.id+loadingSuffix); err != nil {
		return nil, info, err
	}
	return &stateReader{c: c, file: f, in: io.NewSectionReader(f, stateHeader, info.length)}, info, nil
}

// readState checks all of a state.
func (c *Conversation) readState(f file) (info stateInfo, err error) {
	size, err := f.size()
	if err != nil {
		return info, err
	}
	b := make([]byte, min(size, stateHeader))
	if _, err := f.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return info, err
	}
	if info, err = decodeState(b); err != nil {
		return info, fmt.Errorf("%w: %w", ErrNoState, err)
	}
	if info.length != size-stateHeader {
		return info, fmt.Errorf("%w: %w: it has another length than its header says", ErrNoState, errBadState)
	}
	if !c.matches(info) {
		return info, fmt.Errorf("%w: there is one of other tokens", ErrNoState)
	}
	sum := crc32.New(castagnoli)
	if err := copyAll(sum, io.NewSectionReader(f, stateHeader, info.length)); err != nil {
		return info, err
	}
	if sum.Sum32() != info.checksum {
		return info, fmt.Errorf("%w: %w: its checksum is wrong", ErrNoState, errBadState)
	}
	return info, nil
}

func copyAll(to hash.Hash32, from io.Reader) error {
	_, err := io.CopyBuffer(to, struct{ io.Reader }{from}, make([]byte, 1<<18))
	return err
}

func (c *Conversation) matches(info stateInfo) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return info.tokens >= 0 && info.tokens <= int64(len(c.held.tokens)) && c.held.digest(int(info.tokens)) == info.digest
}

// stateReader reads a state that is being loaded. One goroutine at a time uses it.
type stateReader struct {
	c      *Conversation
	file   file
	in     *io.SectionReader
	closed bool
}

func (r *stateReader) Read(p []byte) (int, error) {
	if r.closed {
		return 0, fmt.Errorf("read a state: %w", ErrClosed)
	}
	return r.in.Read(p)
}

// Close gives the state its name back.
func (r *stateReader) Close() error {
	if r.closed {
		return nil
	}
	r.closed = true
	c, now := r.c, r.c.store.now()
	defer c.vacate()
	err := r.file.Close()
	if failed := c.store.disk.rename(c.id+loadingSuffix, c.stateName()); failed != nil {
		c.store.states.forget(c.id)
		err = errors.Join(err, failed)
	} else {
		c.store.states.loaded(c.id, now)
		_ = c.store.disk.touch(c.stateName(), now) // only the order in which states are given up
	}
	if err != nil {
		return naming("load the state of", c.id, err)
	}
	return nil
}
