package supervise

import (
	"os"
	"testing"
	"time"

	"runa/init/lifecycle"
)

func TestAPolicysAdviceIsItsFirstLine(t *testing.T) {
	for _, c := range []struct {
		output string
		want   Advice
		ok     bool
	}{
		{"ladder\n", Advice{Action: lifecycle.AdviceLadder}, true},
		{"restart\nbecause I say so\n", Advice{Action: lifecycle.AdviceRestart}, true},
		{"give-up", Advice{Action: lifecycle.AdviceGiveUp}, true},
		{" wait  1m30s \n", Advice{Action: lifecycle.AdviceWait, Wait: 90 * time.Second}, true},
		{"wait", Advice{}, false},
		{"wait -1s", Advice{}, false},
		{"wait 25h", Advice{}, false},
		{"wait long", Advice{}, false},
		{"restart now", Advice{}, false},
		{"", Advice{}, false},
		{"\nrestart\n", Advice{}, false},
		{"\x1b[2Jrestart", Advice{}, false},
	} {
		got, err := parseAdvice(c.output)
		if (err == nil) != c.ok || got != c.want {
			t.Errorf("%q: %+v, %v", c.output, got, err)
		}
	}
}

func FuzzAdvice(f *testing.F) {
	f.Add("wait 3s\n")
	f.Add("give-up")
	f.Fuzz(func(t *testing.T, output string) {
		a, err := parseAdvice(output)
		if err == nil && (a.Wait < 0 || a.Wait > adviceWait || a.Wait > 0 && a.Action != lifecycle.AdviceWait) {
			t.Fatalf("%q: %+v", output, a)
		}
		if err != nil && a != (Advice{}) {
			t.Fatalf("%q: %+v and %v", output, a, err)
		}
	})
}

func TestAProcessesFiguresAreReadWhateverItsName(t *testing.T) {
	const rest = " S 1 2 3 4 5 6 7 8 9 10 150 50 11 12 20 0 7 0 999 4096000 25 18446744073709551615 1"
	for _, name := range []string{"12 (sh)", "12 (a b) S 9)", "12 ()"} {
		got := parseStat([]byte(name + rest))
		if want := (processStat{cpu: 2 * time.Second, resident: uint64(25 * os.Getpagesize()), threads: 7}); got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
	for _, broken := range []string{"", "12 (sh", "12 (sh)", "12 (sh) S x"} {
		if got := parseStat([]byte(broken)); got != (processStat{}) {
			t.Errorf("%q: %+v", broken, got)
		}
	}
}

func FuzzProcFiles(f *testing.F) {
	f.Add([]byte("12 (sh) S 1 2 3"))
	f.Add([]byte("some avg10=1.00 avg60=0.00 avg300=0.00 total=0\nfull avg10=0.50 avg60=0.00 avg300=0.00 total=0\n"))
	f.Add([]byte("oom_kill 3\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		parseStat(text)
		parseCounter(text, "oom_kill")
		if some, full := parsePressure(text); !(some >= 0 && some <= 100 && full >= 0 && full <= 100) {
			t.Fatalf("%q: %v %v", text, some, full)
		}
	})
}

func TestPressureAndCountersAreReadAsTheKernelWritesThem(t *testing.T) {
	some, full := parsePressure([]byte("some avg10=12.34 avg60=0.00 avg300=0.00 total=123\nfull avg10=0.50 avg60=0.00 avg300=0.00 total=12\n"))
	if some != 12.34 || full != 0.5 {
		t.Errorf("%v, %v", some, full)
	}
	if n := parseCounter([]byte("oom_kill_other 1\noom_kill 42\n"), "oom_kill"); n != 42 {
		t.Errorf("%d", n)
	}
	if n := parseCounter([]byte("nr_free 1\n"), "oom_kill"); n != 0 {
		t.Errorf("%d", n)
	}
}

func TestAnEndingHasAClassAndWords(t *testing.T) {
	const killed, corrupt, failed, well = 9, exitCorruptState << 8, 1 << 8, 0
	for _, c := range []struct {
		ending ending
		class  lifecycle.Class
		reason string
		ok     bool
	}{
		{ending{status: well, ran: time.Second}, "", "exited with status 0 after 1.0 s", true},
		{ending{status: failed, ran: time.Second}, lifecycle.ClassExit, "exited with status 1 after 1.0 s", false},
		{ending{status: killed, ran: time.Second}, lifecycle.ClassSignal, "killed by signal 9 (SIGKILL) after 1.0 s", false},
		{ending{status: corrupt, ran: time.Second}, lifecycle.ClassCorruptState, "it found its state corrupt (status 65) after 1.0 s", false},
		{
			ending{status: killed, ran: time.Second, outOfMemory: true, memoryMax: 64 << 20},
			lifecycle.ClassOutOfMemory,
			"out of memory: killed by the kernel at its limit 64 MiB after 1.0 s", false,
		},
		{ending{status: well, ran: time.Second, outOfMemory: true}, "", "exited with status 0 after 1.0 s", true},
	} {
		got := c.ending.event()
		if got.Class != c.class || got.Reason != c.reason || got.OK != c.ok || got.Kind != lifecycle.Exited {
			t.Errorf("%+v: %+v", c.ending, got)
		}
	}
}
