package splinfer

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"runa/services/hint"
	"runa/services/rmp"
)

func TestParametersTakeEveryNumberType(t *testing.T) {
	values, err := Defaults().With(map[string]any{
		"temp": float32(0.8), "top-k": int8(7), "top-p": uint8(1), "seed": uint32(math.MaxUint32), "n-predict": float64(12), "ignore-eos": true,
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{
		"temp": 0.8, "top-k": int64(7), "top-p": 1.0, "seed": int64(math.MaxUint32), "n-predict": int64(12), "ignore-eos": true, "min-p": 0.05,
	} {
		if values[name] != want {
			t.Errorf("%s: got %v, want %v", name, values[name], want)
		}
	}
	if s, err := values.sampling(values.seed(5)); err != nil || s.Seed != math.MaxUint32 || s.TopK != 7 || !s.IgnoreEOS {
		t.Errorf("got %+v, %v", s, err)
	}
	if seed := Defaults().seed(5); seed != 5 {
		t.Errorf("seed -1 became %d", seed)
	}
}

func TestWrongValuesAreRefusedWithTheExpectedOnes(t *testing.T) {
	for _, c := range []struct {
		name  string
		value any
		want  string
	}{
		{"temp", -1, "number from 0 to 100, -1 is not"},
		{"temp", math.NaN(), "NaN is not"},
		{"temp", "warm", "number from 0 to 100"},
		{"temp", nil, "number"},
		{"top-k", 1.5, "integer"},
		{"mirostat", 3, "integer from 0 to 2, 3 is not"},
		{"ignore-eos", 1, "boolean"},
		{"grammar", 1, "text"},
		{"grammar", "a\x00", "text"},
		{"seed", uint64(math.MaxUint64), "is not"},
		{"repeat-penalty", 0, "0 is not"},
	} {
		_, err := Defaults().With(map[string]any{c.name: c.value})
		if err == nil || report(err).Code != rmp.CodeParameterInvalid || !strings.Contains(err.Error(), c.want) || hint.Of(err) == "" {
			t.Errorf("%s=%v: %v", c.name, c.value, err)
		}
	}
}

func TestUnknownParameterNamesTheNearest(t *testing.T) {
	for given, want := range map[string]string{
		"temperature": "temp", "top_k": "top-k", "max_tokens": "min-p", "repetition-penalty": "repeat-penalty", "n_predict": "n-predict", "mirostat-tau": "mirostat",
	} {
		_, err := Defaults().With(map[string]any{given: 1})
		if err == nil || report(err).Code != rmp.CodeParameterUnknown || !strings.Contains(err.Error(), given) {
			t.Errorf("%s: %v", given, err)
		}
		if given != "max_tokens" && hint.Of(err) != "did you mean \""+want+"\"?" {
			t.Errorf("%s: hint %q, want %q", given, hint.Of(err), want)
		}
	}
	_, err := Defaults().With(map[string]any{"my secret words": 1})
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("words were repeated: %v", err)
	}
}

func TestFlagsAndRequestsReadTheSameTable(t *testing.T) {
	for _, p := range parameters {
		if value, err := p.convert(p.Default); err != nil || !reflect.DeepEqual(value, p.Default) {
			t.Errorf("default of %s: %v, %v", p.Name, value, err)
		}
		if p.Doc == "" {
			t.Errorf("%s has no documentation", p.Name)
		}
	}
	values, err := NewFlags().Values()
	if err != nil || len(values) != len(parameters) {
		t.Fatalf("got %v, %v", values, err)
	}
	top, _ := find("top-k")
	if _, err := top.Parse("many"); err == nil {
		t.Error("--top-k many was read")
	}
	if v, err := top.Parse("12"); err != nil || v != int64(12) {
		t.Errorf("--top-k 12: %v, %v", v, err)
	}
}

func TestQueueKeepsOrderLimitAndForgetsTheDead(t *testing.T) {
	q := newQueue(4)
	late := &job{request: rmp.Generate{Priority: rmp.PriorityBackground}}
	a, b := newJob(t.Context(), "a", [16]byte{}), newJob(t.Context(), "b", [16]byte{})
	for i, j := range []*job{late, a, b} {
		if n, ok := q.push(j); n != i+1 || !ok {
			t.Fatalf("push %d: %d, %v", i, n, ok)
		}
	}
	for want, j := range []*job{a, b, late} {
		if place, waiting := q.place(j); place != want+1 || waiting != 3 {
			t.Errorf("job %d has place %d of %d", want, place, waiting)
		}
	}
	if q.first() != a || !q.remove(a) || q.remove(a) || q.first() != b {
		t.Fatal("remove")
	}
	if place, _ := q.place(a); place != 0 {
		t.Errorf("one that does not wait has place %d", place)
	}
	select {
	case <-b.moved:
	default:
		t.Error("the one behind it was not told that it moved")
	}
	for range 2 {
		if _, ok := q.push(&job{}); !ok {
			t.Fatal("no room below the limit")
		}
	}
	if _, ok := q.push(&job{}); ok {
		t.Fatal("a push passed the limit")
	}
}

func TestAvailableMemoryIsTheTightestBound(t *testing.T) {
	root := t.TempDir()
	write := func(name, text string) {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	check := func(want uint64) {
		t.Helper()
		if got, err := AvailableMemory(root); err != nil || got != want {
			t.Fatalf("got %d, %v, want %d", got, err, want)
		}
	}
	if _, err := AvailableMemory(root); err == nil {
		t.Fatal("no /proc and no error")
	}
	write("proc/meminfo", "MemTotal: 4000 kB\nMemAvailable:    3000 kB\n")
	check(3000 << 10)
	write("proc/self/cgroup", "0::/runa/splinfer\n")
	check(3000 << 10)
	write("sys/fs/cgroup/runa/memory.max", "2097152\n")
	write("sys/fs/cgroup/runa/memory.current", "1048576\n")
	check(1 << 20)
	write("sys/fs/cgroup/runa/memory.stat", "anon 1\nfile 524288\n")
	check(3 << 19)
	write("sys/fs/cgroup/runa/splinfer/memory.max", "max\n")
	write("sys/fs/cgroup/runa/splinfer/memory.high", "300000\n")
	write("sys/fs/cgroup/runa/splinfer/memory.current", "400000\n")
	check(0)
}

func TestReportsCarryCodeAndHint(t *testing.T) {
	if r := report(errors.New("x")); r.Code != rmp.CodeInternal || r.Message != "x" {
		t.Fatalf("got %+v", r)
	}
	if r := report(fail(rmp.CodeBusy, hint.New(errors.New("full"), "wait"))); r.Code != rmp.CodeBusy || r.Hint != "wait" {
		t.Fatalf("got %+v", r)
	}
}
