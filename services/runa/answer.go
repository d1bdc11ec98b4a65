package runa

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"runa/services/rmp"
)

// answer writes a model's words to a person as they come, and what there is to
// say while they don't.
type answer struct {
	out      io.Writer // the words
	aside    io.Writer // what is said instead of words; the same on a terminal
	terminal bool

	mutex   sync.Mutex
	note    *time.Timer // nil once a word has come
	noted   bool
	text    strings.Builder // what the model said, as it said it
	newline bool            // the last thing written ended a line

	asked   bool   // the question, or for the rest of the answer, at least once
	next    uint32 // index of the first token whose words were not shown
	drawn   []rmp.Token
	refused bool
	paused  bool // the last thing written was that the model is being restarted
}

const readingNote = "reading your message... "

// newAnswer starts an answer. On a terminal, silence longer than noteAfter is
// explained by a note that the first word replaces.
func newAnswer(e Environment) *answer {
	a := &answer{out: e.Out, aside: e.Err, terminal: e.Terminal, newline: true}
	if a.terminal {
		a.aside = e.Out
		a.note = time.AfterFunc(e.NoteAfter, a.explain)
	}
	return a
}

// explain says what the silence is about, unless the service has said it.
func (a *answer) explain() {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	if a.note != nil && !a.noted {
		a.noted = true
		fmt.Fprint(a.out, readingNote)
	}
}

// remark shows a note in place of the one that is there, until the first word.
// A pipe never gets one.
func (a *answer) remark(text string) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	if a.note == nil {
		return
	}
	a.note.Stop()
	if a.noted {
		fmt.Fprint(a.out, eraseLine)
	}
	a.noted = true
	fmt.Fprint(a.out, text)
}

// erase ends the time of notes and takes away the one that is there.
func (a *answer) erase() {
	if a.note == nil {
		return
	}
	a.note.Stop()
	a.note = nil
	if a.noted {
		fmt.Fprint(a.out, eraseLine)
	}
}

// eraseLine goes to the line's begin and empties the line.
const eraseLine = "\r\x1b[K"

// queued says how many are before this question.
func (a *answer) queued(q rmp.Queued) {
	switch {
	case q.Position > 1:
		a.remark(fmt.Sprintf("%d before you... ", q.Position-1))
	case q.Position == 1:
		a.remark("you are the next... ")
	default:
		a.remark(readingNote)
	}
}

// notice shows a remark of the service's, and a refusal as a line of its own.
func (a *answer) notice(n rmp.Notice) {
	text := oneLine(n.Text)
	switch {
	case text == "":
	case n.Code == rmp.NoticeRefusal:
		a.refused = true
		a.say(text)
	default:
		a.remark(short(strings.TrimRight(text, ".")) + "... ")
	}
}

// token writes a piece of the answer.
func (a *answer) token(t rmp.Token) {
	if len(t.Top) > 0 {
		a.drawn = append(a.drawn, t)
	}
	if t.Text != "" {
		a.next = t.Index + 1
		a.word(t.Text)
	}
}

func (a *answer) word(text string) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	a.erase()
	a.text.WriteString(text)
	a.paused = false
	if a.terminal {
		text = printable(text)
	}
	if text == "" {
		return
	}
	fmt.Fprint(a.out, text)
	a.newline = strings.HasSuffix(text, "\n")
}

// say writes a line that is not the model's.
func (a *answer) say(line string) {
	a.end()
	fmt.Fprintln(a.aside, line)
}

// pause says once that the model stopped and that its answer will go on.
func (a *answer) pause() {
	if a.paused {
		return
	}
	a.say("(the model stopped and is being restarted; its answer goes on by itself)")
	a.paused = true
}

// finish ends the answer and says what a person should know of its end. It
// reports whether the answer is the model's to its end.
func (a *answer) finish(done rmp.Done) (whole bool) {
	if done.Text != "" {
		a.word(done.Text)
	}
	a.end()
	a.probabilities()
	if done.Reason == rmp.ReasonHook {
		a.say("(a rule of this machine ended the answer here)")
	}
	return done.Reason != rmp.ReasonHook && !a.refused
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

// oneLine makes text fit for one line of a terminal.
func oneLine(text string) string { return printable(strings.Join(strings.Fields(text), " ")) }

// short cuts a note to what a line of a terminal holds: only that can be erased.
func short(text string) string {
	const width = 70
	if utf8.RuneCountInString(text) <= width {
		return text
	}
	return string([]rune(text)[:width-1]) + "…"
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
