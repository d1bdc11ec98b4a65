package runa_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"runa/services/runa"
	"runa/services/splinter"
)

// screen is a terminal that a test can wait on.
type screen struct {
	mutex   sync.Mutex
	text    bytes.Buffer
	changed chan struct{}
}

func newScreen() *screen { return &screen{changed: make(chan struct{}, 1)} }

func (s *screen) Write(b []byte) (int, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	defer func() {
		select {
		case s.changed <- struct{}{}:
		default:
		}
	}()
	return s.text.Write(b)
}

func (s *screen) String() string {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.text.String()
}

// await waits until the screen ends with text.
func (s *screen) await(t *testing.T, text string) {
	t.Helper()
	limit := time.After(20 * time.Second)
	for !strings.HasSuffix(s.String(), text) {
		select {
		case <-s.changed:
		case <-limit:
			t.Fatalf("the screen never ended with %q:\n%q", text, s.String())
		}
	}
}

// terminal is a person in front of the command.
type terminal struct {
	*screen
	keys      io.Writer
	interrupt chan os.Signal
	status    chan int
	requests  *screen
}

// sit runs the command on a terminal, with a peer that follows steps.
func sit(t *testing.T, noteAfter time.Duration, args []string, steps ...string) terminal {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bus")
	bus, err := splinter.Create(path, splinter.Options{Mode: 0o600})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { bus.Close() })
	in, keys := io.Pipe()
	p := terminal{newScreen(), keys, make(chan os.Signal, 1), make(chan int, 1), newScreen()}
	other, err := newPeer(path, steps, p.requests)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	serving, stop := context.WithCancel(context.Background())
	go func() { served <- other.serve(serving) }()
	t.Cleanup(func() { stop(); <-served })
	go func() {
		p.status <- runa.Main(context.Background(), args, runa.Environment{
			In: in, Out: p.screen, Err: p.screen, Terminal: true, Interrupt: p.interrupt, Bus: path,
			Now: time.Now, Trace: func() [16]byte { return [16]byte{1} },
			Patience: time.Minute, NoteAfter: noteAfter,
		})
	}()
	return p
}

func (p terminal) left(t *testing.T, want int) {
	t.Helper()
	select {
	case got := <-p.status:
		if got != want {
			t.Fatalf("exit status %d, want %d", got, want)
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("the command did not end; screen:\n%s", p)
	}
}

func TestCtrlCStopsTheAnswerAndASecondOneAtThePromptLeaves(t *testing.T) {
	person := sit(t, time.Hour, []string{"chat", "--no-keep"}, "word:Once", "hang", "word:Fine", "done")
	person.await(t, "you> ")
	io.WriteString(person.keys, "tell me\n")
	person.await(t, "Once")
	person.interrupt <- os.Interrupt
	person.await(t, "Once\n(stopped)\nyou> ")
	person.requests.await(t, "cancelled\n")

	// What was said so far is part of the conversation, and typing a line means
	// that one more Ctrl-C does not leave yet.
	io.WriteString(person.keys, "go on\n")
	person.await(t, "Fine\nyou> ")
	if !strings.Contains(person.requests.String(), `{"Role":"assistant","Content":"Once"},{"Role":"user","Content":"go on"}`) {
		t.Errorf("the conversation sent was\n%s", person.requests)
	}
	person.interrupt <- os.Interrupt
	person.await(t, "(Ctrl-C again leaves)\nyou> ")
	person.interrupt <- os.Interrupt
	person.left(t, 0)
}

func TestAStoppedAnswerOfAChatThatIsKeptStaysInItAndOnlyWhatIsNewIsSent(t *testing.T) {
	person := sit(t, time.Hour, []string{"chat"}, "word:Once", "hang", "word:Fine", "done")
	person.await(t, "you> ")
	io.WriteString(person.keys, "tell me\n")
	person.await(t, "Once")
	person.interrupt <- os.Interrupt
	person.await(t, "Once\n(stopped)\nyou> ")
	io.WriteString(person.keys, "go on\n")
	person.await(t, "Fine\nyou> ")
	if !strings.Contains(person.requests.String(), `"Messages":[{"Role":"user","Content":"go on"}],"Prompt":"","Parameters":{},"Conversation":"chat-`) {
		t.Errorf("what was sent was\n%s", person.requests)
	}
	io.WriteString(person.keys, "/quit\n")
	person.left(t, 0)
	if !strings.Contains(person.String(), "you> kept as chat-") {
		t.Errorf("the person was not told under which name it is kept:\n%s", person)
	}
}

// A character may be spread over several tokens, and comes with the last of them.
func TestTheRestOfAnAnswerIsAskedForFromTheFirstTokenWhoseWordsWereNotShown(t *testing.T) {
	person := sit(t, time.Hour, []string{"chat"}, "word:a", "word:", "word:", "renewed", "word:é", "done")
	person.await(t, "you> ")
	io.WriteString(person.keys, "go\n")
	person.await(t, "é\nyou> ")
	if got := person.requests.String(); !strings.Contains(got, `"From":1,`) {
		t.Errorf("what was sent was\n%s", got)
	}
	io.WriteString(person.keys, "/quit\n")
	person.left(t, 0)
}

func TestWhoWaitsIsToldHowManyAreBeforeAndWhatIsDone(t *testing.T) {
	person := sit(t, time.Hour, []string{"ask", "x"},
		"queued:4", "queued:1", "notice:model.loading|Loading\x1b[2J the\nmodel.", "word:Fine", "queued:3", "done")
	person.left(t, 0)
	const erase = "\r\x1b[K"
	want := "3 before you... " + erase + "you are the next... " + erase + "Loading[2J the model... " + erase + "Fine\n"
	if got := person.String(); got != want {
		t.Errorf("the terminal got\n%q, want\n%q", got, want)
	}
}

func TestARefusalIsALineOfItsOwn(t *testing.T) {
	person := sit(t, time.Hour, []string{"ask", "x"}, "word:Be", "notice:refusal|I cannot say\x07 that.", "done:hook")
	person.left(t, 1)
	if got := person.String(); got != "Be\nI cannot say that.\n(a rule of this machine ended the answer here)\n" {
		t.Errorf("the terminal got %q", got)
	}
}

func TestCtrlCRightAfterAStoppedAnswerLeaves(t *testing.T) {
	person := sit(t, time.Hour, []string{"chat"}, "word:Once", "hang")
	person.await(t, "you> ")
	io.WriteString(person.keys, "tell me\n")
	person.await(t, "Once")
	person.interrupt <- os.Interrupt
	person.await(t, "you> ")
	person.interrupt <- os.Interrupt
	person.left(t, 0)
}

func TestCtrlCEndsAskAndTellsTheModel(t *testing.T) {
	person := sit(t, time.Hour, []string{"ask", "x"}, "word:Once", "hang")
	person.await(t, "Once")
	person.interrupt <- os.Interrupt
	person.left(t, 130)
	person.requests.await(t, "cancelled\n")
}

func TestALongSilenceIsExplainedAndTheNoteMakesWayForTheAnswer(t *testing.T) {
	person := sit(t, time.Millisecond, []string{"ask", "x"}, "hang")
	person.await(t, "reading your message... ")
	person.interrupt <- os.Interrupt
	person.left(t, 130)
	person.await(t, "reading your message... \r\x1b[K")
}

func TestAModelCannotSendControlCharactersToATerminal(t *testing.T) {
	person := sit(t, time.Hour, []string{"ask", "x"}, "word:a\x1b[2J\x07b\u009bc", "done")
	person.left(t, 0)
	if got := person.String(); got != "a[2Jbc\n" {
		t.Errorf("the terminal got %q", got)
	}
}

// What is typed behind /quit is meant for the shell.
func TestChatLeavesWhatWasTypedAheadToTheNextProgram(t *testing.T) {
	person := sit(t, time.Hour, []string{"chat"}, "done")
	person.await(t, "you> ")
	io.WriteString(person.keys, "/quit\n")
	person.left(t, 0)
	taken := make(chan error, 1)
	go func() {
		_, err := io.WriteString(person.keys, "ls\n")
		taken <- err
	}()
	select {
	case err := <-taken:
		t.Fatalf("chat read a line after /quit (%v)", err)
	case <-time.After(50 * time.Millisecond):
	}
}
