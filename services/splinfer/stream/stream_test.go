package stream

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// naive says what an answer shows, given all of it at once: it looks for the
// first end of any stop string, then for the longest that ends there.
func naive(stops []string, answer string) (text string, stopped bool) {
	for end := 1; end <= len(answer); end++ {
		longest := 0
		for _, stop := range stops {
			if stop != "" && strings.HasSuffix(answer[:end], stop) {
				longest = max(longest, len(stop))
			}
		}
		if longest > 0 {
			return string([]rune(answer[:end-longest])), true
		}
	}
	return string([]rune(answer)), false
}

// pushAll pushes the pieces one by one and checks what must hold after each.
func pushAll(t interface{ Fatalf(string, ...any) }, s *Stream, pieces [][]byte) (text string, stopped bool) {
	for _, piece := range pieces {
		shown, now := s.Push(piece)
		text += shown
		if stopped && (shown != "" || !now) {
			t.Fatalf("after the stop %q was shown, stopped %v", shown, now)
		}
		stopped = now
	}
	return text + s.Flush(), stopped
}

func TestAnyCutGivesTheTextOfTheWholeAnswer(t *testing.T) {
	alphabet := []string{"a", "b", "ab", "\n", "é", "\u20ac", "\U0001f600", "\xe2\x82", "\xff", "</s>"}
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.Custom(func(t *rapid.T) string {
			return strings.Join(rapid.SliceOfN(rapid.SampledFrom(alphabet), 0, 4).Draw(t, "word"), "")
		})
		stops := rapid.SliceOfN(word, 0, 4).Draw(t, "stops")
		answer := strings.Join(rapid.SliceOfN(rapid.SampledFrom(alphabet), 0, 24).Draw(t, "answer"), "")
		var pieces [][]byte
		for rest := []byte(answer); len(rest) > 0; {
			n := rapid.IntRange(0, min(5, len(rest))).Draw(t, "cut")
			pieces, rest = append(pieces, rest[:n]), rest[n:]
		}
		text, stopped := pushAll(t, New(stops), pieces)
		want, wantStop := naive(stops, answer)
		if text != want || stopped != wantStop {
			t.Fatalf("%q with stops %q in pieces %q: got %q, %v, want %q, %v", answer, stops, pieces, text, stopped, want, wantStop)
		}
	})
}

func TestEachPieceShowsAllThatIsSafe(t *testing.T) {
	for _, c := range []struct {
		name   string
		stops  []string
		pieces []string
		shown  []string // by each piece, then by Flush
		ends   bool
	}{
		{"text goes through at once", nil, []string{"Hel", "lo"}, []string{"Hel", "lo", ""}, false},
		{"a stop across three tokens", []string{"</s>"}, []string{"Hi<", "/", "s>x"}, []string{"Hi", "", "", ""}, true},
		{"a false beginning is shown once it is known", []string{"</s>"}, []string{"a<", "/b"}, []string{"a", "</b", ""}, false},
		{"a false beginning is shown at the end", []string{"</s>"}, []string{"a</"}, []string{"a", "</"}, false},
		{"the beginning of the beginning is kept", []string{"aab"}, []string{"aa", "a", "b"}, []string{"", "a", "", ""}, true},
		{"a character in three tokens", nil, []string{"\xe2", "\x82", "\xac!"}, []string{"", "", "\u20ac!", ""}, false},
		{"half a character at the end", nil, []string{"a\xe2\x82"}, []string{"a", "\ufffd\ufffd"}, false},
		{"half a character before a stop", []string{"."}, []string{"a\xe2", "."}, []string{"a", "\ufffd", ""}, true},
		{"the stop that is whole first counts", []string{"abcd", "c"}, []string{"ab", "cd"}, []string{"", "ab", ""}, true},
		{"of two that end together the longest counts", []string{"b", "ab"}, []string{"xa", "b"}, []string{"x", "", ""}, true},
		{"an empty stop is none", []string{""}, []string{"a"}, []string{"a", ""}, false},
		{"nothing after the stop", []string{"\n"}, []string{"a\nb", "c"}, []string{"a", "", ""}, true},
		{"a stop that begins within a character holds all of it", []string{"\x82\xac"}, []string{"\xe2\x82", "x"}, []string{"", "\ufffd\ufffdx", ""}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, stopped := New(c.stops), false
			for i, piece := range c.pieces {
				var text string
				if text, stopped = s.Push([]byte(piece)); text != c.shown[i] {
					t.Errorf("piece %d, %q: shown %q, want %q", i, piece, text, c.shown[i])
				}
			}
			if text := s.Flush(); text != c.shown[len(c.pieces)] || stopped != c.ends || s.Held() != 0 {
				t.Errorf("at the end: shown %q, stopped %v, held %d", text, stopped, s.Held())
			}
		})
	}
}

func TestATokenCostsNoMoreThanItsText(t *testing.T) {
	s := New([]string{"</s>", "User:", "\n\n"})
	piece := []byte(" and<")
	s.Push(piece) // its buffers have their sizes now
	if n := testing.AllocsPerRun(1000, func() { s.Push(piece) }); n > 1 {
		t.Errorf("a token makes %v allocations, want the text's alone", n)
	}
}

func TestUnreasonableStopsAreRefused(t *testing.T) {
	for _, stops := range [][]string{{""}, {strings.Repeat("x", MaxStopBytes+1)}, {"\xff"}, make([]string, MaxStops+1)} {
		if Check(stops) == nil {
			t.Errorf("%d stops, first %.20q: not refused", len(stops), stops[0])
		}
	}
	if err := Check([]string{"\n", strings.Repeat("x", MaxStopBytes)}); err != nil {
		t.Error(err)
	}
}

func BenchmarkPush(b *testing.B) {
	s := New([]string{"</s>", "<|im_end|>", "User:", "\n\n"})
	piece := []byte(" token")
	b.ReportAllocs()
	for b.Loop() {
		s.Push(piece)
	}
}
