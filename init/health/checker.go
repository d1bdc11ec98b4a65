package health

import (
	"fmt"
	"time"

	"runa/init/lifecycle"
	"runa/init/manifest"
)

// Bounds of the judgements.
const (
	MaxStep   = 500 * time.Millisecond // counts of the time between two looks at most
	FirstBeat = 5 * time.Second        // for the first heart-beat, beside its two periods

	stallPercent = 40               // of the time all tasks of the service wait for memory
	stallFor     = 10 * time.Second // that long in a row
	memoryFull   = 95               // percent of its limit, from which pressure is its own doing
	filesFull    = 95               // percent of Limits.Files
	filesLooks   = 2                // that many looks in a row
)

// Sample is what was seen of a service at one look. The counters only grow
// within one life; what could not be read is left 0.
type Sample struct {
	Ready      bool   // it serves; before that it has a free pass
	Bus        bool   // there is a bus to say heart-beats on
	Beats      uint64 // heart-beats
	BeatsKnown bool   // it has said at least one on the bus there is

	CPU         time.Duration // processor time used by all of it
	Starved     time.Duration // for which some of it could have run and got no processor
	MemoryBytes uint64
	Stall       float64 // memory.pressure: full avg10, in percent
	OOMKills    uint64  // memory.events: oom_kill
	ForksFailed uint64  // pids.events: max
	OpenFiles   int     // of its first process
}

// Checker judges one life of a service. It is not safe for use by two
// goroutines at once.
type Checker struct {
	manifest manifest.Service
	last     time.Time
	seen     Sample // at the last look

	silent  time.Duration // since its last heart-beat
	spin    spin
	stalled time.Duration
	files   int                      // looks in a row with descriptors nearly used up
	told    map[lifecycle.Class]bool // nil: nothing yet
}

// New returns the checker of a life that started now.
func New(s manifest.Service, started time.Time) *Checker {
	return &Checker{manifest: s, last: started, spin: newSpin(s.Limits)}
}

// Look judges a sample and returns the defects that it shows, as events of kind
// Defect, each class once in a life.
func (c *Checker) Look(now time.Time, s Sample) []lifecycle.Event {
	step := max(0, now.Sub(c.last))
	counted := min(step, MaxStep)
	var found []lifecycle.Event
	for _, judge := range [...]func(counted, step time.Duration, s Sample) (lifecycle.Class, string){
		c.outOfMemory, c.hang, c.spinning, c.stall, c.descriptors, c.processes,
	} {
		class, reason := judge(counted, step, s)
		if class == "" || c.told[class] {
			continue
		}
		if c.told == nil {
			c.told = map[lifecycle.Class]bool{}
		}
		c.told[class] = true
		found = append(found, lifecycle.Event{Kind: lifecycle.Defect, Class: class, Reason: reason})
	}
	c.last, c.seen = now, s
	return found
}

func (c *Checker) outOfMemory(_, _ time.Duration, s Sample) (lifecycle.Class, string) {
	if s.OOMKills <= c.seen.OOMKills {
		return "", ""
	}
	return lifecycle.ClassOutOfMemory, "out of memory: the kernel killed a part of it"
}

func (c *Checker) hang(counted, _ time.Duration, s Sample) (lifecycle.Class, string) {
	period := c.manifest.Heartbeat
	if period == 0 {
		return "", ""
	}
	pass := !s.Ready || !c.seen.Ready || !s.Bus || s.BeatsKnown != c.seen.BeatsKnown // began, or the bus is a new one
	if pass || s.BeatsKnown && s.Beats != c.seen.Beats {
		c.silent = 0
		return "", ""
	}
	// Who gets no processor is not hanging. It is not believed altogether: what
	// spins in several threads keeps itself waiting.
	c.silent += counted - min(max(0, s.Starved-c.seen.Starved), counted/4*3)
	allowed := 2 * period
	if !s.BeatsKnown {
		allowed += FirstBeat
	}
	if c.silent <= allowed {
		return "", ""
	}
	return lifecycle.ClassHang, fmt.Sprintf("no heart-beat for %s, one every %v was agreed", inMilliseconds(c.silent), period)
}

func (c *Checker) spinning(counted, step time.Duration, s Sample) (lifecycle.Class, string) {
	if !s.Ready && !c.manifest.Oneshot {
		c.spin.reset()
		return "", ""
	}
	if !c.spin.look(counted, step, s.CPU-c.seen.CPU) {
		return "", ""
	}
	l := c.manifest.Limits
	return lifecycle.ClassSpin, fmt.Sprintf("more than its budget of %d %% of a processor for %v", l.CPUBudget, l.CPUBudgetFor)
}

// stall is pressure that a service makes by being at its own limit; pressure
// from outside is no defect of its.
func (c *Checker) stall(counted, _ time.Duration, s Sample) (lifecycle.Class, string) {
	limit := c.manifest.Limits.MemoryHigh
	if limit == 0 {
		limit = c.manifest.Limits.MemoryMax
	}
	if limit == 0 || s.Stall < stallPercent || s.MemoryBytes < limit/100*memoryFull {
		c.stalled = 0
		return "", ""
	}
	c.stalled += counted
	if c.stalled < stallFor {
		return "", ""
	}
	return lifecycle.ClassStalled, fmt.Sprintf("it waits for memory %.0f %% of the time, for %v already, at its limit of %d MiB",
		s.Stall, stallFor, limit>>20)
}

func (c *Checker) descriptors(_, _ time.Duration, s Sample) (lifecycle.Class, string) {
	limit := c.manifest.Limits.Files
	if limit == 0 || s.OpenFiles*100 < limit*filesFull {
		c.files = 0
		return "", ""
	}
	if c.files++; c.files < filesLooks {
		return "", ""
	}
	return lifecycle.ClassDescriptors, fmt.Sprintf("%d of its %d descriptors are open", s.OpenFiles, limit)
}

func (c *Checker) processes(_, _ time.Duration, s Sample) (lifecycle.Class, string) {
	if s.ForksFailed <= c.seen.ForksFailed {
		return "", ""
	}
	return lifecycle.ClassProcesses, fmt.Sprintf("it made all the %d processes and threads that it may have", c.manifest.Limits.PIDs)
}

func inMilliseconds(d time.Duration) string { return fmt.Sprintf("%d ms", d.Milliseconds()) }
