package splinfer

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Pressure is how much of the last ten seconds the machine had too little of
// something, in per cent, as the kernel's pressure stall information tells it.
type Pressure struct {
	CPU    float64 // somebody waited for a processor
	Memory float64 // everybody waited for memory
}

// ReadPressure reads the pressure on this process's own cgroup, or on the whole
// machine where there is none. root is "/", or another folder in tests. Source: the
// kernel's PSI document.
func ReadPressure(root string) Pressure {
	folder := ""
	if group, err := ownGroup(filepath.Join(root, "proc/self/cgroup")); err == nil {
		folder = filepath.Join(root, "sys/fs/cgroup", group)
	}
	read := func(name, kind string) float64 {
		for _, path := range []string{filepath.Join(folder, name+".pressure"), filepath.Join(root, "proc/pressure", name)} {
			if text, err := os.ReadFile(path); err == nil {
				return averageOf(string(text), kind)
			}
		}
		return 0
	}
	return Pressure{CPU: read("cpu", "some"), Memory: read("memory", "full")}
}

// averageOf is the average of ten seconds in a line "KIND avg10=N ...".
func averageOf(text, kind string) float64 {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != kind {
			continue
		}
		number, _ := strings.CutPrefix(fields[1], "avg10=")
		if n, err := strconv.ParseFloat(number, 64); err == nil {
			return n
		}
	}
	return 0
}

// limits is when the engine looked at the machine last.
type limits struct {
	looked time.Time
	calm   int // looks in a row that found nothing wrong
}

// From which pressure on the engine takes less, and how long it waits until it
// takes more again.
const (
	lookEvery    = 2 * time.Second
	crowdedCPU   = 30 // per cent
	tightMemory  = 5  // per cent
	calmLooks    = 15
	fullShelf    = 256 << 20 // bytes
	shelfOfSpace = 8         // part of the memory that is available
)

// adjust takes fewer threads while others need the processors: ggml's threads
// wait for each other by spinning, and two on one processor are many times slower
// than one. While memory is short it gives up the states it keeps there, and then
// the seats that nobody needs; all is on the disk.
func (e *engine) adjust() {
	now := e.o.Now()
	if now.Sub(e.limits.looked) < lookEvery {
		return
	}
	e.limits.looked = now
	defer e.tellStats()
	if e.o.Pressure == nil {
		return
	}
	p := e.o.Pressure()
	if p.CPU >= crowdedCPU || p.Memory >= tightMemory {
		e.limits.calm = 0
	} else {
		e.limits.calm++
	}
	switch {
	case p.CPU >= crowdedCPU && e.threads > 1:
		e.setThreads(e.threads - 1)
	case e.limits.calm >= calmLooks && e.threads < e.o.Threads:
		e.limits.calm = 0
		e.setThreads(e.threads + 1)
	}
	switch {
	case p.Memory >= tightMemory:
		e.shrink()
	case e.limits.calm >= calmLooks && e.shelf.budget == 0:
		e.shelf.resize(e.shelfBudget())
	}
}

func (e *engine) setThreads(n int) {
	e.threads = n
	if e.current == nil {
		return
	}
	if err := e.current.context.SetThreads(n, n); err != nil {
		e.o.Log.Warn("threads can't be changed", "reason", err.Error())
		return
	}
	e.o.Log.Info("threads changed with the load of the machine", "threads", n)
}

// shrink gives memory back.
func (e *engine) shrink() {
	if e.shelf.used > 0 {
		e.o.Log.Info("memory is short: saved states are given up", "bytes", e.shelf.used)
		e.shelf.resize(0)
		return
	}
	e.shelf.resize(0)
	if e.current == nil || len(e.current.seats) == 1 || len(e.answering()) > 0 {
		return
	}
	seats := len(e.current.seats) / 2
	e.o.Log.Info("memory is short: fewer conversations are computed at once", "conversations", seats)
	if err := e.reseat(seats); err != nil {
		e.o.Log.Error("the context can't be made smaller", "reason", err.Error())
	}
}

// shelfBudget is how many bytes of states are kept in memory.
func (e *engine) shelfBudget() int {
	available, err := e.o.Available()
	if err != nil {
		return 0
	}
	return int(min(fullShelf, available/shelfOfSpace))
}
