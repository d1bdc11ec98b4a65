// Package scope shows a bus live in a terminal: which components work on it, who
// talks to whom over what, how much, how far receivers are behind, what was
// dropped and how long waking takes. It owns the picture; it must never change
// the bus.
//
// The picture is plain ASCII and fits 80 columns of 24 lines, as on a serial
// console; a larger terminal shows more. The terminal is never asked anything:
// one that does not answer, as a serial line's, would hold the program up. So
// bubbletea stays at the version before its start-up code asks for the
// background colour, and gets an output that has no colours to look up.
package scope

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/muesli/termenv"
	"golang.org/x/term"

	"runa/services/splinter"
)

// Options say how often the picture is made anew, and for how large a terminal
// if that does not say.
type Options struct {
	Interval      time.Duration
	Width, Height int // columns and lines; default 80 and 24
}

// sample is the bus at one moment.
type sample struct {
	at         time.Time
	info       splinter.Info
	statistics splinter.Statistics
	err        error
}

func take(b *splinter.Bus) (s sample) {
	s.at = time.Now()
	if s.info, s.err = b.Info(); s.err == nil {
		s.statistics, s.err = b.Statistics()
	}
	return s
}

// Once prints one picture of what happens within the interval.
func Once(ctx context.Context, b *splinter.Bus, w io.Writer, o Options) error {
	before := take(b)
	if before.err != nil {
		return before.err
	}
	timer := time.NewTimer(o.Interval)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return nil
	case <-timer.C:
	}
	after := take(b)
	if after.err != nil {
		return after.err
	}
	o = o.complete()
	_, err := io.WriteString(w, picture(before, after, everything, o.Width, o.Height))
	return err
}

func (o Options) complete() Options {
	if o.Width <= 0 {
		o.Width = 80
	}
	if o.Height <= 0 {
		o.Height = 24
	}
	return o
}

// Run shows the picture until q is typed or ctx ends. in and out are the terminal.
func Run(ctx context.Context, b *splinter.Bus, in, out *os.File, o Options) error {
	m := model{bus: b, o: o.complete(), before: take(b)}
	m.after = m.before
	if m.before.err != nil {
		return m.before.err
	}
	// A serial line knows no size and says 0 by 0.
	if width, height, err := term.GetSize(int(out.Fd())); err == nil && width > 0 && height > 0 {
		m.o.Width, m.o.Height = width, height
	}
	program := tea.NewProgram(m, tea.WithContext(ctx), tea.WithInput(in), tea.WithOutput(termenv.NewOutput(out)),
		tea.WithAltScreen(), tea.WithoutSignalHandler())
	final, err := program.Run()
	if err != nil && !(errors.Is(err, tea.ErrProgramKilled) && ctx.Err() != nil) {
		return fmt.Errorf("scope: %w", err)
	}
	if m, ok := final.(model); ok && m.after.err != nil {
		return m.after.err
	}
	return nil
}

// model is the live picture; its methods are bubbletea's.
type model struct {
	bus           *splinter.Bus
	o             Options
	before, after sample
	shown         part
}

func (m model) Init() tea.Cmd { return m.next() }

// next takes a sample when the interval has passed.
func (m model) next() tea.Cmd {
	bus := m.bus
	return tea.Tick(m.o.Interval, func(time.Time) tea.Msg { return take(bus) })
}

func (m model) Update(message tea.Msg) (tea.Model, tea.Cmd) {
	switch message := message.(type) {
	case sample:
		m.before, m.after = m.after, message
		if message.err != nil {
			return m, tea.Quit
		}
		return m, m.next()
	case tea.WindowSizeMsg:
		if message.Width > 0 && message.Height > 0 {
			m.o.Width, m.o.Height = message.Width, message.Height
		}
	case tea.KeyMsg:
		switch message.String() {
		case "q", "Q", "ctrl+c", "esc":
			return m, tea.Quit
		case "c":
			m.shown = components
		case "f":
			m.shown = flows
		case "t":
			m.shown = topics
		case "a":
			m.shown = everything
		}
	}
	return m, nil
}

func (m model) View() string {
	if m.after.err != nil {
		return ""
	}
	return strings.TrimSuffix(picture(m.before, m.after, m.shown, m.o.Width, m.o.Height), "\n")
}
