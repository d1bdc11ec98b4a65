package health

import (
	"context"
	"fmt"
	"time"

	"runa/init/contain"
)

// MachineEvery is how often the whole machine is looked at.
const MachineEvery = time.Second

// When the machine as a whole counts as short of something.
const (
	shortPercent = 60               // of the time tasks wait: all of them, or for processors some
	shortFor     = 5 * time.Second  // that long in a row
	easyPercent  = 10               // below that it is over
	stoodStill   = 10 * time.Second // gilgul did not run for so long
)

// Pressure is how much of the last ten seconds tasks had to wait for something,
// in percent (PSI, avg10).
type Pressure struct{ CPU, Memory, IO float64 }

// MachineSample is what was seen of the machine at one look; what the kernel
// does not tell is 0.
type MachineSample struct {
	Some     Pressure // at least one task waits
	Full     Pressure // all wait at once; means nothing for the processor
	OOMKills uint64   // /proc/vmstat: oom_kill
}

// Notice is something about the whole machine that a person should know.
type Notice struct {
	What string // one sentence without a full stop
	Good bool   // it is over
}

// Machine judges the whole machine. The zero value is ready to use.
type Machine struct {
	last            time.Time
	kills           uint64
	cpu, memory, io shortage
}

// shortage is one resource that tasks may have to wait for.
type shortage struct {
	lasted time.Duration
	told   bool
}

// Look judges a sample and returns what is new.
func (m *Machine) Look(now time.Time, s MachineSample) []Notice {
	if m.last.IsZero() {
		m.last, m.kills = now, s.OOMKills
	}
	step := max(0, now.Sub(m.last))
	var news []Notice
	if step >= stoodStill {
		news = append(news, Notice{What: fmt.Sprintf("the machine stood still for %v", step.Round(time.Second))})
	}
	if s.OOMKills > m.kills {
		news = append(news, Notice{What: fmt.Sprintf("the kernel killed %d processes for want of memory", s.OOMKills-m.kills)})
	}
	m.last, m.kills = now, s.OOMKills
	counted := min(step, 2*MachineEvery)
	news = m.cpu.look(news, "processors", s.Some.CPU, counted)
	news = m.memory.look(news, "memory", s.Full.Memory, counted)
	return m.io.look(news, "disk", s.Full.IO, counted)
}

// look adds to news that a shortage began or is over.
func (r *shortage) look(news []Notice, of string, percent float64, counted time.Duration) []Notice {
	if percent < shortPercent {
		r.lasted = 0
	} else {
		r.lasted += counted
	}
	switch {
	case !r.told && r.lasted >= shortFor:
		r.told = true
		return append(news, Notice{What: fmt.Sprintf("the machine is short of %s: programs wait %.0f %% of the time", of, percent)})
	case r.told && percent < easyPercent:
		r.told = false
		return append(news, Notice{What: "the machine is no longer short of " + of, Good: true})
	}
	return news
}

// WatchMachine looks at the machine every MachineEvery until the context ends.
// What can't be read is left out of the sample by read.
func WatchMachine(ctx context.Context, read func() MachineSample, tell func(Notice)) {
	tick := time.NewTicker(MachineEvery)
	defer tick.Stop()
	var m Machine
	for {
		_ = contain.Call("look at the machine", func() error {
			for _, notice := range m.Look(time.Now(), read()) {
				tell(notice)
			}
			return nil
		})
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
