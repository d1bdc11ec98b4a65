package splinter

import (
	"fmt"
)

// ErrShare means that a uid's keys have taken all that Options.Share leaves one
// uid. It is an ErrFull too.
var ErrShare = fmt.Errorf("%w for this uid", ErrFull)

// A bus made with a share counts, when a key or a block is added, what the keys
// that the same uid added have taken already. It keeps no sum that a death could
// leave wrong; it costs a look at every slot. Root and the file's owner have no limit.

func (b *Bus) shared() bool { return b.g.Share != 0 && !b.channels.master }

// checkShare says whether this process's uid may add a key; the caller holds the store lock.
func (b *Bus) checkShare() error {
	if !b.shared() {
		return nil
	}
	limit := uint64(b.g.Slots) * uint64(b.g.Share) / 100
	if keys, _ := b.takenBy(b.channels.uid); keys >= limit {
		return fmt.Errorf("%w: uid %d has %d keys, %d percent of %d were expected at most", ErrShare, b.channels.uid, keys, b.g.Share, b.g.Slots)
	}
	return nil
}

// checkHeapShare says whether keys of the uid may take a block of n bytes more.
func (b *Bus) checkHeapShare(uid uint32, n int) error {
	if !b.shared() {
		return nil
	}
	limit := b.g.HeapSize * uint64(b.g.Share) / 100
	block := uint64(unitSize) << orderFor(n)
	_, taken := b.takenBy(uid)
	if taken+block > limit && b.dropSpares() {
		_, taken = b.takenBy(uid)
	}
	if taken+block > limit {
		return fmt.Errorf("%w: values of uid %d take %d bytes, %d percent of %d were expected at most", ErrShare, uid, taken+block, b.g.Share, b.g.HeapSize)
	}
	return nil
}

// takenBy is how many keys the uid has added and how many bytes of blocks they hold.
func (b *Bus) takenBy(uid uint32) (keys, bytes uint64) {
	for i := range b.g.Slots {
		if s := b.slot(i); b.usedSlot(i) && s.uid.Load() == uid && s.keyLen.Load() != 0 {
			keys++
			for n := range s.records {
				bytes += uint64(b.capacity(block(load(&s.records[n].block))))
			}
		}
	}
	return keys, bytes
}
