package gilgul

import (
	"sync/atomic"
	"time"
)

// pulse remembers when something was last seen to live.
type pulse struct {
	now  func() time.Time
	last atomic.Pointer[time.Time]
}

func newPulse(now func() time.Time) *pulse {
	p := &pulse{now: now}
	p.felt()
	return p
}

func (p *pulse) felt() {
	now := p.now()
	p.last.Store(&now)
}

func (p *pulse) age() time.Duration { return p.now().Sub(*p.last.Load()) }
