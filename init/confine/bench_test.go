package confine

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"
)

// build compiles a program without cgo and returns its path.
func build(t testing.TB, pkg string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), filepath.Base(pkg))
	cmd := exec.Command("go", "build", "-ldflags", "-s -w", "-o", path, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

// BenchmarkStart is from kill to ready of a small Go service: with the process
// that waits ahead, without it, and, as anchor, as a plain child that is not
// confined at all.
func BenchmarkStart(b *testing.B) {
	service, enclose := build(b, "./testdata/small"), build(b, "runa/cmd/enclose")
	b.Run("plain", func(b *testing.B) {
		benchmark(b, func(notify *os.File) func() { return startPlain(b, service, notify) })
	})
	for _, ahead := range []bool{false, true} {
		name := map[bool]string{false: "confined", true: "ahead"}[ahead]
		b.Run(name, func(b *testing.B) {
			l, err := NewLauncher(Options{Enclose: enclose})
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			slice := testSlice(b)
			if ahead {
				l.Prepare(slice)
			}
			benchmark(b, func(notify *os.File) func() { return startConfined(b, l, slice, service, notify) })
		})
	}
}

// benchmark kills and starts again until ready. The service runs a while in
// between, as it would.
func benchmark(b *testing.B, start func(notify *os.File) (kill func())) {
	var times []time.Duration
	r, w, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	line := make([]byte, 64)
	kill := start(w)
	r.Read(line)
	for b.Loop() {
		time.Sleep(20 * time.Millisecond)
		began := time.Now()
		kill()
		kill = start(w)
		if _, err := r.Read(line); err != nil {
			b.Fatal(err)
		}
		times = append(times, time.Since(began))
	}
	kill()
	slices.Sort(times)
	at := func(share float64) float64 {
		return float64(times[int(share*float64(len(times)-1))].Microseconds()) / 1000
	}
	b.ReportMetric(at(0.1), "p10-ms")
	b.ReportMetric(at(0.5), "p50-ms")
	b.ReportMetric(at(0.99), "p99-ms")
}

func startPlain(b *testing.B, service string, notify *os.File) func() {
	cmd := exec.Command(service)
	cmd.ExtraFiles = []*os.File{notify}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	return func() { cmd.Process.Signal(syscall.SIGKILL); cmd.Wait() }
}

func startConfined(b *testing.B, l *Launcher, slice *Slice, service string, notify *os.File) func() {
	spec := Spec{Service: "small", Exec: "/bin/small", Program: service, UID: someUser, Notify: notify}
	if slice != nil {
		spec.Cgroup = slice.New("small", spec.Limits)
	}
	p, err := l.Start(spec)
	if err != nil {
		b.Fatal(err)
	}
	return func() {
		p.Signal(syscall.SIGKILL)
		p.Wait()
		if spec.Cgroup != nil {
			spec.Cgroup.EndLater(nil)
		}
	}
}
