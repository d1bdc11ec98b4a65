package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// result is a fault from which the machine healed.
type result struct {
	fault
	class     string        // what gilgul called it
	detected  time.Duration // from the harm until gilgul said so
	recovered time.Duration // from the harm until the service was ready again
}

func (r result) String() string {
	return fmt.Sprintf("%s on %s: seen as %s after %s, ready after %s", r.kind, r.target, r.class, inMs(r.detected), inMs(r.recovered))
}

func inMs(d time.Duration) string { return fmt.Sprintf("%.1f ms", d.Seconds()*1000) }

// table gathers results by kind.
type table struct{ kinds map[string][]result }

func (t *table) add(r result) {
	if t.kinds == nil {
		t.kinds = map[string][]result{}
	}
	t.kinds[r.kind] = append(t.kinds[r.kind], r)
}

func (t *table) print(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "KIND\tCOUNT\tSEEN AS\tDETECTED MS P50\tP99\tRECOVERED MS P50\tP99")
	for _, kind := range slices.Sorted(maps.Keys(t.kinds)) {
		results := t.kinds[kind]
		detected := sorted(results, func(r result) time.Duration { return r.detected })
		recovered := sorted(results, func(r result) time.Duration { return r.recovered })
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\t%s\n", kind, len(results), classes(results),
			ms(quantile(detected, 50)), ms(quantile(detected, 99)), ms(quantile(recovered, 50)), ms(quantile(recovered, 99)))
	}
	w.Flush()
}

// classes lists what the faults of one kind were seen as, most often first.
func classes(results []result) string {
	count := map[string]int{}
	for _, r := range results {
		count[r.class]++
	}
	names := slices.SortedFunc(maps.Keys(count), func(a, b string) int {
		return cmp.Or(cmp.Compare(count[b], count[a]), cmp.Compare(a, b))
	})
	for i, name := range names {
		if len(names) > 1 {
			names[i] = fmt.Sprintf("%s %d", name, count[name])
		}
	}
	return strings.Join(names, ", ")
}

func sorted(results []result, what func(result) time.Duration) []time.Duration {
	values := make([]time.Duration, 0, len(results))
	for _, r := range results {
		values = append(values, what(r))
	}
	slices.Sort(values)
	return values
}

// quantile returns the least value that p per cent of the sorted values do not pass.
func quantile(values []time.Duration, p int) time.Duration {
	return values[max(0, (len(values)*p+99)/100-1)]
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f", d.Seconds()*1000) }
