package qemutests

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BenchmarkRestart kills small services under gilgul and under others'
// supervisors, each in turn, and reports how long it takes from SIGKILL until
// the next life says that it is ready, and the memory of gilgul with all of them.
//
// All run on this host as an ordinary user: gilgul as `gilgul --user`, with every
// namespace, Landlock and the system-call filter that the host lets a user have,
// the others without any confinement, which they do not do. Of dinit, which
// Debian 12 does not have, the one on PATH is taken.
func BenchmarkRestart(b *testing.B) {
	const copies, rounds = 20, 50
	// runsv waits a second before it starts again what ran for less, so nobody is
	// killed that young.
	const age = 1200 * time.Millisecond
	home := benchHome(b)
	sides := []*side{gilgulSide(b, home, copies), runitSide(b, home, copies)}
	if _, err := exec.LookPath("dinit"); err == nil {
		sides = append(sides, dinitSide(b, home, copies))
	} else {
		b.Log("dinit is left out: it is not on PATH, and Debian 12 has no package of it")
	}
	for _, s := range sides {
		s.start(b)
	}
	for range rounds {
		for _, s := range sides {
			time.Sleep(time.Until(s.last.Add(age)))
			s.killEach(b)
		}
	}
	b.ReportMetric(0, "ns/op")
	var half float64
	for _, s := range sides {
		slices.Sort(s.took)
		p50, p99 := s.at(50), s.at(99)
		b.Logf("%-7s %d restarts of %d services: p50 %.2f ms, p99 %.2f ms, longest %.2f ms", s.name, len(s.took), copies, p50, p99, s.at(100))
		b.ReportMetric(p50, s.name+"-p50-ms")
		b.ReportMetric(p99, s.name+"-p99-ms")
		if half == 0 {
			half = p50
		} else {
			b.ReportMetric(half/p50, "times-"+s.name)
		}
	}
	resident, own := memoryOf(b, sides[0].supervisor.Process.Pid)
	b.Logf("gilgul with %d services: %.1f MB resident, of which %.1f MB are its own", copies, resident, own)
	b.ReportMetric(resident, "gilgul-rss-MB")
	for _, s := range sides {
		s.stop(b)
	}
}

// apart is the time between two kills: a service dies on a machine that is at
// rest, not in a storm.
const apart = 25 * time.Millisecond

// side is a supervisor with its services.
type side struct {
	name       string
	supervisor *exec.Cmd
	said       *lockedBuffer
	services   []*benchService
	pids       func() []int // asks for the services' processes; nil: they say it themselves
	last       time.Time    // when its services were killed last
	took       []time.Duration
}

// benchService is a service as the benchmark sees it: its pipe, and the pid that
// its last life said in it.
type benchService struct {
	lives chan string
	pid   int
}

// newBenchService makes the pipe in which the service in folder says that it lives.
func newBenchService(b *testing.B, folder string) *benchService {
	b.Helper()
	path := filepath.Join(folder, "alive")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		b.Fatal(err)
	}
	if err := unix.Mkfifo(path, 0o600); err != nil {
		b.Fatal(err)
	}
	pipe, err := os.OpenFile(path, os.O_RDWR, 0) // a writer of our own, so that it never ends
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { pipe.Close() })
	s := &benchService{lives: make(chan string, 10)}
	go func() {
		for lines := bufio.NewScanner(pipe); lines.Scan(); {
			s.lives <- lines.Text()
		}
	}()
	return s
}

// born waits for a service's next life.
func (s *side) born(b *testing.B, one *benchService) {
	b.Helper()
	select {
	case line := <-one.lives:
		one.pid, _ = strconv.Atoi(line)
	case <-time.After(time.Minute):
		b.Fatalf("%s: a service did not come back within a minute; it said:\n%s", s.name, s.said)
	}
}

func (s *side) start(b *testing.B) {
	b.Helper()
	s.said = &lockedBuffer{}
	s.supervisor.Stdout, s.supervisor.Stderr = s.said, s.said
	if err := s.supervisor.Start(); err != nil {
		b.Fatalf("start %s: %v", s.name, err)
	}
	b.Cleanup(func() { _ = syscall.Kill(-s.supervisor.Process.Pid, syscall.SIGKILL) })
	for _, one := range s.services {
		s.born(b, one)
	}
	s.last = time.Now()
}

// killEach kills each service once and waits for its next life.
func (s *side) killEach(b *testing.B) {
	b.Helper()
	var pids []int
	if s.pids != nil {
		pids = s.pids()
	}
	for i, one := range s.services {
		time.Sleep(apart)
		pid := one.pid
		if pids != nil {
			pid = pids[i]
		}
		if pid <= 1 {
			b.Fatalf("%s: service %d has no process", s.name, i)
		}
		began := time.Now()
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			b.Fatalf("%s: kill %d: %v", s.name, pid, err)
		}
		s.born(b, one)
		s.took = append(s.took, time.Since(began))
	}
	s.last = time.Now()
}

// at is a quantile in ms; took is sorted.
func (s *side) at(p int) float64 {
	return s.took[max(0, (len(s.took)*p+99)/100-1)].Seconds() * 1000
}

// stop asks the supervisor to end and waits for it.
func (s *side) stop(b *testing.B) {
	b.Helper()
	_ = s.supervisor.Process.Signal(syscall.SIGTERM)
	ended := make(chan error, 1)
	go func() { ended <- s.supervisor.Wait() }()
	select {
	case <-ended:
	case <-time.After(time.Minute):
		b.Errorf("%s did not end", s.name)
	}
}

// memoryOf is what /proc/PID/status says in MB: all that is resident, and that
// without what it has of files.
func memoryOf(b *testing.B, pid int) (resident, own float64) {
	b.Helper()
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	figure := func(name string) float64 {
		match := pattern(`(?m)^` + name + `:\s+(\d+) kB$`).FindSubmatch(content)
		if match == nil {
			b.Fatalf("no %s in\n%s", name, content)
		}
		kib, _ := strconv.ParseFloat(string(match[1]), 64)
		return kib * 1024 / 1e6
	}
	return figure("VmRSS"), figure("RssAnon")
}

// benchContext bounds what is asked of a supervisor.
func benchContext(b *testing.B) context.Context {
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	b.Cleanup(cancel)
	return ctx
}

// benchUser is whom the supervisors run as: the ordinary user if this is root.
func benchUser() int {
	if os.Geteuid() == 0 {
		return ordinary
	}
	return cmp.Or(os.Geteuid(), ordinary)
}
