package health

import (
	"time"

	"runa/init/manifest"
)

// spin finds a service that used more than its budget on average over a whole
// stretch of time, and without a real pause in it.
//
// It is a leaking bucket: what is used beyond the budget fills it, what is left
// of the budget drains it. While it is empty the stretch begins anew. The bucket
// holds a quarter of the budget of a whole stretch, so a burst is forgotten
// after a quarter of quiet, and one look in which a spinning service got no
// processor does not hide the rest. As what overflows is only ever lost, a full
// stretch always means that more than the budget was used in it.
type spin struct {
	percent  int           // of one processor
	stretch  time.Duration // how long it takes to be called a spin
	level    time.Duration // processor time in the bucket
	lasted   time.Duration // how long it was not empty
	capacity time.Duration
}

func newSpin(l manifest.Limits) spin {
	return spin{percent: l.CPUBudget, stretch: l.CPUBudgetFor, capacity: l.CPUBudgetFor * time.Duration(l.CPUBudget) / 400}
}

func (s *spin) reset() { s.level, s.lasted = 0, 0 }

// look takes what was used in a step of time, of which only a part may count,
// and says whether this is a spin.
func (s *spin) look(counted, step, used time.Duration) bool {
	if s.percent == 0 || step == 0 {
		return false
	}
	s.level += used - step*time.Duration(s.percent)/100
	if s.level <= 0 {
		s.reset()
		return false
	}
	s.level = min(s.level, s.capacity)
	s.lasted += counted
	return s.lasted >= s.stretch
}
