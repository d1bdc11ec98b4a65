package gilgul

import (
	"bytes"
	"fmt"
	"os"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"

	"runa/init/logring"
)

// logName is the name under which gilgul's own log is kept.
const logName = "gilgul"

// newLog makes gilgul's log: readable lines in its ring, and the same in the
// kernel's log, where they stand in one order with what the kernel says and
// can be read (dmesg) even if the control socket can't.
func newLog(ring *logring.Ring) hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{
		Name:        logName,
		Level:       hclog.Info,
		Output:      &logOutput{ring: ring.Writer(), kernel: openKernelLog()},
		DisableTime: true, // both keep a time of their own
	})
}

func openKernelLog() *os.File {
	f, err := os.OpenFile("/dev/kmsg", os.O_WRONLY|unix.O_NOCTTY, 0)
	if err != nil {
		return nil
	}
	return f
}

type logOutput struct {
	ring   *logring.Writer
	kernel *os.File // nil where there is none
}

// kernelLine bounds a record for /dev/kmsg (LOG_LINE_MAX, kernel/printk).
const kernelLine = 900

func (o *logOutput) Write(p []byte) (int, error) {
	o.ring.Write(p)
	if o.kernel != nil {
		line := bytes.TrimSpace(p)
		// <6> is "informational": below what the console shows.
		fmt.Fprintf(o.kernel, "<6>%s\n", line[:min(len(line), kernelLine)])
	}
	return len(p), nil
}

// uptime is how long the machine has run, including sleep.
func uptime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}
