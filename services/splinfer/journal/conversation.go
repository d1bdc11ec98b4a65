package journal

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
)

// tailBytes is from how many bytes on that are not on the disk Append brings them there.
const tailBytes = 1 << 20

// Conversation is one journal that is open.
type Conversation struct {
	id    string
	store *Store

	syncing sync.Mutex // held while the disk is waited for; taken before mu

	mu      sync.Mutex // guards what follows
	file    file
	held    contents
	size    int64  // end of what was appended
	records int64  // end of the last record that is no mark
	synced  int64  // everything before it is on the disk, as far as is known
	tail    []byte // what was appended from tailAt on, to be written again if the disk fails
	tailAt  int64
	spoilt  bool // the file is not what was appended: a write or a sync failed
	named   bool // the file's name is on the disk
	closed  bool
	busy    bool // its state is being saved or loaded
	buffer  []byte
}

// ID returns the conversation's name.
func (c *Conversation) ID() string { return c.id }

func (c *Conversation) name() string { return c.id + journalSuffix }

// load reads the journal, cuts its torn tail off, and makes it if it is not there.
func (c *Conversation) load() (err error) {
	if c.file, err = c.store.disk.open(c.name(), made); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			c.file.Close()
		}
	}()
	size, err := c.file.size()
	if err != nil {
		return err
	}
	e, err := scan(c.file, size, c.held.take)
	if err != nil {
		return err
	}
	if e.end == 0 {
		return c.begin(size)
	}
	if e.end < size {
		c.store.log.Warn("the torn end of a conversation was cut off", "conversation", c.id, "bytes", size-e.end, "at", e.end)
		if err := c.file.Truncate(e.end); err != nil {
			return err
		}
		// What was cut off must not come back behind what is appended next.
		if err := c.file.Sync(); err != nil {
			return err
		}
	}
	c.size, c.tailAt, c.records, c.synced, c.named = e.end, e.end, e.records, e.synced, e.synced > 0
	return nil
}

// begin writes the header of a journal that nobody has been promised anything of.
func (c *Conversation) begin(size int64) error {
	if size > 0 {
		c.store.log.Warn("a conversation that never got to the disk begins anew", "conversation", c.id)
		if err := c.file.Truncate(0); err != nil {
			return err
		}
	}
	if err := c.write(header()); err != nil {
		_ = c.store.disk.remove(c.name()) // nobody knows of it
		return err
	}
	c.records = c.size
	return nil
}

// Append writes records at the end, all of them with one write, or none. They are safe from
// the death of the process then, from a power cut after the next Sync.
// Errors wrap ErrRecord, ErrFull, ErrTooLarge, ErrClosed or the disk's.
func (c *Conversation) Append(records ...Record) error {
	needsSync, err := c.append(records)
	if err != nil {
		return naming("append to", c.id, err)
	}
	if needsSync {
		// The records were appended; the next Sync tells if this one failed.
		_ = c.Sync()
	}
	return nil
}

func (c *Conversation) append(records []Record) (needsSync bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false, ErrClosed
	}
	if len(records) == 0 {
		return false, nil
	}
	frames, err := c.frames(records)
	if err != nil {
		return false, err
	}
	if err := c.write(frames); err != nil {
		return false, err
	}
	for _, r := range records {
		c.held.apply(r)
	}
	c.records = c.size
	return len(c.tail) > tailBytes, nil
}

// frames checks the records and encodes them into the buffer.
func (c *Conversation) frames(records []Record) (frames []byte, err error) {
	frames = c.buffer[:0]
	length := len(c.held.tokens)
	for i, r := range records {
		if length, err = after(r, length); err == nil {
			frames, err = appendFrame(frames, c.size+int64(len(frames)), r)
		}
		if err != nil {
			return nil, fmt.Errorf("record %d of %d: %w", i+1, len(records), err)
		}
	}
	if c.buffer = frames; cap(frames) > tailBytes {
		c.buffer = nil
	}
	// A mark must still fit.
	if c.size+int64(len(frames))+markSize > MaxJournal {
		return nil, fmt.Errorf("%w: a conversation has at most %d bytes", ErrTooLarge, MaxJournal)
	}
	return frames, nil
}

// write puts frames at the end of the file, giving states up for them if the
// disk is full. If it fails the file is what it was.
func (c *Conversation) write(frames []byte) error {
	if err := c.mend(); err != nil {
		return err
	}
	for {
		_, err := c.file.WriteAt(frames, c.size)
		if err == nil {
			break
		}
		if c.file.Truncate(c.size) != nil {
			c.spoilt = true
			return err
		}
		if !errors.Is(fault(err), ErrFull) || !c.store.states.giveUpOldest() {
			return err
		}
	}
	c.size += int64(len(frames))
	c.tail = append(c.tail, frames...)
	return nil
}

// Tokens returns the tokens of the conversation: what a model that goes on with
// it must have read.
func (c *Conversation) Tokens() []int32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.held.tokens)
}

// Records returns all records.
func (c *Conversation) Records() ([]Record, error) {
	var records []Record
	err := c.Replay(func(r Record) error {
		records = append(records, r)
		return nil
	})
	return records, err
}

// Replay reads the records from the file and calls each for one after
// another until it returns an error. What is appended meanwhile is not read.
func (c *Conversation) Replay(each func(Record) error) error {
	c.mu.Lock()
	size, closed, err := c.size, c.closed, c.mend()
	c.mu.Unlock()
	if closed {
		err = ErrClosed
	}
	if err != nil {
		return naming("read", c.id, err)
	}
	e, err := scan(io.NewSectionReader(c.file, 0, size), size, each)
	if err == nil && e.end != size {
		err = fmt.Errorf("%w: at byte %d there is no record, but there was one", ErrDamaged, e.end)
	}
	if err != nil {
		return naming("read", c.id, err)
	}
	return nil
}

// Close is Sync, and lets others open the conversation. It is closed also when
// an error is returned.
func (c *Conversation) Close() error {
	err := c.Sync()
	if errors.Is(err, ErrClosed) {
		return nil
	}
	c.syncing.Lock()
	defer c.syncing.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	err = errors.Join(err, c.file.Close())
	if !c.busy {
		c.store.release(c.id)
	}
	return err
}
