package journal

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// SaveState keeps what write writes as the state after the first tokens of the
// conversation, in place of an earlier one. It may take as long as the disk
// needs, and run while records are appended. The oldest states are given up
// for it when the budget is used up; errors wrap ErrTooLarge if even that is not
// enough, ErrFull, ErrBusy (a state of this conversation is being saved or
// loaded), ErrRecord (there are not that many tokens), ErrClosed, write's or the disk's.
func (c *Conversation) SaveState(tokens int, write func(io.Writer) error) error {
	if err := c.store.beginSave(); err != nil {
		return naming("save the state of", c.id, err)
	}
	defer c.store.saves.Done()
	if err := c.occupy(); err != nil {
		return naming("save the state of", c.id, err)
	}
	defer c.vacate()
	c.mu.Lock()
	held := contents{tokens: c.held.tokens, model: c.held.model}
	if tokens >= 0 && tokens <= len(held.tokens) {
		held.tokens = append([]int32(nil), held.tokens[:tokens]...) // a mask may change them
	}
	c.mu.Unlock()
	if tokens < 0 || tokens > len(held.tokens) {
		return naming("save the state of", c.id, fmt.Errorf("%w: a state after %d tokens, there are %d", ErrRecord, tokens, len(held.tokens)))
	}
	info := stateInfo{tokens: int64(tokens), digest: held.digest(tokens)}
	if err := c.saveState(info, write); err != nil {
		return naming("save the state of", c.id, err)
	}
	return nil
}

func (c *Conversation) saveState(info stateInfo, write func(io.Writer) error) (err error) {
	s, temp := c.store, c.stateName()+tempSuffix
	f, err := s.disk.open(temp, emptied)
	if err != nil {
		return err
	}
	w := &stateWriter{file: f, states: s.states, at: stateHeader}
	defer func() {
		f.Close()
		if err != nil {
			s.states.free(w.reserved)
			_ = s.disk.remove(temp) // Open does it if this fails
		}
	}()
	if err := w.reserve(stateHeader); err != nil {
		return err
	}
	if err := errors.Join(write(w), w.err); err != nil {
		return err
	}
	info.checksum, info.length = w.checksum, w.at-stateHeader
	if _, err := f.WriteAt(info.encode(), 0); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	now := s.now()
	if err := s.disk.touch(temp, now); err != nil {
		return err
	}
	if err := s.states.replace(c.id, temp, w.reserved, now); err != nil {
		return err
	}
	w.reserved = 0
	return s.disk.sync()
}

// stateWriter writes a state's payload.
type stateWriter struct {
	file     file
	states   *states
	at       int64
	reserved int64
	checksum uint32
	err      error // the first one, for a write function that swallows it
}

func (w *stateWriter) reserve(n int) error {
	if err := w.states.reserve(int64(n)); err != nil {
		return err
	}
	w.reserved += int64(n)
	return nil
}

func (w *stateWriter) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	if w.err = w.reserve(len(p)); w.err != nil {
		return 0, w.err
	}
	for {
		_, w.err = w.file.WriteAt(p, w.at)
		if w.err == nil {
			break
		}
		if !errors.Is(fault(w.err), ErrFull) || !w.states.giveUpOldest() {
			return 0, w.err
		}
	}
	w.at += int64(len(p))
	w.checksum = crc32.Update(w.checksum, castagnoli, p)
	return len(p), nil
}
