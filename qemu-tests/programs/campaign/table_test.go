package main

import (
	"strings"
	"testing"
	"time"
)

func TestTheTableCountsEachKindAndItsQuantiles(t *testing.T) {
	var results table
	for i := range 100 {
		class := "signal"
		if i%10 == 0 {
			class = "exit"
		}
		results.add(result{
			fault: fault{kind: "kill", target: "faulty-a"}, class: class,
			detected: time.Duration(i+1) * time.Millisecond, recovered: time.Duration(2*i+2) * time.Millisecond,
		})
	}
	results.add(result{fault: fault{kind: "hang"}, class: "hang", detected: time.Second, recovered: 2 * time.Second})
	var out strings.Builder
	results.print(&out)
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 3 {
		t.Fatalf("got\n%s", out.String())
	}
	for i, want := range map[int]string{
		1: "hang 1 hang 1000.0 1000.0 2000.0 2000.0",
		2: "kill 100 signal 90, exit 10 50.0 99.0 100.0 198.0",
	} {
		if got := strings.Join(strings.Fields(lines[i]), " "); got != want {
			t.Errorf("line %d is %q, want %q", i, got, want)
		}
	}
}

func TestTheQuantilesOfFewValuesAreAmongThem(t *testing.T) {
	for n := 1; n < 5; n++ {
		var values []time.Duration
		for i := range n {
			values = append(values, time.Duration(i))
		}
		if got := quantile(values, 99); got != time.Duration(n-1) {
			t.Errorf("p99 of %v is %v", values, got)
		}
		if got := quantile(values, 50); got != time.Duration((n-1)/2) {
			t.Errorf("p50 of %v is %v", values, got)
		}
	}
}
