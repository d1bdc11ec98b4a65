package qemutests

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Console is a serial line of a running machine. What the guest writes is
// collected without carriage returns and escape sequences; each Expect takes
// away what it has seen, up to the end of its match.
type Console struct {
	t       testing.TB
	line    io.ReadWriter
	context func() string // what a failure message should add

	changed chan struct{} // one element: something new to look at
	mutex   sync.Mutex
	unread  []byte
	ended   error

	commands int
}

func newConsole(t testing.TB, line io.ReadWriter, log io.Writer, context func() string) *Console {
	c := &Console{t: t, line: line, context: context, changed: make(chan struct{}, 1)}
	go c.collect(log)
	return c
}

func (c *Console) collect(log io.Writer) {
	buffer := make([]byte, 4096)
	var plain plainText
	for {
		n, err := c.line.Read(buffer)
		_, _ = log.Write(buffer[:n])
		c.mutex.Lock()
		c.unread = plain.append(c.unread, buffer[:n])
		c.ended = err
		c.mutex.Unlock()
		select {
		case c.changed <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

// take runs find over the unread text and, if it finds its place, removes and
// returns what is before the end of the match.
func (c *Console) take(find *regexp.Regexp) (before string, match []string, ended error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	at := find.FindSubmatchIndex(c.unread)
	if at == nil {
		return "", nil, c.ended
	}
	for i := 0; i < len(at); i += 2 {
		if at[i] < 0 {
			match = append(match, "")
			continue
		}
		match = append(match, string(c.unread[at[i]:at[i+1]]))
	}
	before = string(c.unread[:at[0]])
	c.unread = c.unread[at[1]:]
	return before, match, nil
}

// await is Expect without a test to fail.
func (c *Console) await(find *regexp.Regexp, limit time.Duration) (before string, match []string, err error) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		before, match, ended := c.take(find)
		if match != nil {
			return before, match, nil
		}
		if ended != nil {
			return "", nil, fmt.Errorf("wait for %q: the console ended (%w)", find, ended)
		}
		select {
		case <-c.changed:
		case <-timer.C:
			return "", nil, fmt.Errorf("wait for %q: not seen within %v", find, limit)
		}
	}
}

// Expect waits until pattern (a regular expression) appears and returns its
// submatches; after limit it fails the test.
func (c *Console) Expect(pattern string, limit time.Duration) []string {
	c.t.Helper()
	_, match := c.ExpectAfter(pattern, limit)
	return match
}

// ExpectAfter is Expect and returns also the text before the match.
func (c *Console) ExpectAfter(pattern string, limit time.Duration) (before string, match []string) {
	c.t.Helper()
	before, match, err := c.await(regexp.MustCompile(pattern), limit)
	if err != nil {
		c.t.Fatalf("%v\nunread: %s%s", err, c.lastWords(), c.context())
	}
	return before, match
}

// lastWords returns the end of what nobody expected yet.
func (c *Console) lastWords() string {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	text := string(c.unread)
	if len(text) > 2000 {
		text = "... " + text[len(text)-2000:]
	}
	return text
}

// Send types text as it is; a line needs its "\n".
func (c *Console) Send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c.line, text); err != nil {
		c.t.Fatalf("type on the console: %v%s", err, c.context())
	}
}

// Keys that a terminal turns into something else than a character.
const (
	CtrlC = "\x03"
	CtrlD = "\x04"
)

// Run types a command at the shell's prompt and returns what it printed and its
// exit status. The marks around the output are typed with quotes inside, so the
// terminal's echo of the line is not taken for them.
func (c *Console) Run(command string, limit time.Duration) (output string, status int) {
	c.t.Helper()
	c.commands++
	number := strconv.Itoa(c.commands)
	c.Send(`echo RUNA-BE"GIN"-` + number + `; ` + command + `; echo RUNA-E"ND"-` + number + `-$?` + "\n")
	c.Expect(`RUNA-BEGIN-`+number+`\n`, limit)
	output, match := c.ExpectAfter(`RUNA-END-`+number+`-(\d+)`, limit)
	status, _ = strconv.Atoi(match[1])
	return strings.TrimRight(output, "\n"), status
}

// Must is Run for a command that has to succeed.
func (c *Console) Must(command string, limit time.Duration) string {
	c.t.Helper()
	output, status := c.Run(command, limit)
	if status != 0 {
		c.t.Fatalf("%s: exit status %d: %s%s", command, status, output, c.context())
	}
	return output
}

// plainText drops carriage returns and terminal escape sequences, also when a
// sequence is cut between two reads. It obeys one of them: what rewrites a line
// (a carriage return, then ESC [ K) takes back what was in it, as a screen would.
type plainText struct {
	state    byte // 0 text, 1 after ESC, 2 inside ESC [
	returned bool // the last character was a carriage return
}

func (p *plainText) append(to, from []byte) []byte {
	for _, b := range from {
		switch {
		case p.state == 1 && b == '[':
			p.state = 2
		case p.state == 1:
			p.state = 0
		case p.state == 2 && b >= '@' && b <= '~':
			p.state = 0
			if b == 'K' && p.returned {
				to = to[:bytes.LastIndexByte(to, '\n')+1]
			}
		case p.state == 2:
		case b == 0x1b:
			p.state = 1
		case b == '\r':
			p.returned = true
		default:
			p.returned = false
			to = append(to, b)
		}
	}
	return to
}
