package runa

import (
	"fmt"
	"time"

	"runa/services/rmp"
)

// progress shows how far a long action is: on a terminal in one line that
// changes, elsewhere in a line for each thing that is done and each tenth of it.
type progress struct {
	e     Environment
	text  string
	since time.Time // when the present text came first
	from  float64   // how far it was then
	tenth int
	shown bool // a line that is to be erased
}

func (p *progress) update(now rmp.Progress) {
	part, text := min(max(now.Part, 0), 1), oneLine(now.Text)
	fresh := p.since.IsZero() || text != p.text
	if fresh {
		p.text, p.since, p.from, p.tenth = text, p.e.Now(), part, int(10*part)
	}
	if p.e.Terminal {
		if p.shown {
			fmt.Fprint(p.e.Out, eraseLine)
		}
		p.shown = true
		fmt.Fprint(p.e.Out, short(fmt.Sprintf("%s: %.0f %%%s", text, 100*part, p.left(part))))
		return
	}
	if tenth := int(10 * part); fresh || tenth > p.tenth {
		p.tenth = tenth
		fmt.Fprintf(p.e.Out, "%s: %.0f %%\n", text, 100*part)
	}
}

// left says how much longer it takes if it goes on as fast as up to now. A guess
// from the first moments would be wrong by far.
func (p *progress) left(part float64) string {
	elapsed := p.e.Now().Sub(p.since)
	if done := part - p.from; part < 1 && done > 0.01 && elapsed >= time.Second {
		return fmt.Sprintf(", %s left", span(time.Duration(float64(elapsed)/done*(1-part)).Round(time.Second)))
	}
	return ""
}

// end takes the line away.
func (p *progress) end() {
	if p.shown {
		fmt.Fprint(p.e.Out, eraseLine)
		p.shown = false
	}
}
