package qemutests

import (
	"bufio"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestTheTypistMeasuresEveryAnswerAndSaysWhichNeverCame(t *testing.T) {
	console, guest := fakeLine(t)
	go func() {
		for lines := bufio.NewScanner(guest); lines.Scan(); {
			fmt.Fprintf(guest, "%s\r\n", lines.Text()) // the terminal's echo
			plain := strings.ReplaceAll(lines.Text(), `"`, "")
			if strings.HasSuffix(plain, "-4") {
				guest.Close()
				return
			}
			fmt.Fprintf(guest, "%s\r\n$ ", strings.TrimPrefix(plain, "echo "))
		}
	}()
	typist := console.Type(func() time.Duration { return 0 }, time.Minute)
	<-typist.ended
	answers, err := typist.Stop()
	if len(answers) != 3 || err == nil {
		t.Errorf("%d answers, %v", len(answers), err)
	}
}

func TestTimeThatTheHostTookIsNotTheMachines(t *testing.T) {
	answers := Answers{{time.Second, 0}, {5 * time.Second, 4500 * time.Millisecond}, {time.Second, 2 * time.Second}}
	if got := answers.Longest(); got != time.Second {
		t.Errorf("the longest is %v", got)
	}
	if got := answers.String(); !strings.Contains(got, "3 answers; took p50 1000 ms, p99 5000 ms, longest 5000 ms; without") ||
		!strings.Contains(got, "p50 500 ms, p99 1000 ms, longest 1000 ms") {
		t.Error(got)
	}
}
