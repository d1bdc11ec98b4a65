package supervise

import (
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// endReason tells in plain words how a process ended after it ran for so long.
func endReason(status syscall.WaitStatus, ran time.Duration) string {
	if status.Signaled() {
		return fmt.Sprintf("killed by signal %d (%s) after %s", int(status.Signal()), unix.SignalName(status.Signal()), durationText(ran))
	}
	return fmt.Sprintf("exited with status %d after %s", status.ExitStatus(), durationText(ran))
}

// outOfMemoryReason is endReason when the kernel did it; limit is the service's
// own limit in bytes, 0 if it has none.
func outOfMemoryReason(limit uint64, ran time.Duration) string {
	if limit == 0 {
		return fmt.Sprintf("out of memory: killed by the kernel after %s", durationText(ran))
	}
	return fmt.Sprintf("out of memory: killed by the kernel at its limit %s after %s", sizeText(limit), durationText(ran))
}

func durationText(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return d.Round(time.Second).String()
}

func sizeText(bytes uint64) string {
	switch {
	case bytes%(1<<30) == 0:
		return fmt.Sprintf("%d GiB", bytes>>30)
	case bytes%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", bytes>>20)
	}
	return fmt.Sprintf("%d KiB", bytes>>10)
}
