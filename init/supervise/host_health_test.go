package supervise

import (
	"context"
	"errors"
	"os"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// silentBus is a bus on which everybody said something once; its answers to
// pings and to its test are what the test puts there.
type silentBus struct {
	away   atomic.Bool
	failed atomic.Pointer[error]
	pings  atomic.Int64
}

func (*silentBus) Heartbeat(string) (uint64, bool) { return 1, true }
func (*silentBus) Forget(string)                   {}
func (b *silentBus) Here() bool                    { return !b.away.Load() }

func (b *silentBus) Ping(context.Context, string) error {
	b.pings.Add(1)
	return b.SelfTest(context.Background())
}

func (b *silentBus) SelfTest(context.Context) error {
	if err := b.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// failsAs waits until a service has failed in a way.
func (s *stage) failsAs(service, class string) Change {
	s.t.Helper()
	return s.untilThat(service+" fails as "+class, func(c Change) bool { return c.Service == service && c.Class == class })
}

func TestASickServiceIsFoundAndEndedByWhatItDoes(t *testing.T) {
	for _, c := range []struct{ name, class, manifest string }{
		{"it says nothing any more", "hang", "args: [notify=READY=1]\nheartbeat: 100ms\n"},
		{"it spins", "spin", "args: [notify=READY=1, spin]\nlimits: {cpu-budget: 5%, cpu-budget-for: 1s}\n"},
		{"it opens files without end", "descriptors", "args: [notify=READY=1, open=197]\nlimits: {files: 200}\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHost(t)
			h.Bus = &silentBus{}
			s := perform(t, h, map[string]string{"a": "exec: PLAYER\nready: {by: notify, timeout: 30s}\n" + c.manifest})
			s.failsAs("a", c.class)
			s.until("a", "ready") // and it lives again
		})
	}
}

func TestUsageTellsWhatAServiceTakes(t *testing.T) {
	h := newHost(t)
	s := perform(t, h, map[string]string{"a": "exec: PLAYER\nargs: [open=30, notify=READY=1, spin]\nready: {by: notify, timeout: 30s}\n"})
	s.until("a", "ready")
	eventually(t, "its usage is seen", func() bool {
		u := h.Usage("a")
		return u.OpenFiles >= 20 && u.OpenFiles < 100 && u.Processes > 0 && u.MemoryBytes > 100<<10 && u.CPU > 0
	})
	if u := h.Usage("nobody"); u != (Usage{}) {
		t.Errorf("%+v", u)
	}
}

// A table of descriptors that is full must not keep services from living again.
func TestAServiceLivesAgainWhenGilgulsDescriptorsAreUsedUp(t *testing.T) {
	h := newHost(t)
	s := perform(t, h, map[string]string{"a": "exec: PLAYER\nargs: [notify=READY=1]\nready: {by: notify, timeout: 30s}\nrestart: {initial: 1ms, max: 10ms, stable: 1ms}\n"})
	pid := s.until("a", "ready").PID
	release := exhaustDescriptors(t)
	defer release()
	for range 3 {
		unix.Kill(pid, unix.SIGKILL)
		pid = s.untilThat("another life is ready", func(c Change) bool { return c.State == "ready" && c.PID != pid }).PID
	}
}

// exhaustDescriptors lets this process open nothing more until it is released.
func exhaustDescriptors(t *testing.T) (release func()) {
	t.Helper()
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	few := before
	few.Cur = 400
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	var taken []*os.File
	for {
		f, err := os.Open(os.DevNull)
		if err != nil {
			if !errors.Is(err, unix.EMFILE) {
				t.Error(err)
			}
			break
		}
		taken = append(taken, f)
	}
	return func() {
		for _, f := range taken {
			f.Close()
		}
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
			t.Error(err)
		}
	}
}

func TestProbesAskWhatTheManifestSays(t *testing.T) {
	h := newHost(t)
	bus := &silentBus{}
	h.Bus = bus
	s := perform(t, h, map[string]string{"a": `
exec: PLAYER
args: [notify=READY=1]
ready: {by: notify, timeout: 30s}
probe: {by: ping, every: 100ms, timeout: 30s}
`})
	s.until("a", "ready")
	eventually(t, "it is asked again and again", func() bool { return bus.pings.Load() > 2 })
	wrong := errors.New("it answers nonsense")
	bus.failed.Store(&wrong)
	s.failsAs("a", "false-ready")
	bus.failed.Store(nil)
	s.until("a", "ready")
}
