package runa

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"time"
)

// Environment is all that the commands touch of the world.
type Environment struct {
	In       io.Reader
	Out, Err io.Writer
	Terminal bool // Out is a terminal: notes may be shown and erased again
	Typed    bool // In is a terminal: somebody is there to be asked

	// Interrupt delivers a person's Ctrl-C. Chat uses it to stop an answer; for
	// every other command it ends the command.
	Interrupt <-chan os.Signal

	Bus     string // path of the bus file
	Control string // path of gilgul's control socket
	Meminfo string // /proc/meminfo
	Import  string // folder that models are added from: /data/import

	Now   func() time.Time
	Trace func() [16]byte // a new trace id: 16 random bytes

	Patience  time.Duration // how long to wait for a model that is not ready
	NoteAfter time.Duration // how long to be silent before saying what is going on
	Glance    time.Duration // how long status waits for the model's figures

	Version string
}

// Exit statuses beside 0.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 130
)

// errSaid ends a command with status 1 when all that there is to say has been
// said already.
var errSaid = errors.New("already said")

// interruptible returns a context that Ctrl-C ends.
func (e Environment) interruptible(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-e.Interrupt:
			cancel(errInterrupted)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

var errInterrupted = errors.New("interrupted")

// interrupted reports whether it was Ctrl-C that ended ctx.
func interrupted(ctx context.Context) bool {
	return errors.Is(context.Cause(ctx), errInterrupted)
}

// lineReader reads what a person types, line by line and only when asked, so
// that what was typed for the next program is left to it. A read from a terminal
// cannot be called back: a line asked for and not taken is kept for the next
// time, and the goroutine behind it ends with the input or the process.
type lineReader struct {
	ask   chan struct{}
	lines chan string // without the line's end; closed at the end of the input
	asked bool
}

func newLineReader(in io.Reader) *lineReader {
	r := &lineReader{ask: make(chan struct{}, 1), lines: make(chan string)}
	go func() {
		defer close(r.lines)
		reader := bufio.NewReader(in)
		for range r.ask {
			line, err := reader.ReadString('\n')
			if line != "" {
				r.lines <- trimEnd(line)
			}
			if err != nil {
				return
			}
		}
	}()
	return r
}

// next returns where the next line comes from; call taken when it has come.
func (r *lineReader) next() <-chan string {
	if !r.asked {
		r.asked = true
		r.ask <- struct{}{}
	}
	return r.lines
}

func (r *lineReader) taken() { r.asked = false }

func trimEnd(line string) string {
	for len(line) > 0 && (line[len(line)-1] == '\n' || line[len(line)-1] == '\r') {
		line = line[:len(line)-1]
	}
	return line
}
