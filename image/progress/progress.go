// Package progress tells a person how long work is getting on: what is done, how
// much is left and for how long. On a terminal it rewrites one line; elsewhere,
// as in a log, it prints a line at the start, one every ten seconds and one at
// the end. It never decides anything, and a nil *Printer or *Task prints nothing.
package progress

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"
)

// Printer writes the progress of tasks to one writer.
type Printer struct {
	mu       sync.Mutex
	w        io.Writer
	terminal bool
	now      func() time.Time
}

// New returns a printer on w, which is usually standard error.
func New(w io.Writer) *Printer {
	f, ok := w.(*os.File)
	return &Printer{w: w, terminal: ok && term.IsTerminal(int(f.Fd())), now: time.Now}
}

// Task is one piece of long work.
type Task struct {
	p       *Printer
	name    string
	start   time.Time
	printed time.Time
	first   int64 // what was done already at the first Set
	counted bool
}

// Task announces work. End it with Done.
func (p *Printer) Task(name string) *Task {
	if p == nil {
		return nil
	}
	t := &Task{p: p, name: name, start: p.now()}
	t.printed = t.start
	p.line(false, "%s ...", name)
	return t
}

// Set reports that done of total units are finished. A total of 0 is unknown.
func (t *Task) Set(done, total int64, unit string) {
	if t == nil {
		return
	}
	now := t.p.now()
	if !t.counted {
		t.first, t.counted = done, true
	}
	every := 10 * time.Second
	if t.p.terminal {
		every = 200 * time.Millisecond
	}
	if now.Sub(t.printed) < every {
		return
	}
	t.printed = now
	t.p.line(false, "%s: %s", t.name, t.state(done, total, unit, now))
}

func (t *Task) state(done, total int64, unit string, now time.Time) string {
	if total <= 0 {
		return amount(done, unit) + ", " + rough(now.Sub(t.start)) + " so far"
	}
	done = min(done, total)
	s := fmt.Sprintf("%d %% (%s)", done*100/total, share(done, total, unit))
	if fresh := done - t.first; fresh > 0 {
		left := time.Duration(float64(now.Sub(t.start)) * float64(total-done) / float64(fresh))
		s += ", about " + rough(left) + " left"
	}
	return s
}

// Note prints a line that belongs to the task.
func (t *Task) Note(format string, args ...any) {
	if t == nil {
		return
	}
	t.p.line(true, "%s: %s", t.name, fmt.Sprintf(format, args...))
}

// Done prints how long the task took.
func (t *Task) Done() {
	if t == nil {
		return
	}
	t.p.line(true, "%s: done in %s", t.name, rough(t.p.now().Sub(t.start)))
}

func (p *Printer) line(keep bool, format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	text := fmt.Sprintf(format, args...)
	switch {
	case !p.terminal:
		fmt.Fprintln(p.w, text)
	case keep:
		fmt.Fprintf(p.w, "\r\x1b[K%s\n", text)
	default:
		fmt.Fprintf(p.w, "\r\x1b[K%s", text)
	}
}

func amount(n int64, unit string) string {
	if unit == "bytes" {
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%d %s", n, unit)
}

func share(done, total int64, unit string) string {
	if unit == "bytes" {
		return amount(done, unit) + " of " + amount(total, unit)
	}
	return fmt.Sprintf("%d of %s", done, amount(total, unit))
}

func rough(d time.Duration) string {
	if d < 10*time.Second {
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}
