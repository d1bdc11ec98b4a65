package logring

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

func texts(lines []Line) []string {
	var all []string
	for _, line := range lines {
		all = append(all, line.Text)
	}
	return all
}

func TestStreamsAreCutIntoLinesHoweverTheyArrive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOf(rapid.StringMatching(`[a-z ]{0,9}`)).Draw(t, "lines")
		data := []byte(strings.Join(append(slices.Clone(want), ""), "\n"))
		ring := New("a", Options{})
		w := ring.Writer()
		for len(data) > 0 {
			n := rapid.IntRange(1, len(data)).Draw(t, "piece")
			w.Write(data[:n])
			data = data[n:]
		}
		w.Close()
		if got := texts(ring.Last(-1)); !slices.Equal(got, want) {
			t.Fatalf("got %q, want %q", got, want)
		}
	})
}

func TestTwoStreamsDoNotMixTheirHalfLines(t *testing.T) {
	ring := New("a", Options{})
	out, err := ring.Writer(), ring.Writer()
	fmt.Fprint(out, "hel")
	fmt.Fprint(err, "oops\n")
	fmt.Fprint(out, "lo\r\nrest")
	out.Close()
	out.Close()
	if got := texts(ring.Last(-1)); !slices.Equal(got, []string{"oops", "hello", "rest"}) {
		t.Fatalf("got %q", got)
	}
}

func TestLongLinesAreCutWithAMark(t *testing.T) {
	ring := New("a", Options{MaxLine: 10})
	w := ring.Writer()
	fmt.Fprintf(w, "%s\nshort\n", strings.Repeat("x", 1_000_000))
	fmt.Fprint(w, "123456789é more\n")
	want := []string{"xxxxxxxxxx ...[cut: 999990 bytes more]", "short", "123456789 ...[cut: 6 bytes more]"}
	if got := texts(ring.Last(-1)); !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
	ring.Add(strings.Repeat("\x1b", 100))
	if got := ring.Last(1)[0].Text; len(got) > 10+2*markRoom || !strings.HasSuffix(got, " bytes more]") {
		t.Fatalf("got %q", got)
	}
}

func TestNothingALineHoldsActsOnATerminal(t *testing.T) {
	ring := New("a", Options{})
	fmt.Fprint(ring.Writer(), "\x1b[2J \x00\x07\ttab \xff\xfe grün \u202e \u0085\n")
	if got, want := ring.Last(1)[0].Text, "\\x1b[2J \\x00\\x07\ttab \\xff\\xfe grün \\u202e \\x85"; got != want {
		t.Fatalf("got  %q\nwant %q", got, want)
	}
}

func TestTheRingIsBoundedAndCountsWhatItLost(t *testing.T) {
	ring := New("a", Options{Bytes: 10 * (lineCost + 4)})
	for i := range 1000 {
		ring.Add(fmt.Sprintf("%04d", i))
	}
	lines := ring.Last(-1)
	if len(lines) != 10 || lines[0].Text != "0990" || ring.Lost() != 990 {
		t.Fatalf("%d lines from %q, %d lost", len(lines), lines[0].Text, ring.Lost())
	}
	if got := texts(ring.Last(2)); !slices.Equal(got, []string{"0998", "0999"}) {
		t.Fatalf("got %q", got)
	}
}

func TestASlowReaderIsToldWhatItMissedAndTheWriterNeverWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ring := New("a", Options{Bytes: 10 * (lineCost + 4)})
		ctx, cancel := context.WithCancel(t.Context())
		gate := make(chan struct{})
		var got []Line
		go ring.Follow(ctx, -1, func(line Line) error {
			<-gate
			got = append(got, line)
			return nil
		})
		for i := range 100 {
			ring.Add(fmt.Sprintf("%04d", i))
			if i == 0 {
				synctest.Wait() // the reader holds line 0 and is stuck
			}
		}
		close(gate)
		synctest.Wait()
		cancel()
		synctest.Wait()
		if len(got) != 11 || got[0].Text != "0000" || got[1].Text != "0090" || got[1].Lost != 89 || got[2].Lost != 0 {
			t.Fatalf("got %v", got)
		}
	})
}

func TestFollowGivesOldThenNewLinesAndEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ring := New("a", Options{})
		ring.Add("1")
		ring.Add("2")
		ctx, cancel := context.WithCancel(t.Context())
		var got []string
		var err error
		go func() {
			err = ring.Follow(ctx, 1, func(line Line) error { got = append(got, line.Text); return nil })
		}()
		synctest.Wait()
		ring.Add("3")
		synctest.Wait()
		cancel()
		synctest.Wait()
		if !slices.Equal(got, []string{"2", "3"}) || !errors.Is(err, context.Canceled) {
			t.Fatalf("got %q, %v", got, err)
		}
	})
}

func TestFollowingAllServicesKeepsTheOrderOfTimeAndSeesNewOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := NewSet(Options{})
		add := func(service, text string) {
			set.Ring(service).Add(text)
			time.Sleep(time.Second) // of the fake clock
		}
		add("b", "1")
		add("a", "2")
		add("b", "3")
		stop := errors.New("enough")
		var got []string
		var err error
		go func() {
			err = set.Follow(t.Context(), "", 2, func(line Line) error {
				got = append(got, line.Service+line.Text)
				if line.Text == "6" {
					return stop
				}
				return nil
			})
		}()
		synctest.Wait()
		add("a", "4")
		add("c", "5")
		add("b", "6")
		synctest.Wait()
		if want := []string{"a2", "b3", "a4", "c5", "b6"}; !slices.Equal(got, want) || !errors.Is(err, stop) {
			t.Fatalf("got %q, %v; want %q", got, err, want)
		}
		if lines, _ := set.Last("", 3); !slices.Equal(texts(lines), []string{"4", "5", "6"}) {
			t.Fatalf("last: %q", texts(lines))
		}
	})
}

func TestAnUnknownServiceHasNoLog(t *testing.T) {
	set := NewSet(Options{})
	if _, err := set.Last("ghost", 1); !errors.Is(err, ErrNoLog) {
		t.Error(err)
	}
	if err := set.Follow(t.Context(), "ghost", 1, nil); !errors.Is(err, ErrNoLog) {
		t.Error(err)
	}
}

func TestCopyNamesTheService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := NewSet(Options{})
		ctx, cancel := context.WithCancel(t.Context())
		var out bytes.Buffer
		go set.Copy(ctx, &out)
		synctest.Wait()
		set.Ring("a").Add("hello")
		synctest.Wait()
		cancel()
		synctest.Wait()
		if out.String() != "a: hello\n" {
			t.Fatalf("got %q", out.String())
		}
	})
}

func TestManyWritersAndReadersAtOnce(t *testing.T) {
	set := NewSet(Options{Bytes: 4 << 10})
	ctx, cancel := context.WithCancel(t.Context())
	var readers, writers sync.WaitGroup
	for range 4 {
		readers.Go(func() { set.Follow(ctx, "", -1, func(Line) error { return nil }) })
	}
	for i := range 4 {
		writers.Go(func() {
			w := set.Ring(fmt.Sprint("s", i%2)).Writer()
			for range 500 {
				fmt.Fprintln(w, "a line")
			}
		})
	}
	writers.Wait()
	cancel()
	readers.Wait()
	for _, name := range []string{"s0", "s1"} {
		if ring := set.Ring(name); ring.Lost()+uint64(len(ring.Last(-1))) != 1000 {
			t.Errorf("%s: %d lost and %d kept of 1000", name, ring.Lost(), len(ring.Last(-1)))
		}
	}
}
