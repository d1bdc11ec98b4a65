package qemutests

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Typist types a line at a console's shell again and again, as an impatient
// person would, and measures how long each answer takes.
type Typist struct {
	console *Console
	starved func() time.Duration
	limit   time.Duration
	stop    chan struct{}
	ended   chan struct{}

	answers []answer
	failed  error
}

// answer is how long one took, and how long of that the machine itself had to
// wait for a processor of this host, which it can do nothing about.
type answer struct{ took, starved time.Duration }

// own is the part of it that is the machine's own.
func (a answer) own() time.Duration { return max(0, a.took-a.starved) }

// typistPause is between an answer and the next line.
const typistPause = 200 * time.Millisecond

// Type begins to type. starved tells how long the machine has waited for this
// host's processors since its start; an answer that takes longer than limit is
// waited for no more.
func (c *Console) Type(starved func() time.Duration, limit time.Duration) *Typist {
	t := &Typist{console: c, starved: starved, limit: limit, stop: make(chan struct{}), ended: make(chan struct{})}
	go func() {
		defer close(t.ended)
		for number := 1; t.failed == nil; number++ {
			t.failed = t.line(number)
			select {
			case <-time.After(typistPause):
			case <-t.stop:
				return
			}
		}
	}()
	return t
}

// line types one line. The shell takes the quotes away, so that the terminal's
// echo of the line is not taken for its answer.
func (t *Typist) line(number int) error {
	began, starved := time.Now(), t.starved()
	if _, err := io.WriteString(t.console.line, fmt.Sprintf("echo TY\"PED\"-%d\n", number)); err != nil {
		return err
	}
	if _, _, err := t.console.await(regexp.MustCompile(fmt.Sprintf(`TYPED-%d\n`, number)), t.limit); err != nil {
		return err
	}
	t.answers = append(t.answers, answer{time.Since(began), t.starved() - starved})
	return nil
}

// Stop waits for the answer to the last line and returns all that was measured.
func (t *Typist) Stop() (Answers, error) {
	close(t.stop)
	<-t.ended
	return t.answers, t.failed
}

// Answers are how long each answer took.
type Answers []answer

// Longest is the longest of the machine's own times.
func (a Answers) Longest() time.Duration {
	longest := time.Duration(0)
	for _, one := range a {
		longest = max(longest, one.own())
	}
	return longest
}

// String tells them in one line.
func (a Answers) String() string {
	if len(a) == 0 {
		return "nothing was answered"
	}
	line := func(what string, of func(answer) time.Duration) string {
		var values []time.Duration
		for _, one := range a {
			values = append(values, of(one))
		}
		slices.Sort(values)
		at := func(p int) float64 { return values[max(0, (len(values)*p+99)/100-1)].Seconds() * 1000 }
		return fmt.Sprintf("%s p50 %.0f ms, p99 %.0f ms, longest %.0f ms", what, at(50), at(99), at(100))
	}
	return strings.Join([]string{
		fmt.Sprintf("%d answers", len(a)),
		line("took", func(one answer) time.Duration { return one.took }),
		line("without the time that QEMU waited for a processor of this host", answer.own),
	}, "; ")
}
