package splinfer

import (
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"runa/services/gguf/tiny"
	"runa/services/rmp"
)

func TestUnderPressureLessIsTakenAndEverythingGoesOn(t *testing.T) {
	o := tinyOptions(t, tiny.Llama)
	o.Threads = 2
	var pressure atomic.Pointer[Pressure]
	pressure.Store(&Pressure{})
	o.Pressure = func() Pressure { return *pressure.Load() }
	var later atomic.Int64
	o.Now = func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
	r := start(t, o)
	conn := r.connect()
	first := ask(t, conn, say("a", turns[0], 10))
	until := func(what string, reached func(rmp.Stats) bool) {
		t.Helper()
		var s rmp.Stats
		for began := time.Now(); time.Since(began) < time.Minute; {
			later.Add(int64(lookEvery))
			r.service.queue.wake()
			if report, _ := exchange(t, conn, rmp.SchemaStatsRequest, rmp.StatsRequest{}, &s); report.Code != "" {
				t.Fatal(report)
			}
			if reached(s) {
				return
			}
		}
		t.Fatalf("%s: %+v", what, s)
	}
	until("at first", func(s rmp.Stats) bool { return s.Threads == 2 && s.Seats == 4 })
	pressure.Store(&Pressure{CPU: 80, Memory: 40})
	until("under pressure", func(s rmp.Stats) bool { return s.Threads == 1 && s.Seats == 1 && s.SavedBytes == 0 })
	second := ask(t, conn, say("a", turns[1], 10))
	if len(first.tokens) != 10 || len(second.tokens) != 10 || second.done.CachedTokens == 0 {
		t.Errorf("got %+v, %+v", first, second)
	}
	pressure.Store(&Pressure{})
	until("when it is calm again", func(s rmp.Stats) bool { return s.Threads == 2 })
}

func TestPressureIsReadOfTheOwnGroupOrTheMachine(t *testing.T) {
	root := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if p := ReadPressure(root); p != (Pressure{}) {
		t.Errorf("where nothing is told: %+v", p)
	}
	write("proc/pressure/cpu", "some avg10=12.50 avg60=1.00 avg300=0.00 total=1\nfull avg10=3.00 avg60=0 avg300=0 total=1\n")
	write("proc/pressure/memory", "some avg10=9.00 avg60=1.00 avg300=0.00 total=1\nfull avg10=4.25 avg60=0 avg300=0 total=1\n")
	if p := ReadPressure(root); p != (Pressure{CPU: 12.5, Memory: 4.25}) {
		t.Errorf("of the machine: %+v", p)
	}
	write("proc/self/cgroup", "0::/runa/splinfer\n")
	write("sys/fs/cgroup/runa/splinfer/cpu.pressure", "some avg10=99.00 avg60=1.00 avg300=0.00 total=1\n")
	write("sys/fs/cgroup/runa/splinfer/memory.pressure", "full avg10=x\n")
	if p := ReadPressure(root); p != (Pressure{CPU: 99}) {
		t.Errorf("of the own group: %+v", p)
	}
}
