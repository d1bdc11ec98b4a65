package splinter

// A topicStep is a place where the death of a publisher or subscriber leaves
// something for others to mend. The tests kill a process at each.
type topicStep int

const (
	stepTopicLocked   topicStep = iota + 1 // publish: the lock is held, nothing is written
	stepCellHalf                           // publish: part of the frame is in the cell
	stepCellFilled                         // publish: all of the message is there, not published
	stepBlockReferred                      // publish: the cell refers to the block, which is not yet the cell's
	stepBlockHanded                        // publish: the block is the cell's, not published
	stepPublished                          // publish: it is published, nobody is woken, the lock held
	stepForced                             // publish: one subscriber was moved on, the lock held
	stepRetired                            // publish: the oldest is out of the ring, its block not free
	stepBlockCut                           // publish: the cell refers to no block, which is not free
	stepUnlockedFull                       // publish: waits for a subscriber
	stepLoaned                             // loan: the block is taken
	stepSubscribed                         // subscribe: the place is ours, the lock held
	stepPinned                             // receive: the block is pinned, the message not ours
	stepTaken1                             // receive: the message is ours and not decoded
	stepUnpinned                           // release: the pin is gone, the block not free
	topicSteps
)

// hookTopicStep is called at every step; tests only.
var hookTopicStep func(topicStep)

func passed(s topicStep) {
	if hookTopicStep != nil {
		hookTopicStep(s)
	}
}
