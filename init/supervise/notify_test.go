package supervise

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"runa/init/lifecycle"
	"runa/init/servicename"
)

func TestEachLineOfANotifyPipeIsReadAsWhatItSays(t *testing.T) {
	for _, c := range []struct {
		line string
		want notice
		ok   bool
	}{
		{"READY=1", notice{kind: lifecycle.BecameReady}, true},
		{"READY=1\r", notice{kind: lifecycle.BecameReady}, true},
		{"READY=0", notice{}, false},
		{"READY", notice{}, false},
		{"", notice{}, false},
		{"WELL=1", notice{kind: lifecycle.Recovered}, true},
		{"WELL=2", notice{}, false},
		{"DEGRADED=no model can be used", notice{kind: lifecycle.BecameDegraded, reason: "no model can be used"}, true},
		{"DEGRADED=\x1b[31mred\x07 \xff", notice{kind: lifecycle.BecameDegraded, reason: "[31mred ?"}, true},
		{"DEGRADED= ", notice{}, false},
		{"COMPLAIN=splinter no answer for 5 s", notice{lifecycle.Complaint, "splinter", "no answer for 5 s"}, true},
		{"COMPLAIN=splinter", notice{}, false},
		{"COMPLAIN=../x evil", notice{}, false},
		{"COMPLAIN= splinter x", notice{}, false},
		{"MAINPID=1", notice{}, false},
		{"DEGRADED=" + strings.Repeat("x", notifyLine), notice{}, false},
	} {
		got, ok := parseNotice(c.line)
		if ok != c.ok || ok && got != c.want {
			t.Errorf("%.40q: %+v, %v", c.line, got, ok)
		}
	}
}

func FuzzNotice(f *testing.F) {
	for _, seed := range []string{"READY=1", "DEGRADED=x", "COMPLAIN=a b", "WELL=1\r", "COMPLAIN=\xff \x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		n, ok := parseNotice(line)
		if !ok {
			return
		}
		if strings.ContainsFunc(n.reason+n.about, func(char rune) bool { return char < ' ' || char == 0x7f }) || !utf8.ValidString(n.reason) {
			t.Fatalf("%q became %q", line, n)
		}
		if n.kind == lifecycle.Complaint && (!servicename.Valid(n.about) || n.reason == "") {
			t.Fatalf("%q became %+v", line, n)
		}
	})
}

func FuzzLinesAreCutAsTheyWereWritten(f *testing.F) {
	f.Add("READY=1\nWELL=1\n", uint8(3))
	f.Add(strings.Repeat("x", notifyLine+1)+"\nREADY=1\n", uint8(100))
	f.Fuzz(func(t *testing.T, text string, piece uint8) {
		var got, want []string
		for lines, rest := text, true; rest; {
			var line string
			if line, lines, rest = strings.Cut(lines, "\n"); rest && len(line) <= notifyLine {
				want = append(want, line)
			}
		}
		var c lineCutter
		for data := []byte(text); len(data) > 0; {
			n := min(len(data), int(piece)+1)
			c.cut(data[:n], func(line string) { got = append(got, line) })
			data = data[n:]
			if len(c.part) > notifyLine {
				t.Fatalf("it keeps %d bytes", len(c.part))
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("got %q, want %q", got, want)
		}
	})
}

// listening reads a notify pipe inside a synctest bubble and keeps what it heard.
func listening(r io.Reader, ended <-chan struct{}) (heard, dropped *[]string, done <-chan struct{}) {
	heard, dropped = new([]string), new([]string)
	finished := make(chan struct{})
	n := notices{
		after: time.After, now: time.Now, ended: ended,
		hear:    func(n notice) { *heard = append(*heard, n.String()) },
		dropped: func(n notice) { *dropped = append(*dropped, n.String()) },
	}
	go func() { n.read(r); close(finished) }()
	return heard, dropped, finished
}

func TestReadyCountsOnce(t *testing.T) {
	heard, _, done := listening(strings.NewReader("noise\nREADY=1\nREADY=1\nREADY=1"), nil)
	<-done
	if !slices.Equal(*heard, []string{"became ready: "}) {
		t.Errorf("%q", *heard)
	}
}

func TestComplaintsAreHeardNoFasterThanAllowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		heard, dropped, done := listening(r, nil)
		for range 20 {
			fmt.Fprintln(w, "COMPLAIN=a it lies")
		}
		synctest.Wait()
		if len(*heard) != complaintBurst || len(*dropped) != 20-complaintBurst {
			t.Errorf("heard %d, dropped %d", len(*heard), len(*dropped))
		}
		time.Sleep(2 * complaintEvery)
		for range 20 {
			fmt.Fprintln(w, "COMPLAIN=a it lies")
		}
		w.Close()
		<-done
		if len(*heard) != complaintBurst+2 {
			t.Errorf("heard %d after a pause", len(*heard))
		}
	})
}

// A service that writes without end is read a window at a time, so that it
// costs gilgul next to nothing; and its end is not waited for.
func TestAFloodIsReadSlowlyUntilItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan struct{})
		r := &endless{}
		_, _, done := listening(r, ended)
		began := time.Now()
		time.Sleep(100 * notifyWindow)
		synctest.Wait()
		if most := 101 * (notifyBudget + 2*notifyLine); r.read > most {
			t.Errorf("%d bytes were read in %v, at most %d should be", r.read, time.Since(began), most)
		}
		close(ended)
		r.close()
		synctest.Wait()
		select {
		case <-done:
		default:
			t.Error("it waits after the end")
		}
	})
}

// endless is a pipe full of noise until it is closed.
type endless struct {
	read   int
	closed bool
}

func (e *endless) Read(p []byte) (int, error) {
	if e.closed {
		return 0, os.ErrDeadlineExceeded
	}
	for i := range p {
		p[i] = 'x'
	}
	e.read += len(p)
	return len(p), nil
}

func (e *endless) close() { e.closed = true }

func TestAnAllowanceComesBackWithTime(t *testing.T) {
	a := allowance{burst: 2, every: time.Second}
	now := time.Unix(1000, 0)
	var got []bool
	for _, step := range []time.Duration{0, 0, 0, 500 * time.Millisecond, 500 * time.Millisecond, 0, time.Hour, 0, 0} {
		now = now.Add(step)
		got = append(got, a.take(now))
	}
	if want := []bool{true, true, false, false, true, false, true, true, false}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
