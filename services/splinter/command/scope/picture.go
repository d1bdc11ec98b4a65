package scope

import (
	"fmt"
	"math"
	"strings"
	"time"

	"runa/services/splinter"
)

// part is what the picture shows.
type part int

const (
	everything part = iota
	components
	flows
	topics
)

// table is a heading and its rows; the most telling rows come first.
type table struct {
	part    part
	heading string
	rows    []string
}

// picture draws what happened between two samples in at most so many lines of so
// many columns.
func picture(before, after sample, shown part, width, height int) string {
	seconds := after.at.Sub(before.at).Seconds()
	if seconds <= 0 {
		seconds = 1
	}
	tables := []table{
		componentTable(before.statistics, after.statistics, seconds),
		flowTable(before.statistics, after.statistics, seconds),
		topicTable(before.statistics, after.statistics, seconds),
	}
	if shown != everything {
		tables = tables[shown-1 : shown]
	}
	lines := []string{title(after)}
	for i, t := range share(tables, height-1-1) {
		lines = append(lines, t.heading)
		lines = append(lines, t.rows...)
		if hidden := len(tables[i].rows) - len(t.rows); hidden > 0 {
			lines = append(lines, fmt.Sprintf("  and %d more", hidden))
		}
	}
	lines = append(lines, "q ends; c components, f flows, t topics, a all")
	for i, line := range lines {
		if line = ascii(line); len(line) > width {
			line = line[:width]
		}
		lines[i] = strings.TrimRight(line, " ")
	}
	return strings.Join(lines[:min(len(lines), height)], "\n") + "\n"
}

// share gives each table its heading and a fair part of the lines; what one does
// not need goes to the others. A table that is cut needs a line to say so.
func share(tables []table, lines int) []table {
	given := make([]int, len(tables))
	left := lines - len(tables)
	for left > 0 {
		progress := false
		for i, t := range tables {
			if left > 0 && given[i] < len(t.rows) {
				given[i]++
				left--
				progress = true
			}
		}
		if !progress {
			break
		}
	}
	cut := make([]table, len(tables))
	for i, t := range tables {
		n := given[i]
		if n < len(t.rows) {
			n = max(n-1, 0)
		}
		cut[i] = table{t.part, t.heading, t.rows[:n]}
	}
	return cut
}

func title(s sample) string {
	i := s.info
	line := fmt.Sprintf("splinter  keys %d/%d  connections %d/%d  topics %d", i.Keys, i.Slots, i.OpenConnections, i.Connections, i.Topics)
	if i.Enforced {
		line += "  rights on"
	}
	if forbidden := total(s.statistics.Forbidden); forbidden > 0 {
		line += fmt.Sprintf("  forbidden %s", count(float64(forbidden)))
	}
	if i.Counters.Repairs > 0 {
		line += fmt.Sprintf("  repairs %s", count(float64(i.Counters.Repairs)))
	}
	return line + "  " + i.Path
}

func total(m map[uint32]uint64) (n uint64) {
	for _, v := range m {
		n += v
	}
	return n
}

func componentTable(before, after splinter.Statistics, seconds float64) table {
	t := table{part: components, heading: fmt.Sprintf("%-17s%6s%5s%8s%8s%8s%8s%6s%7s%7s",
		"COMPONENT", "UID", "PIDS", "SET/s", "GET/s", "MISS/s", "MSG/s", "DROP", "WAKE50", "WAKE99")}
	type identity struct {
		name string
		uid  uint32
	}
	old := map[identity]splinter.ComponentStatistics{}
	for _, c := range before.Components {
		old[identity{c.Name, c.UID}] = c
	}
	for _, c := range after.Components {
		was := old[identity{c.Name, c.UID}]
		rate := func(now, then uint64) string { return count(float64(now-min(now, then)) / seconds) }
		n, o := c.Counters, was.Counters
		t.rows = append(t.rows, fmt.Sprintf("%-17s%6d%5d%8s%8s%8s%8s%6s%7s%7s", clip(c.Name, 16), c.UID, len(c.PIDs),
			rate(n.Sets, o.Sets), rate(n.Gets, o.Gets), rate(n.Misses, o.Misses), rate(n.Frames+n.Published, o.Frames+o.Published),
			count(float64(c.Drops.Total()+n.Drops)), wake(c.Wake, 0.5), wake(c.Wake, 0.99)))
	}
	return t
}

// flowTable is who talks to whom: first connections, then topics. A flow has no
// number of messages of its own if many share a topic; then it is the publisher's.
func flowTable(before, after splinter.Statistics, seconds float64) table {
	t := table{part: flows, heading: fmt.Sprintf("%-16s%-3s%-16s%-20s%8s%9s%8s", "FROM", "", "TO", "OVER", "MSG/s", "BYTE/s", "BEHIND")}
	row := func(from, to, over, messages, bytes, behind string) {
		t.rows = append(t.rows, fmt.Sprintf("%-16s%-3s%-16s%-20s%8s%9s%8s", clip(from, 15), "->", clip(to, 15), clip(over, 19), messages, bytes, behind))
	}
	type ends struct {
		name           string
		client, server int
	}
	old := map[ends]splinter.ConnectionStatistics{}
	for _, c := range before.Connections {
		old[ends{c.Name, c.Client, c.Server}] = c
	}
	for _, c := range after.Connections {
		was := old[ends{c.Name, c.Client, c.Server}]
		from, to := process(c.ClientName, c.Client), process(c.ServerName, c.Server)
		per := func(now, then uint64) string { return count(float64(now-min(now, then)) / seconds) }
		row(from, to, "dial "+c.Name, "-", per(c.ToServer, was.ToServer), count(float64(c.WaitServer))+"B")
		row(to, from, "dial "+c.Name, "-", per(c.ToClient, was.ToClient), count(float64(c.WaitClient))+"B")
	}
	published := map[ends]splinter.PublisherStatistics{}
	for _, topic := range before.Topics {
		for _, p := range topic.Publishers {
			published[ends{name: topic.Name, client: p.PID}] = p
		}
	}
	for _, topic := range after.Topics {
		for _, p := range topic.Publishers {
			was := published[ends{name: topic.Name, client: p.PID}]
			messages := count(float64(p.Messages-min(p.Messages, was.Messages)) / seconds)
			bytes := count(float64(p.Bytes-min(p.Bytes, was.Bytes)) / seconds)
			for _, s := range topic.Subscribers {
				row(process(p.Component, p.PID), process(s.Component, s.PID), topic.Name, messages, bytes, behind(s))
			}
			if len(topic.Subscribers) == 0 {
				row(process(p.Component, p.PID), "nobody", topic.Name, messages, bytes, "-")
			}
		}
	}
	return t
}

func behind(s splinter.SubscriberStatistics) string {
	text := count(float64(s.Behind))
	if s.Lagging {
		text += "!"
	}
	return text
}

func process(component string, pid int) string {
	if component == "" {
		return fmt.Sprintf("[%d]", pid)
	}
	return component
}

func topicTable(before, after splinter.Statistics, seconds float64) table {
	t := table{part: topics, heading: fmt.Sprintf("%-26s%8s%9s%6s%6s%5s%6s%7s%7s", "TOPIC", "MSG/s", "BYTE/s", "KEPT", "DEPTH", "SUBS", "DROP", "WAKE50", "WAKE99")}
	old := map[string]splinter.TopicStatistics{}
	for _, topic := range before.Topics {
		old[topic.Name] = topic
	}
	for _, topic := range after.Topics {
		was := old[topic.Name]
		t.rows = append(t.rows, fmt.Sprintf("%-26s%8s%9s%6s%6s%5d%6s%7s%7s", clip(topic.Name, 25),
			count(float64(topic.Published-min(topic.Published, was.Published))/seconds),
			count(float64(topic.Bytes-min(topic.Bytes, was.Bytes))/seconds),
			count(float64(topic.Kept)), count(float64(topic.Depth)), len(topic.Subscribers),
			count(float64(topic.Drops.Total())), wake(topic.Wake, 0.5), wake(topic.Wake, 0.99)))
	}
	return t
}

func wake(h splinter.Histogram, quantile float64) string {
	if h.Count() == 0 {
		return "-"
	}
	d := h.Quantile(quantile)
	switch {
	case d < time.Microsecond:
		return fmt.Sprintf("%dns", d.Nanoseconds())
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%dus", d.Microseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	}
	return fmt.Sprintf("%.0fs", d.Seconds())
}

// count is a number in at most five characters, in thousands if need be.
func count(n float64) string {
	switch {
	case n == math.Trunc(n) && n < 999.5:
		return fmt.Sprintf("%.0f", n)
	case n < 9.95:
		return fmt.Sprintf("%.1f", n)
	}
	for _, unit := range []string{"", "k", "M", "G", "T"} {
		if n < 9.95 && unit != "" {
			return fmt.Sprintf("%.1f%s", n, unit)
		}
		if n < 999.5 {
			return fmt.Sprintf("%.0f%s", n, unit)
		}
		n /= 1000
	}
	return "much"
}

func clip(s string, n int) string {
	if s = ascii(s); len(s) > n {
		return s[:n-1] + "~"
	}
	return s
}

// ascii is s with a question mark for whatever a plain terminal does not print:
// names come from other processes and shall not steer this one's terminal.
func ascii(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}
