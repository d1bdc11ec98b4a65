package chaos

import (
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// timings are how long something took, by the clock and in processor time of the
// whole process: on a busy machine the former is mostly waiting for a processor.
// The goroutine is not bound to a thread: it would give way more slowly, and that
// is part of what is timed.
type timings struct{ wall, busy []time.Duration }

func (m *timings) add(do func()) {
	begin, cpu := time.Now(), processTime()
	do()
	took := time.Since(begin)
	m.busy = append(m.busy, processTime()-cpu)
	m.wall = append(m.wall, took)
}

func (m *timings) join(other timings) {
	m.wall = append(m.wall, other.wall...)
	m.busy = append(m.busy, other.busy...)
}

func processTime() time.Duration {
	var t unix.Timespec
	unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t) // cannot fail with this clock
	return time.Duration(t.Nano())
}

func (m *timings) String() string {
	if len(m.wall) == 0 {
		return "none"
	}
	at := func(d []time.Duration, q int) time.Duration {
		slices.Sort(d)
		return d[min(len(d)*q/100, len(d)-1)].Round(100 * time.Nanosecond)
	}
	return fmt.Sprintf("%d, p50 %v p99 %v; processor time p50 %v p99 %v", len(m.wall),
		at(m.wall, 50), at(m.wall, 99), at(m.busy, 50), at(m.busy, 99))
}
