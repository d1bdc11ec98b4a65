package runa

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode"
)

// answer writes a model's words to a person as they come.
type answer struct {
	out      io.Writer
	terminal bool

	mutex   sync.Mutex
	note    *time.Timer
	noted   bool
	text    strings.Builder // what the model said, as it said it
	newline bool            // the last thing written ended a line
}

const readingNote = "reading your message... "

// newAnswer starts an answer. On a terminal, silence longer than noteAfter is
// explained by a note that the first word replaces.
func newAnswer(e Environment) *answer {
	a := &answer{out: e.Out, terminal: e.Terminal, newline: true}
	if a.terminal {
		a.note = time.AfterFunc(e.NoteAfter, a.explain)
	}
	return a
}

func (a *answer) explain() {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	if a.note != nil {
		a.noted = true
		fmt.Fprint(a.out, readingNote)
	}
}

// erase ends the time of notes and takes away the one that is there.
func (a *answer) erase() {
	if a.note == nil {
		return
	}
	a.note.Stop()
	a.note = nil
	if a.noted {
		fmt.Fprint(a.out, "\r\x1b[K")
	}
}

// word writes a piece of the answer.
func (a *answer) word(text string) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	if text == "" {
		return
	}
	a.erase()
	a.text.WriteString(text)
	if a.terminal {
		text = printable(text)
	}
	if text == "" {
		return
	}
	fmt.Fprint(a.out, text)
	a.newline = strings.HasSuffix(text, "\n")
}

// end ends the answer's last line and returns what the model said.
func (a *answer) end() string {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	a.erase()
	if !a.newline {
		fmt.Fprintln(a.out)
		a.newline = true
	}
	return a.text.String()
}

// printable drops control characters, so that no model can move a person's
// cursor, change colours or type into the terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, text)
}

// waitingNote says once, on e.Err, that the model is not there yet.
func (e Environment) waitingNote() func() {
	return func() { fmt.Fprintln(e.Err, "waiting for the model to be ready...") }
}

// inference runs work with the bus open.
func (e Environment) inference(ctx context.Context, work func(*inference) error) error {
	waiting, cancel := e.interruptible(ctx)
	model, err := openInference(waiting, e)
	cancel()
	if err != nil {
		return err
	}
	defer model.Close()
	return work(model)
}
