package bench

import (
	"strings"
	"testing"
)

func TestTheTableFitsATerminalAndNamesWhoIsAbsent(t *testing.T) {
	r := Report{Rounds: 5, Absent: []Absence{{"redis", "no redis-server"}}}
	for i, c := range columns {
		ratio := 118.3
		if c == "redis" || c == "libsplinter" {
			ratio = 11831
		}
		r.Results = append(r.Results, Result{"1 writer, 31 readers", c, 99876 * float64(i+1), ratio})
	}
	var out strings.Builder
	r.Print(&out)
	lines := strings.Split(out.String(), "\n")
	for _, line := range lines[:2] {
		if len(line) > 80 {
			t.Errorf("%d columns: %s", len(line), line)
		}
	}
	for _, want := range []string{"99.9us", "499us x11.8k", "Not there: redis (no redis-server)."} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

func TestTimesAndRatiosHaveThreeDigits(t *testing.T) {
	for ns, want := range map[float64]string{0: "0.00ns", 14.25: "14.2ns", 999.4: "999ns", 999.6: "1.00us", 445400: "445us", 6.3234e6: "6.32ms", 2e9: "2.00s"} {
		if got := duration(ns); got != want {
			t.Errorf("%v: %s, want %s", ns, got, want)
		}
	}
	for r, want := range map[float64]string{0.8: "0.80", 434: "434", 11831: "11.8k"} {
		if got := ratio(r); got != want {
			t.Errorf("%v: %s, want %s", r, got, want)
		}
	}
}
