package supervise

import (
	"fmt"
	"syscall"
	"time"

	"runa/init/lifecycle"
)

// exitCorruptState is the status with which a service says that its state is
// corrupt (EX_DATAERR; the same as supervised.ExitCorruptState).
const exitCorruptState = 65

// ending is how a process ended.
type ending struct {
	status      syscall.WaitStatus
	ran         time.Duration
	outOfMemory bool   // the kernel killed it, or a part of it, for its memory
	memoryMax   uint64 // its own limit in bytes, 0: none
}

// event is what the ending means for the service's life.
func (e ending) event() lifecycle.Event {
	event := lifecycle.Event{Kind: lifecycle.Exited, OK: e.status.Exited() && e.status.ExitStatus() == 0, Reason: endReason(e.status, e.ran)}
	switch {
	case event.OK:
	case e.outOfMemory:
		event.Class, event.Reason = lifecycle.ClassOutOfMemory, outOfMemoryReason(e.memoryMax, e.ran)
	case e.status.Signaled():
		event.Class = lifecycle.ClassSignal
	case e.status.ExitStatus() == exitCorruptState:
		event.Class = lifecycle.ClassCorruptState
		event.Reason = fmt.Sprintf("it found its state corrupt (status %d) after %s", exitCorruptState, durationText(e.ran))
	default:
		event.Class = lifecycle.ClassExit
	}
	return event
}
