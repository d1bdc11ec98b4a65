package splinter

// A step is a place in a writer where its death leaves something for others to
// mend. The tests kill a process at each.
type step int

const (
	stepSplit      step = iota + 1 // alloc: a larger block is in two
	stepTaken                      // alloc: the block is taken, nobody refers to it
	stepFreed                      // free: the block is free, in no list
	stepMerged                     // free: it is one with its neighbour, in no list
	stepSlotTaken                  // set of a new key: a slot is marked, without a key
	stepEpochOdd                   // set: the spare record is open for writing
	stepLinked                     // set: the spare record refers to a new block
	stepReplaced                   // set: the spare record's old block is cut off, not free
	stepHalfCopied                 // set: half of the value is there
	stepWritten                    // set: the record is whole and valid, the lock held
	stepKeyed                      // set of a new key: the slot has its key, no index entry
	stepIndexed                    // set of a new key: the index names it, locks held
	stepSpareCut                   // set: the old record's large block is cut off, not free
	stepDropped                    // unset: the index entry is gone
	stepKeyCut                     // unset: the slot has no key, but its blocks
	stepUnlinked                   // unset: one of its blocks is cut off, not free
	stepUnsetDone                  // unset: all is freed but the slot
	stepLogging                    // any change: its event is written, not yet counted
	steps
)

// hookStep is called at every step; tests only.
var hookStep func(step)

func reached(s step) {
	if hookStep != nil {
		hookStep(s)
	}
}
