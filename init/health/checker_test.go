package health

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"runa/init/lifecycle"
	"runa/init/manifest"
)

// tick is how often package supervise looks.
const tick = 250 * time.Millisecond

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// service is one with every limit that is looked at.
func service() manifest.Service {
	s := manifest.Defaults("some")
	s.Heartbeat = time.Second
	s.Limits.MemoryHigh = 64 << 20
	s.Limits.CPUBudget, s.Limits.CPUBudgetFor = 80, 4*time.Second
	s.Limits.Files = 100
	return s
}

// well is a sample of that service when it is well, n ticks after its start.
func well(n int) Sample {
	return Sample{
		Ready: true, Bus: true, BeatsKnown: true, Beats: uint64(n), CPU: time.Duration(n) * tick / 10,
		MemoryBytes: 10 << 20, OpenFiles: 12,
	}
}

// after looks at so many samples, one each tick, and returns what was found and
// at which.
func after(s manifest.Service, ticks int, sample func(n int) Sample) (found []lifecycle.Event, at []int) {
	c := New(s, start)
	for n := 1; n <= ticks; n++ {
		for _, event := range c.Look(start.Add(time.Duration(n)*tick), sample(n)) {
			found, at = append(found, event), append(at, n)
		}
	}
	return found, at
}

func TestEachDefectIsFoundByWhatShowsIt(t *testing.T) {
	for _, c := range []struct {
		name   string
		class  lifecycle.Class
		within time.Duration // of the sickness, which begins at tick 8
		sick   func(s *Sample, n int)
		says   string
	}{
		{"heart-beats that stop", lifecycle.ClassHang, 2*time.Second + 2*tick, func(s *Sample, _ int) { s.Beats = 7 }, "no heart-beat for"},
		{"no heart-beat ever", lifecycle.ClassHang, 2*time.Second + FirstBeat + 2*tick, func(s *Sample, _ int) { s.Beats, s.BeatsKnown = 0, false }, "no heart-beat for"},
		{"a whole processor", lifecycle.ClassSpin, 4*time.Second + 2*tick, func(s *Sample, n int) { s.CPU = time.Duration(n) * tick }, "budget of 80 %"},
		{"out of memory", lifecycle.ClassOutOfMemory, 0, func(s *Sample, _ int) { s.OOMKills = 1 }, "the kernel killed"},
		{"descriptors", lifecycle.ClassDescriptors, tick, func(s *Sample, _ int) { s.OpenFiles = 95 }, "95 of its 100 descriptors"},
		{"processes", lifecycle.ClassProcesses, 0, func(s *Sample, _ int) { s.ForksFailed = 1 }, "all the 256 processes"},
		{"memory pressure of its own", lifecycle.ClassStalled, stallFor + tick, func(s *Sample, _ int) { s.Stall, s.MemoryBytes = 80, 63<<20 }, "its limit of 64 MiB"},
	} {
		t.Run(c.name, func(t *testing.T) {
			const began = 8
			found, at := after(service(), 100, func(n int) Sample {
				s := well(n)
				if n >= began {
					c.sick(&s, n)
				}
				return s
			})
			if len(found) != 1 || found[0].Kind != lifecycle.Defect || found[0].Class != c.class || !strings.Contains(found[0].Reason, c.says) {
				t.Fatalf("found %+v", found)
			}
			if took := time.Duration(at[0]-began) * tick; took > c.within {
				t.Errorf("found after %v, expected within %v", took, c.within)
			}
		})
	}
}

func TestWhatIsNoDefectIsNotCalledOne(t *testing.T) {
	for _, c := range []struct {
		name   string
		sample func(s *Sample, n int)
	}{
		{"well", func(*Sample, int) {}},
		{"silent while it starts", func(s *Sample, _ int) { s.Ready, s.Beats, s.BeatsKnown = false, 0, false }},
		{"busy while it starts", func(s *Sample, n int) { s.Ready, s.CPU = false, time.Duration(n)*8*tick }},
		{"silent while the bus is away", func(s *Sample, _ int) { s.Bus, s.Beats = false, 0 }},
		{"a beat each two periods", func(s *Sample, n int) { s.Beats = uint64(n / 8) }},
		{"a short burst on all processors", func(s *Sample, n int) { s.CPU = time.Duration(min(n, 10)) * 8 * tick }},
		{"just its budget", func(s *Sample, n int) { s.CPU = time.Duration(n) * tick * 80 / 100 }},
		{"bursts with pauses", func(s *Sample, n int) { s.CPU = time.Duration(n/16)*8*tick + time.Duration(min(n%16, 8))*tick }},
		{"pressure that others make", func(s *Sample, _ int) { s.Stall = 90 }},
		{"full memory without pressure", func(s *Sample, _ int) { s.MemoryBytes = 64 << 20 }},
		{"many descriptors for one look", func(s *Sample, n int) {
			if n%2 == 0 {
				s.OpenFiles = 100
			}
		}},
		{"the bus forgets it for a while", func(s *Sample, n int) { s.BeatsKnown = n%20 < 10 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			found, at := after(service(), 200, func(n int) Sample {
				s := well(n)
				c.sample(&s, n)
				return s
			})
			if len(found) > 0 {
				t.Fatalf("found %+v at looks %v", found, at)
			}
		})
	}
}

func TestAServiceWithoutLimitsIsNeverSick(t *testing.T) {
	s := service()
	s.Heartbeat, s.Limits = 0, manifest.Limits{}
	found, _ := after(s, 100, func(n int) Sample {
		return Sample{Ready: true, Bus: true, CPU: time.Duration(n) * time.Minute, MemoryBytes: 1 << 40, Stall: 100, OpenFiles: 1 << 20}
	})
	if len(found) > 0 {
		t.Fatalf("found %+v", found)
	}
}

func TestAMachineThatStoodStillHasNoSickServices(t *testing.T) {
	c := New(service(), start)
	now := start
	for n := 1; n <= 50; n++ {
		now = now.Add(time.Hour) // gilgul ran once an hour; so did the service
		s := well(n / 3)
		if found := c.Look(now, s); len(found) > 0 {
			t.Fatalf("look %d: %+v", n, found)
		}
	}
}

func TestAClockThatGoesBackDoesNoHarm(t *testing.T) {
	c := New(service(), start)
	for n := 1; n <= 20; n++ {
		if found := c.Look(start.Add(-time.Duration(n)*time.Hour), well(1)); len(found) > 0 {
			t.Fatalf("look %d: %+v", n, found)
		}
	}
}

// A spin is only ever told of a service that really used more than its budget,
// on average over the stretch that its manifest gives; and one that always uses
// more is always told.
func TestASpinIsMoreThanTheBudgetOverTheWholeStretch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := manifest.Limits{
			CPUBudget:    rapid.IntRange(1, 400).Draw(t, "budget"),
			CPUBudgetFor: time.Duration(rapid.IntRange(1, 40).Draw(t, "stretch")) * tick,
		}
		s := newSpin(l)
		var used []time.Duration
		budget := tick * time.Duration(l.CPUBudget) / 100
		always := true
		for n := range rapid.IntRange(1, 200).Draw(t, "ticks") {
			one := time.Duration(rapid.IntRange(0, 8).Draw(t, "used")) * tick / 2
			used = append(used, one)
			always = always && one > budget
			if !s.look(tick, tick, one) {
				if always && time.Duration(n+1)*tick >= l.CPUBudgetFor {
					t.Fatalf("not told after %d ticks of %v", n+1, used)
				}
				continue
			}
			looks := int(l.CPUBudgetFor / tick)
			var sum time.Duration
			for _, u := range used[len(used)-looks:] {
				sum += u
			}
			if sum <= budget*time.Duration(looks) {
				t.Fatalf("told after %v: %v is not more than %v in %v", used, sum, budget*time.Duration(looks), l.CPUBudgetFor)
			}
			return
		}
	})
}

// Whatever the figures are, each class is told at most once in a life, and only
// with words.
func TestEachDefectIsToldOnceWhateverTheFiguresAre(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := New(service(), start)
		now := start
		told := map[lifecycle.Class]bool{}
		for range rapid.IntRange(1, 100).Draw(t, "looks") {
			now = now.Add(time.Duration(rapid.Int64Range(-int64(time.Second), int64(10*time.Second)).Draw(t, "step")))
			s := Sample{
				Ready: rapid.Bool().Draw(t, "ready"), Bus: rapid.Bool().Draw(t, "bus"), BeatsKnown: rapid.Bool().Draw(t, "known"),
				Beats: rapid.Uint64().Draw(t, "beats"), CPU: time.Duration(rapid.Int64().Draw(t, "cpu")),
				MemoryBytes: rapid.Uint64().Draw(t, "memory"), Stall: rapid.Float64().Draw(t, "stall"),
				OOMKills: rapid.Uint64().Draw(t, "kills"), ForksFailed: rapid.Uint64().Draw(t, "forks"), OpenFiles: rapid.Int().Draw(t, "files"),
			}
			for _, event := range c.Look(now, s) {
				if event.Kind != lifecycle.Defect || event.Reason == "" || event.Class == "" || told[event.Class] {
					t.Fatalf("%+v after %v", event, told)
				}
				told[event.Class] = true
			}
		}
	})
}

func TestALookMakesNoGarbage(t *testing.T) {
	c := New(service(), start)
	n := 0
	if each := testing.AllocsPerRun(1000, func() {
		n++
		c.Look(start.Add(time.Duration(n)*tick), well(n))
	}); each > 0 {
		t.Errorf("%.0f allocations", each)
	}
}

func BenchmarkLook(b *testing.B) {
	c := New(service(), start)
	for n := 1; b.Loop(); n++ {
		c.Look(start.Add(time.Duration(n)*tick), well(n))
	}
}

func TestWhoGetsNoProcessorIsGivenFourTimesAsLong(t *testing.T) {
	silent := func(starved time.Duration) int {
		_, at := after(service(), 100, func(n int) Sample {
			s := well(n)
			if n >= 8 {
				s.Beats, s.Starved = 7, time.Duration(n)*starved
			}
			return s
		})
		if len(at) == 0 {
			t.Fatalf("a hang is never seen when it waits %v in %v", starved, tick)
		}
		return at[0] - 8
	}
	alone, crowded := silent(0), silent(tick)
	if alone > 10 || crowded < 3*alone || crowded > 5*alone {
		t.Errorf("a hang is seen after %d looks, and after %d when it waits for a processor all the time", alone, crowded)
	}
}
