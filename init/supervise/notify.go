package supervise

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"runa/init/lifecycle"
	"runa/init/servicename"
)

// What a service may write to its notify pipe. More is not kept: a line that is
// too long is nothing at all, and who writes more in a second than anybody has
// to say waits for the next one.
const (
	notifyLine   = 512     // bytes of a line
	notifyBudget = 8 << 10 // bytes read in one notifyWindow
	notifyWindow = time.Second

	complaintBurst = 4                // complaints heard in a row
	complaintEvery = 15 * time.Second // then one in so long
	changeBurst    = 16               // of being degraded or well again
	changeEvery    = time.Second
)

// notice is one line of a service's notify pipe.
type notice struct {
	kind   lifecycle.Kind
	about  string // Complaint: who is complained about
	reason string
}

// parseNotice reads a line, which may hold anything. It says false for what is
// no notice.
func parseNotice(line string) (notice, bool) {
	if len(line) > notifyLine {
		return notice{}, false
	}
	name, value, assigned := strings.Cut(strings.TrimSuffix(line, "\r"), "=")
	switch {
	case !assigned:
		return notice{}, false
	case name == "READY" && value == "1":
		return notice{kind: lifecycle.BecameReady}, true
	case name == "WELL" && value == "1":
		return notice{kind: lifecycle.Recovered}, true
	case name == "DEGRADED":
		reason := plainWords(value)
		return notice{kind: lifecycle.BecameDegraded, reason: reason}, reason != ""
	case name == "COMPLAIN":
		about, evidence, _ := strings.Cut(value, " ")
		evidence = plainWords(evidence)
		return notice{lifecycle.Complaint, about, evidence}, servicename.Valid(about) && evidence != ""
	}
	return notice{}, false
}

// plainWords keeps of a text what is harmless in a log and on a terminal.
func plainWords(text string) string {
	text = strings.Map(func(char rune) rune {
		switch {
		case char == unicode.ReplacementChar:
			return '?'
		case unicode.IsPrint(char):
			return char
		case unicode.IsSpace(char):
			return ' '
		}
		return -1
	}, strings.ToValidUTF8(text, "?"))
	return strings.TrimSpace(text)
}

// notices reads a service's notify pipe.
type notices struct {
	after   func(time.Duration) <-chan time.Time
	now     func() time.Time
	ended   <-chan struct{} // the service's process is gone: nobody waits for it any more
	hear    func(notice)
	dropped func(n notice) // one of too many

	ready      bool // it said so; it counts once
	complaints allowance
	changes    allowance
}

// read hears what is written until nobody can write any more. Everything is
// read in the end, but no faster than the budget, so that a service that
// writes without end keeps only itself busy.
func (n *notices) read(r io.Reader) {
	n.complaints = allowance{burst: complaintBurst, every: complaintEvery}
	n.changes = allowance{burst: changeBurst, every: changeEvery}
	var lines lineCutter
	buffer := make([]byte, 2*notifyLine)
	began, budget := n.now(), notifyBudget
	for {
		size, err := r.Read(buffer)
		lines.cut(buffer[:size], n.line)
		if err != nil {
			return
		}
		if now := n.now(); now.Sub(began) >= notifyWindow {
			began, budget = now, notifyBudget
		}
		if budget -= size; budget <= 0 {
			select {
			case <-n.after(notifyWindow):
			case <-n.ended:
			}
		}
	}
}

func (n *notices) line(line string) {
	one, understood := parseNotice(line)
	if !understood {
		return
	}
	switch one.kind {
	case lifecycle.BecameReady:
		if n.ready {
			return
		}
		n.ready = true
	case lifecycle.Complaint:
		if !n.complaints.take(n.now()) {
			n.dropped(one)
			return
		}
	default:
		if !n.changes.take(n.now()) {
			n.dropped(one)
			return
		}
	}
	n.hear(one)
}

// lineCutter cuts a stream into lines of at most notifyLine bytes. What is
// longer is left out as a whole, and so is an end without a newline.
type lineCutter struct {
	part []byte
	long bool
}

func (c *lineCutter) cut(data []byte, line func(string)) {
	for len(data) > 0 {
		piece, rest, complete := bytes.Cut(data, []byte{'\n'})
		data = rest
		if c.long = c.long || len(c.part)+len(piece) > notifyLine; !c.long {
			c.part = append(c.part, piece...)
		}
		if !complete {
			return
		}
		if !c.long {
			line(string(c.part))
		}
		c.part, c.long = c.part[:0], false
	}
}

// allowance lets burst things through at once and then one in every time.
type allowance struct {
	burst int
	every time.Duration
	used  int
	since time.Time // when the last one was given back
}

func (a *allowance) take(now time.Time) bool {
	back := max(0, min(a.used, int(now.Sub(a.since)/a.every)))
	a.used -= back
	a.since = a.since.Add(time.Duration(back) * a.every)
	if a.used == 0 {
		a.since = now
	}
	if a.used >= a.burst {
		return false
	}
	a.used++
	return true
}

// String is the notice as a log tells it.
func (n notice) String() string {
	if n.about != "" {
		return fmt.Sprintf("%v about %s: %s", n.kind, n.about, n.reason)
	}
	return fmt.Sprintf("%v: %s", n.kind, n.reason)
}
