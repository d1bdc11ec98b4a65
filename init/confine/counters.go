package confine

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// Counters are what the kernel counts of a cgroup. What it does not count (the
// controller is missing) is 0.
type Counters struct {
	Memory    uint64        // bytes in use now
	Processes int           // processes and threads now
	CPU       time.Duration // used since its start

	MemoryHigh uint64 // how often it was slowed because it was above Limits.MemoryHigh
	OOMKills   uint64 // processes killed because it was at Limits.MemoryMax
	PIDsMax    uint64 // how often it was refused a new process or thread

	// CPUWaited is for how long since its start some part of it could have run and
	// had no processor (PSI: kernel Documentation/accounting/psi.rst).
	CPUWaited time.Duration

	// MemoryStalled is how much of the last ten seconds all of it stood still
	// waiting for memory, in percent.
	MemoryStalled float64
}

// counterFiles are kept open while the cgroup lives: reading an open file costs
// a tenth of opening it, and works when no descriptors are left.
type counterFiles struct {
	memory, memoryEvents, memoryPressure, pids, pidsEvents, cpu, cpuPressure *os.File
}

// Counters reads all counters.
func (c *Cgroup) Counters() Counters {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.path == "" {
		return Counters{}
	}
	if c.counters == nil {
		c.counters = openCounters(c.path)
	}
	f := c.counters
	var n Counters
	var text [1024]byte
	n.Memory = number(read(f.memory, text[:]))
	n.Processes = int(number(read(f.pids, text[:])))
	n.CPU = time.Duration(number(keyed(read(f.cpu, text[:]), "usage_usec"))) * time.Microsecond
	events := read(f.memoryEvents, text[:])
	n.MemoryHigh, n.OOMKills = number(keyed(events, "high")), number(keyed(events, "oom_kill"))
	n.PIDsMax = number(keyed(read(f.pidsEvents, text[:]), "max"))
	n.CPUWaited = waited(read(f.cpuPressure, text[:]))
	n.MemoryStalled = stalled(read(f.memoryPressure, text[:]))
	return n
}

// Memory is what the cgroup uses now, in bytes; 0 if that is not known.
func (c *Cgroup) Memory() uint64 { return c.Counters().Memory }

// OutOfMemory says whether the kernel killed processes of the cgroup because
// it was at its limit.
func (c *Cgroup) OutOfMemory() bool { return c.Counters().OOMKills > 0 }

func openCounters(path string) *counterFiles {
	open := func(name string) *os.File {
		f, err := os.Open(filepath.Join(path, name))
		if err != nil {
			return nil // reads as nothing
		}
		return f
	}
	return &counterFiles{
		memory: open("memory.current"), memoryEvents: open("memory.events"), memoryPressure: open("memory.pressure"),
		pids: open("pids.current"), pidsEvents: open("pids.events"), cpu: open("cpu.stat"), cpuPressure: open("cpu.pressure"),
	}
}

func (c *Cgroup) closeCounters() {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.counters
	if f == nil {
		return
	}
	for _, file := range []*os.File{f.memory, f.memoryEvents, f.memoryPressure, f.pids, f.pidsEvents, f.cpu, f.cpuPressure} {
		file.Close() // a nil file says so and no more
	}
	c.counters = nil
}

func read(f *os.File, into []byte) []byte {
	n, _ := f.ReadAt(into, 0) // a nil file reads nothing
	return into[:max(n, 0)]
}

func number(text []byte) uint64 {
	value, _ := strconv.ParseUint(string(bytes.TrimSpace(text)), 10, 64)
	return value
}

// keyed returns the value of a line "key value".
func keyed(text []byte, key string) []byte {
	for line := range bytes.Lines(text) {
		if name, value, found := bytes.Cut(line, []byte{' '}); found && string(name) == key {
			return value
		}
	}
	return nil
}

// waited reads the total of the line "some avg10=0.00 ... total=123", which is in
// microseconds.
func waited(text []byte) time.Duration {
	_, total, _ := bytes.Cut(keyed(text, "some"), []byte("total="))
	return time.Duration(number(total)) * time.Microsecond
}

// stalled reads avg10 of the line "full avg10=0.00 avg60=0.00 ..." of a
// pressure file.
func stalled(text []byte) float64 {
	_, after, _ := bytes.Cut(keyed(text, "full"), []byte("avg10="))
	value, _, _ := bytes.Cut(after, []byte{' '})
	percent, _ := strconv.ParseFloat(string(value), 64)
	return percent
}
