package scope

import (
	"fmt"
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"runa/services/splinter"
)

// busy is a bus on which n components talk; round says how far it has got.
func busy(n, round int) sample {
	s := sample{at: time.Unix(int64(round), 0), info: splinter.Info{Path: "/run/runa/bus", Keys: 12, Slots: 512, Connections: 32, Topics: n}}
	r := uint64(round)
	for i := range n {
		name := fmt.Sprintf("component-with-a-long-name-%d", i)
		wakes := splinter.Histogram{}
		wakes[12] = 10 * r
		s.statistics.Components = append(s.statistics.Components, splinter.ComponentStatistics{
			Name: name, UID: 65000, PIDs: []int{1}, Wake: wakes,
			Counters: splinter.Counters{Sets: 1234567 * r, Gets: 98765432 * r, Misses: 5 * r, Published: 250 * r},
			Drops:    splinter.Drops{"duplicate": 12345 * r},
		})
		s.statistics.Topics = append(s.statistics.Topics, splinter.TopicStatistics{
			Name: fmt.Sprintf("a/topic/with/a/long/name/%d", i), Published: 250 * r, Bytes: 1 << 20 * r, Kept: 64, Depth: 64,
			Publishers:  []splinter.PublisherStatistics{{PID: 100 + i, Component: name, Messages: 250 * r, Bytes: 1 << 20 * r}},
			Subscribers: []splinter.SubscriberStatistics{{PID: 7, Component: "reader", Behind: 64, Lagging: true}},
		})
		s.statistics.Connections = append(s.statistics.Connections, splinter.ConnectionStatistics{
			Name: "splinfer", Client: 200 + i, Server: 2, ClientName: "runa", ServerName: "splinfer", ToServer: 100 * r, ToClient: 5000 * r, WaitClient: 70,
		})
	}
	return s
}

func TestThePictureFitsASerialConsole(t *testing.T) {
	for _, n := range []int{0, 1, 3, 100} {
		for _, size := range [][2]int{{80, 24}, {40, 10}, {200, 60}, {80, 3}} {
			for shown := everything; shown <= topics; shown++ {
				text := picture(busy(n, 1), busy(n, 2), shown, size[0], size[1])
				lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
				if len(lines) > size[1] {
					t.Errorf("%d components, %v: %d lines\n%s", n, size, len(lines), text)
				}
				for _, line := range lines {
					if len(line) > size[0] || strings.IndexFunc(line, func(r rune) bool { return r < ' ' || r > '~' }) >= 0 {
						t.Errorf("%d components, %v: %q", n, size, line)
					}
				}
			}
		}
	}
}

func TestThePictureSaysWhoTalksToWhom(t *testing.T) {
	text := picture(busy(1, 1), busy(1, 2), everything, 80, 24)
	for _, want := range []string{
		"splinter  keys 12/512  connections 0/32  topics 1  /run/runa/bus",
		"component-with-~  65000    1    1.2M     99M       5     250   25k",
		"runa            -> splinfer        dial splinfer              -      100",
		"splinfer        -> runa            dial splinfer              -     5.0k     70B",
		"component-with~ -> reader          a/topic/with/a/lon~      250     1.0M     64!",
		"a/topic/with/a/long/name~      250     1.0M    64    64    1     0      -      -",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

func TestNamesCannotSteerTheTerminal(t *testing.T) {
	s := busy(1, 2)
	s.statistics.Components[0].Name = "\x1b]0;x\a\xff"
	if text := picture(busy(1, 1), s, everything, 80, 24); strings.ContainsAny(text, "\x1b\a") || strings.Contains(text, "\xff") || !strings.Contains(text, "?]0;x?") {
		t.Errorf("%q", text)
	}
}

func TestATableThatIsCutSaysSo(t *testing.T) {
	text := picture(busy(100, 1), busy(100, 2), components, 80, 24)
	if !strings.Contains(text, "and 80 more") {
		t.Errorf("the rows that are left out are not told:\n%s", text)
	}
}

func TestKeysEndAndChooseAndASizeOfZeroIsNone(t *testing.T) {
	m := model{o: Options{}.complete(), before: busy(1, 1), after: busy(1, 2)}
	key := func(m model, s string) (model, bool) {
		next, command := m.Update(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(s)})
		return next.(model), command != nil
	}
	if _, ends := key(m, "q"); !ends {
		t.Error("q does not end it")
	}
	chosen, ends := key(m, "t")
	if ends || chosen.shown != topics || strings.Contains(chosen.View(), "COMPONENT") {
		t.Errorf("t shows\n%s", chosen.View())
	}
	sized, _ := m.Update(tea.WindowSizeMsg{})
	if o := sized.(model).o; o.Width != 80 || o.Height != 24 {
		t.Errorf("a terminal that knows no size: %v", o)
	}
}

func TestCountsAreShort(t *testing.T) {
	for n, want := range map[float64]string{0: "0", 0.5: "0.5", 9.96: "10", 999.4: "999", 999.6: "1.0k", 1e15: "much", 25432: "25k", 5e6: "5.0M"} {
		if got := count(n); got != want {
			t.Errorf("%v: %s, want %s", n, got, want)
		}
	}
}
