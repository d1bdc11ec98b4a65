package journal

import "slices"

// mend makes the file what was appended, after a write or a sync failed.
func (c *Conversation) mend() error {
	if !c.spoilt {
		return nil
	}
	if _, err := c.file.WriteAt(c.tail, c.tailAt); err != nil {
		return err
	}
	if err := c.file.Truncate(c.size); err != nil {
		return err
	}
	c.spoilt = false
	return nil
}

// Sync waits until everything that was appended before is on the disk. Those
// who call it at the same time wait for the disk together. After an error
// nothing is lost as long as the process lives: the next Append or Sync
// writes again what may not be on the disk.
func (c *Conversation) Sync() error {
	c.mu.Lock()
	target := c.records
	c.mu.Unlock()
	c.syncing.Lock()
	defer c.syncing.Unlock()
	if err := c.sync(target); err != nil {
		return naming("sync", c.id, err)
	}
	return nil
}

// sync brings what is before target to the disk, and what came since along with it.
func (c *Conversation) sync(target int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return ErrClosed
	}
	if c.synced >= target {
		return nil
	}
	if err := c.mend(); err != nil {
		return err
	}
	size, named := c.size, c.named
	c.mu.Unlock()
	err := c.file.Sync()
	if err == nil && !named {
		err = c.store.disk.sync()
	}
	c.mu.Lock()
	if err != nil {
		// The kernel may forget what it could not write, so it is written again.
		c.spoilt = true
		return err
	}
	c.named, c.synced = true, size
	c.tail = append(c.tail[:0], c.tail[size-c.tailAt:]...)
	c.tailAt = size
	if cap(c.tail) > 2*tailBytes {
		c.tail = slices.Clone(c.tail)
	}
	c.mark()
	return nil
}

// mark notes in the file what is on the disk. Without the note damage could be
// taken for a torn tail, which is no reason to fail.
func (c *Conversation) mark() {
	m := mark{Synced: c.synced, Finished: !c.held.unfinished}
	frame, err := appendFrame(nil, c.size, m)
	if err != nil || c.size+int64(len(frame)) > MaxJournal {
		return
	}
	if err := c.mend(); err != nil {
		return
	}
	if _, err := c.file.WriteAt(frame, c.size); err != nil {
		c.spoilt = c.file.Truncate(c.size) != nil
		return
	}
	c.size += int64(len(frame))
	c.tail = append(c.tail, frame...)
}
