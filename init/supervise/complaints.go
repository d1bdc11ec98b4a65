package supervise

import (
	"fmt"
	"strings"
	"time"

	"runa/init/lifecycle"
)

// What complaints of peers can do. One has the service looked at at once;
// several within the window end its life, whatever its probe says.
const (
	complaintPause     = 200 * time.Millisecond // a peer that complains again sooner is not heard
	complaintWindow    = time.Minute
	complaintsBelieved = 3
	complaintLength    = 120 // bytes of evidence that are kept
)

// complaints are those heard about one service. After a life was ended because
// of them they are no longer believed until the service has forgotten its
// failures, so that peers alone can never drive it up its ladder; each of them
// still has it looked at.
type complaints struct {
	heard map[string]time.Time // by who complained, when last
	times []time.Time          // of those within the window
	spent bool
}

// complained hears what one service says about another.
func (s *Supervisor) complained(by *service, about, evidence string) {
	now := s.options.System.Now()
	one, known := s.byName[about]
	if !known || one == by {
		if by.complaints.hear("", now) {
			s.options.Log.Warn("a complaint about no other service", "by", by.Name)
		}
		return
	}
	c := &one.complaints
	if !c.hear(by.Name, now) {
		return
	}
	s.options.Log.Warn("a complaint", "service", one.Name, "by", by.Name, "evidence", plain(evidence))
	if one.state.Failures == 0 {
		c.spent = false
	}
	reason := fmt.Sprintf("%s complains: %s", by.Name, plain(evidence))
	if c.count(now) && one.state.Phase.Serves() {
		c.spent, c.times = true, nil
		s.feed(one, lifecycle.Event{Kind: lifecycle.Defect, Class: lifecycle.ClassComplaint, Reason: "complaints of others; the last: " + reason})
		return
	}
	s.feed(one, lifecycle.Event{Kind: lifecycle.Complaint, Reason: reason})
}

// hear says whether a complaint is heard, or comes too soon after the last of
// the same service.
func (c *complaints) hear(by string, now time.Time) bool {
	if last, before := c.heard[by]; before && now.Sub(last) < complaintPause {
		return false
	}
	if c.heard == nil {
		c.heard = map[string]time.Time{}
	}
	c.heard[by] = now
	return true
}

// count adds a complaint and says whether there are enough to believe them.
func (c *complaints) count(now time.Time) bool {
	if c.spent {
		return false
	}
	recent := c.times[:0]
	for _, at := range c.times {
		if now.Sub(at) < complaintWindow {
			recent = append(recent, at)
		}
	}
	c.times = append(recent, now)
	return len(c.times) >= complaintsBelieved
}

// plain is evidence that can stand in a log: printable, bounded, in quotes.
func plain(evidence string) string {
	evidence = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '"' {
			return '.'
		}
		return r
	}, evidence)
	if len(evidence) > complaintLength {
		evidence = evidence[:complaintLength] + "..."
	}
	return `"` + evidence + `"`
}
