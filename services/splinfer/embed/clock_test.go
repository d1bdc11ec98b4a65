package embed

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// processorTime is what the calling thread has used.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &now); err != nil {
		b.Fatal(err)
	}
	return time.Duration(now.Nano())
}
