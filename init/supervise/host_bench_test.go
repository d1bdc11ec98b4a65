package supervise

import (
	"bufio"
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BenchmarkRestart kills a small service again and again and measures the time
// from the SIGKILL until its next life, fully confined, is known to be ready.
// Beside it stands the limit: the same program made by fork and exec alone,
// until its READY=1 is read. Run it with -benchtime 1000x.
func BenchmarkRestart(b *testing.B) {
	h := newHost(b)
	s := perform(b, h, map[string]string{"a": `
exec: PLAYER
args: [notify=READY=1]
ready: {by: notify, timeout: 30s}
restart: {initial: 1ms, max: 1ms, stable: 1ms}
`})
	pid := s.until("a", "ready").PID
	var restarts, bare []time.Duration
	for b.Loop() {
		eventually(b, "its failures are forgotten", func() bool { return s.Status()[0].Failures == 0 })
		time.Sleep(25 * time.Millisecond) // it dies on a machine that is at rest, not in a storm
		began := time.Now()
		if err := unix.Kill(pid, unix.SIGKILL); err != nil {
			b.Fatal(err)
		}
		pid = s.untilThat("another life is ready", func(c Change) bool { return c.State == "ready" && c.PID != pid }).PID
		restarts = append(restarts, time.Since(began))
		bare = append(bare, bareStart(b, built(b).player))
	}
	b.ReportMetric(quantile(restarts, 0.50), "p50-ms")
	b.ReportMetric(quantile(restarts, 0.99), "p99-ms")
	b.ReportMetric(quantile(bare, 0.50), "bare-p50-ms")
	b.ReportMetric(quantile(bare, 0.99), "bare-p99-ms")
	b.ReportMetric(quantile(restarts, 0.50)/quantile(bare, 0.50), "times-bare")
}

// bareStart makes the program without anything around it and returns how long
// it took until it said that it is ready.
func bareStart(b *testing.B, program string) time.Duration {
	b.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	began := time.Now()
	p, err := os.StartProcess(program, []string{program, "notify=READY=1"}, &os.ProcAttr{
		Env: []string{"RUNA_NOTIFY_FD=3"}, Files: []*os.File{nil, nil, os.Stderr, w},
	})
	w.Close()
	if err != nil {
		b.Fatal(err)
	}
	if line, err := bufio.NewReader(r).ReadString('\n'); err != nil || line != "READY=1\n" {
		b.Fatalf("%q, %v", line, err)
	}
	took := time.Since(began)
	if err := p.Kill(); err != nil {
		b.Fatal(err)
	}
	if _, err := p.Wait(); err != nil {
		b.Fatal(err)
	}
	return took
}

// quantile is a share of the durations in milliseconds.
func quantile(all []time.Duration, share float64) float64 {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[int(share*float64(len(sorted)-1))].Seconds() * 1000
}

// BenchmarkHealth reads and judges one service as each tick does.
func BenchmarkHealth(b *testing.B) {
	h := newHost(b)
	h.Bus = &silentBus{}
	s := perform(b, h, map[string]string{"a": "exec: PLAYER\nargs: [notify=READY=1]\nready: {by: notify, timeout: 30s}\nheartbeat: 1h\n"})
	s.until("a", "ready")
	gauge := newGauge(h.life("a"))
	defer gauge.close()
	b.ReportAllocs()
	for b.Loop() {
		h.sample(h.life("a"), gauge)
	}
}
