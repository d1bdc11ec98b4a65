package bench

import (
	"fmt"
	"io"
	"strings"
)

// columns are the contenders in the order of the table.
var columns = []string{"splinter", "unix socket", "redis", "lmdb", "libsplinter"}

// Print writes the report as a table of at most 80 columns: a line for each
// thing measured; behind each other contender's time, how many times splinter's it is.
func (r Report) Print(w io.Writer) {
	figures := map[[2]string]Result{}
	var names []string
	for _, result := range r.Results {
		if at := [2]string{result.Name, result.Contender}; figures[at].Name == "" {
			if len(names) == 0 || names[len(names)-1] != result.Name {
				names = appendNew(names, result.Name)
			}
			figures[at] = result
		}
	}
	fmt.Fprintf(w, "%-21s", "")
	for i, c := range columns {
		fmt.Fprintf(w, " %*s", width(i)-1, c)
	}
	fmt.Fprintln(w)
	for _, name := range names {
		line := fmt.Sprintf("%-21s", name)
		for i, c := range columns {
			cell := "-"
			if f, there := figures[[2]string{name, c}]; there {
				cell = duration(f.Ns)
				if i > 0 && f.Ratio > 0 && !isInfinite(f.Ratio) {
					cell += " x" + ratio(f.Ratio)
				}
			}
			line += fmt.Sprintf(" %*s", width(i)-1, cell)
		}
		fmt.Fprintln(w, strings.TrimRight(line, " "))
	}
	fmt.Fprintf(w, "Medians of %d alternating rounds, per operation; xN: N times as long as splinter.\n", r.Rounds)
	for _, a := range r.Absent {
		fmt.Fprintf(w, "Not there: %s (%s).\n", a.Contender, a.Reason)
	}
}

func appendNew(names []string, name string) []string {
	for _, n := range names {
		if n == name {
			return names
		}
	}
	return append(names, name)
}

// widths make a line of 80 columns with the 21 of the name.
var widths = []int{9, 12, 13, 12, 13}

func width(column int) int { return widths[column] }

func isInfinite(f float64) bool { return f > 1e12 }

func duration(ns float64) string {
	for _, unit := range []string{"ns", "us", "ms"} {
		if ns < 999.5 {
			return threeDigits(ns) + unit
		}
		ns /= 1000
	}
	return threeDigits(ns) + "s"
}

func ratio(r float64) string {
	if r >= 999.5 {
		return threeDigits(r/1000) + "k"
	}
	return threeDigits(r)
}

func threeDigits(f float64) string {
	switch {
	case f < 9.995:
		return fmt.Sprintf("%.2f", f)
	case f < 99.95:
		return fmt.Sprintf("%.1f", f)
	}
	return fmt.Sprintf("%.0f", f)
}
