package logring

import (
	"fmt"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// Writer cuts one stream, such as a service's standard error, into lines of a
// ring. Each stream needs its own, so that half a line of one is not joined to
// half a line of the other.
type Writer struct {
	ring *Ring
	mu   sync.Mutex
	part []byte // the line so far, at most MaxLine+1 bytes
	more int    // bytes of it that were cut
}

// Writer returns a writer for one stream.
func (r *Ring) Writer() *Writer { return &Writer{ring: r} }

// Write takes all of data, never fails and never waits for a reader.
func (w *Writer) Write(data []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	written := len(data)
	for len(data) > 0 {
		line, rest, complete := cutLine(data)
		data = rest
		room := max(0, w.ring.options.MaxLine-len(w.part))
		kept := min(room, len(line))
		w.part = append(w.part, line[:kept]...)
		w.more += len(line) - kept
		if complete {
			w.flush()
		}
	}
	return written, nil
}

// Close adds what is left as a line. The ring stays.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.part)+w.more > 0 {
		w.flush()
	}
	return nil
}

func (w *Writer) flush() {
	text := strings.TrimSuffix(string(w.part), "\r")
	if w.more > 0 {
		text = strings.TrimRight(strings.ToValidUTF8(text, ""), " ") + cutMark(w.more)
	}
	w.ring.Add(text)
	w.part, w.more = w.part[:0], 0
}

func cutLine(data []byte) (line, rest []byte, complete bool) {
	for i, b := range data {
		if b == '\n' {
			return data[:i], data[i+1:], true
		}
	}
	return data, nil, false
}

// markRoom is how much longer than MaxLine a cut line may get by its mark.
const markRoom = 48

func cutMark(bytes int) string { return fmt.Sprintf(" ...[cut: %d bytes more]", bytes) }

// printable replaces what would act on a terminal (control characters, broken
// UTF-8) by what can be read, and cuts text that is longer than limit bytes.
func printable(text string, limit int) string {
	var b strings.Builder
	for i := 0; i < len(text); {
		char, size := utf8.DecodeRuneInString(text[i:])
		piece := text[i : i+size]
		switch {
		case char == utf8.RuneError && size == 1:
			piece = fmt.Sprintf("\\x%02x", text[i])
		case char == '\t':
		case !unicode.IsPrint(char) && char < 0x100:
			piece = fmt.Sprintf("\\x%02x", char)
		case !unicode.IsPrint(char):
			piece = fmt.Sprintf("\\u%04x", char)
		}
		if b.Len()+len(piece) > limit+markRoom {
			return b.String() + cutMark(len(text)-i)
		}
		b.WriteString(piece)
		i += size
	}
	return b.String()
}
