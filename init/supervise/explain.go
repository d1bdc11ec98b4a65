package supervise

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"runa/init/control"
	"runa/init/lifecycle"
)

// Explain tells a person about a service in three sentences: what happened to
// it, why, and what was done about it or what they can do.
func (s *Supervisor) Explain(name string) (control.Explanation, error) {
	var e control.Explanation
	tell := func(one *service) {
		e = control.Explanation{Service: name, State: one.state.Phase.String(), Events: slices.Clone(one.story.events)}
		t := teller{one, s.options.System.Now()}
		if t.failure() {
			e.What, e.Why, e.Done = t.whatFailed(), whyFailed[one.story.failed.Class], t.whatWasDone()
		} else {
			e.What, e.Why, e.Done = t.calm()
		}
	}
	err := s.request(name, "", func(one *service) error { tell(one); return nil })
	if one := s.byName[name]; err != nil && one != nil { // Run has ended: nothing changes any more
		tell(one)
		err = nil
	}
	return e, err
}

// teller puts one service's story into words.
type teller struct {
	one *service
	now time.Time
}

// failure says whether a failure is what matters about the service now.
func (t teller) failure() bool {
	if t.one.story.at.IsZero() {
		return false
	}
	switch t.one.state.Phase {
	case lifecycle.Ready, lifecycle.Failed, lifecycle.Backoff:
		return true
	}
	return t.one.state.Failures > 0 || t.one.state.Next == lifecycle.Retry
}

// clock gives a time of today without its date.
func (t teller) clock(at time.Time) string {
	if at.Format(time.DateOnly) == t.now.Format(time.DateOnly) {
		return at.Format(time.TimeOnly)
	}
	return at.Format(time.DateTime)
}

func (t teller) whatFailed() string {
	y := t.one.story
	if y.row > 1 {
		return fmt.Sprintf("%s failed %d times since %s, the last time at %s: %s.", t.one.Name, y.row, t.clock(y.first), t.clock(y.at), y.failed.Reason)
	}
	return fmt.Sprintf("%s failed at %s: %s.", t.one.Name, t.clock(y.at), y.failed.Reason)
}

// whyFailed says what each class of failure means.
var whyFailed = map[lifecycle.Class]string{
	lifecycle.ClassExit:         "Its program ended by itself, which it should not do while it is wanted.",
	lifecycle.ClassSignal:       "A signal that gilgul did not send ended its program: it crashed, or something killed it.",
	lifecycle.ClassHang:         "It no longer gave its heart-beat, so its work stood still although its process lived.",
	lifecycle.ClassSpin:         "It used more processor time than its budget allows, for longer than it may.",
	lifecycle.ClassOutOfMemory:  "It needed more memory than it may have, so the kernel killed it.",
	lifecycle.ClassStalled:      "It needed more memory than there is for it, and did nothing but wait for some.",
	lifecycle.ClassDescriptors:  "It had nearly all the files and connections open that it may have, which it would not have survived for long.",
	lifecycle.ClassProcesses:    "It tried to make more processes or threads than it may have.",
	lifecycle.ClassSlowStart:    "It took longer to get ready than its manifest allows.",
	lifecycle.ClassFalseReady:   "It says that it is ready, but it does not answer when it is asked to do its work.",
	lifecycle.ClassComplaint:    "Services that use it told gilgul that it does not do its work.",
	lifecycle.ClassBadUpdate:    "Its version was new and on probation, and a version that fails then is not kept.",
	lifecycle.ClassCorruptState: "It found that the state it keeps on the disk is damaged.",
	lifecycle.ClassNotStarted:   "Its program could not be started at all.",
}

func (t teller) whatWasDone() string {
	var words []string
	for _, s := range t.one.story.steps {
		if s.times > 1 {
			words = append(words, fmt.Sprintf("%s (%d times)", s.text, s.times))
			continue
		}
		words = append(words, s.text)
	}
	words = append(words, t.outcome())
	text := strings.Join(words, ", then ")
	return strings.ToUpper(text[:1]) + text[1:] + "."
}

// outcome tells how it is now.
func (t teller) outcome() string {
	one := t.one
	switch one.state.Phase {
	case lifecycle.Ready:
		return "it got ready at " + t.clock(one.since)
	case lifecycle.Degraded:
		return fmt.Sprintf("it got ready at %s, but works only in part: %s", t.clock(one.since), one.state.Reason)
	case lifecycle.Failed:
		return fmt.Sprintf("nothing more: everything else goes on, `runa logs %s` shows what it said last and `runa start %s` tries again", one.Name, one.Name)
	case lifecycle.Backoff:
		if one.state.Work != lifecycle.Idle {
			return "gilgul waits for " + one.state.Work.String()
		}
		return "the next start is at " + t.clock(one.nextStart)
	case lifecycle.Waiting:
		return fmt.Sprintf("it is to be started (%s)", one.state.Reason)
	case lifecycle.Stopping:
		return "it is being ended"
	}
	return "it is starting now"
}

// calm tells about a service that has not failed, or not lately.
func (t teller) calm() (what, why, done string) {
	one, since := t.one, t.clock(t.one.since)
	reason := one.state.Reason
	switch one.state.Phase {
	case lifecycle.Defined:
		return fmt.Sprintf("%s has not been running since %s.", one.Name, since), sentence(reason, "Nobody asked for it."),
			fmt.Sprintf("Nothing: `runa start %s` starts it.", one.Name)
	case lifecycle.Waiting:
		return fmt.Sprintf("%s has been waiting since %s to be started.", one.Name, since), sentence(reason, "It was started on request."),
			"Nothing has to be done: it starts as soon as it can."
	case lifecycle.Starting:
		return fmt.Sprintf("%s has been starting since %s.", one.Name, since), sentence(reason, "It was started on request."),
			"Nothing has to be done: it is ended and tried again if it is not ready in time."
	case lifecycle.Degraded:
		return fmt.Sprintf("%s has been working only in part since %s.", one.Name, since), sentence(reason, "It says so."),
			fmt.Sprintf("It was left running for what it can still do; `runa logs %s` shows more.", one.Name)
	case lifecycle.Stopping:
		return fmt.Sprintf("%s has been ending since %s.", one.Name, since), sentence(reason, "It was asked to."),
			fmt.Sprintf("It was asked to end and is killed if it does not within %v.", one.Stop.Timeout)
	case lifecycle.Done:
		again := "Nothing has to be done: it runs once."
		if one.Cycle > 0 {
			again = fmt.Sprintf("Nothing has to be done: it runs every %v.", one.Cycle)
		}
		return fmt.Sprintf("%s did its work and ended at %s.", one.Name, since), sentence(reason, "It ended well."), again
	case lifecycle.Failed, lifecycle.Backoff:
		return fmt.Sprintf("%s has not been running since %s.", one.Name, since), sentence(reason, "It failed."),
			fmt.Sprintf("`runa logs %s` shows what it said last and `runa start %s` tries again.", one.Name, one.Name)
	}
	return fmt.Sprintf("%s has been ready since %s and has not failed.", one.Name, since),
		sentence(reason, "It is wanted, and everything it needs is ready."), "Nothing has to be done."
}

// sentence makes one of a reason, or takes the other if there is none.
func sentence(reason, otherwise string) string {
	if reason == "" {
		return otherwise
	}
	return strings.ToUpper(reason[:1]) + reason[1:] + "."
}
