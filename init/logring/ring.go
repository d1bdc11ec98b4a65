// Package logring keeps the last lines each service wrote, in memory. It owns
// cutting a stream into lines, making them safe to show on a terminal, and
// bounding what they take. It must never make a writer wait: a service that
// writes faster than anybody reads loses its oldest lines, and readers are
// told how many.
package logring

import (
	"context"
	"sync"
	"time"
)

// Line is one line a service wrote.
type Line struct {
	Time    time.Time
	Service string
	Text    string // printable UTF-8 without the newline
	Lost    uint64 // lines lost to this reader just before this one
}

// Options bound a ring; a zero field takes its default.
type Options struct {
	Bytes   int              // text kept per ring, 256 KiB
	MaxLine int              // longest line, 4 KiB; the rest is cut with a mark
	Now     func() time.Time // time.Now
}

func (o Options) withDefaults() Options {
	if o.Bytes <= 0 {
		o.Bytes = 256 << 10
	}
	if o.MaxLine <= 0 {
		o.MaxLine = 4 << 10
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// lineCost is what a kept line is counted for besides its text, so that empty
// lines are bounded too.
const lineCost = 64

// Ring is the log of one service. Its methods may be called from any goroutine.
type Ring struct {
	service string
	options Options

	mu     sync.Mutex
	lines  []Line // oldest first
	first  uint64 // number of lines[0] since the ring was made
	bytes  int
	change chan struct{} // closed and replaced when a line is added
}

// New returns an empty ring for a service's lines.
func New(service string, options Options) *Ring {
	return &Ring{service: service, options: options.withDefaults(), change: make(chan struct{})}
}

// Add appends one line, made printable and cut if it is too long. It never waits.
func (r *Ring) Add(text string) {
	text = printable(text, r.options.MaxLine)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, Line{Time: r.options.Now(), Service: r.service, Text: text})
	r.bytes += len(text) + lineCost
	drop := 0
	for r.bytes > r.options.Bytes && drop < len(r.lines)-1 {
		r.bytes -= len(r.lines[drop].Text) + lineCost
		r.lines[drop] = Line{}
		drop++
	}
	r.lines = r.lines[drop:]
	r.first += uint64(drop)
	close(r.change)
	r.change = make(chan struct{})
}

// Lost counts the lines that are no longer kept.
func (r *Ring) Lost() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.first
}

// Last returns up to n of the newest lines, oldest first; a negative n means
// all that are kept.
func (r *Ring) Last(n int) []Line {
	lines, _, _ := r.since(r.begin(n))
	return lines
}

// Follow hands up to n of the newest lines to each (a negative n means all),
// then every new line, until the context ends or each fails. A reader that is
// too slow is told in Lost how many lines it missed; the writer never waits.
func (r *Ring) Follow(ctx context.Context, n int, each func(Line) error) error {
	return r.followFrom(ctx, r.begin(n), each)
}

// followFrom follows from the line with the given number on.
func (r *Ring) followFrom(ctx context.Context, next uint64, each func(Line) error) error {
	for {
		lines, from, change := r.since(next)
		for i, line := range lines {
			if i == 0 {
				line.Lost = from - next
			}
			if err := each(line); err != nil {
				return err
			}
		}
		next = from + uint64(len(lines))
		if len(lines) > 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-change:
		}
	}
}

// begin is the number of the first of the newest n lines.
func (r *Ring) begin(n int) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n < 0 || n > len(r.lines) {
		n = len(r.lines)
	}
	return r.first + uint64(len(r.lines)-n)
}

// since returns kept lines from the given number on, the number of the first
// of them, and a channel that is closed when there are more.
func (r *Ring) since(number uint64) ([]Line, uint64, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	number = max(number, r.first)
	return append([]Line(nil), r.lines[number-r.first:]...), number, r.change
}
