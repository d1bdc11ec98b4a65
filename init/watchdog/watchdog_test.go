package watchdog

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"
)

// machine is a folder of device files whose ioctls it answers itself. What is
// written to a device can be read from its file.
type machine struct {
	t          *testing.T
	dev, class string

	mu      sync.Mutex
	devices map[string]*fakeDevice // by path
}

type fakeDevice struct {
	identity   string
	options    uint32
	most       int // seconds; 0: can't be set
	timeout    int // seconds; 0: doesn't tell
	bootStatus int
	refuses    error // to say what it is
	fed        int
}

func newMachine(t *testing.T) *machine {
	dir := t.TempDir()
	m := &machine{t: t, dev: filepath.Join(dir, "dev"), class: filepath.Join(dir, "class"), devices: map[string]*fakeDevice{}}
	if err := errors.Join(os.Mkdir(m.dev, 0o755), os.Mkdir(m.class, 0o755)); err != nil {
		t.Fatal(err)
	}
	return m
}

func (m *machine) add(name string, d *fakeDevice) *fakeDevice {
	path := filepath.Join(m.dev, name)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		m.t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(m.class, name), 0o755); err != nil {
		m.t.Fatal(err)
	}
	m.devices[path] = d
	return d
}

func (m *machine) options() Options {
	return Options{Dev: m.dev, Class: m.class, Timeout: time.Minute, Log: hclog.NewNullLogger(), ioctls: m}
}

// wrote is what was written to a device.
func (m *machine) wrote(name string) string {
	text, err := os.ReadFile(filepath.Join(m.dev, name))
	if err != nil {
		m.t.Fatal(err)
	}
	return string(text)
}

func (m *machine) of(fd int) *fakeDevice {
	path, err := os.Readlink(filepath.Join("/proc/self/fd", strconv.Itoa(fd)))
	if err != nil || m.devices[path] == nil {
		m.t.Errorf("an ioctl on %q: %v", path, err)
		return &fakeDevice{}
	}
	return m.devices[path]
}

func (m *machine) support(fd int) (info unix.WatchdogInfo, err error) {
	d := m.of(fd)
	copy(info.Identity[:], d.identity)
	info.Options = d.options
	return info, d.refuses
}

func (m *machine) get(fd int, request uint) (int, error) {
	d := m.of(fd)
	switch request {
	case unix.WDIOC_GETTIMEOUT:
		if d.timeout == 0 {
			return 0, unix.EOPNOTSUPP
		}
		return d.timeout, nil
	case unix.WDIOC_GETBOOTSTATUS:
		return d.bootStatus, nil
	}
	return 0, unix.ENOTTY
}

func (m *machine) set(fd int, request uint, value int) error {
	d := m.of(fd)
	switch {
	case request != unix.WDIOC_SETTIMEOUT:
		return unix.ENOTTY
	case d.most == 0:
		return unix.EOPNOTSUPP
	case value > d.most || value < 1:
		return unix.EINVAL
	}
	if d.timeout != 0 {
		d.timeout = value
	}
	return nil
}

func (m *machine) keepAlive(fd int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.of(fd).fed++
	return nil
}

func (m *machine) fed(d *fakeDevice) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return d.fed
}

func hardware() *fakeDevice {
	return &fakeDevice{identity: "iTCO_wdt", options: unix.WDIOF_MAGICCLOSE, most: 613, timeout: 30}
}

func software() *fakeDevice {
	return &fakeDevice{identity: softdog, options: unix.WDIOF_MAGICCLOSE, most: 65535, timeout: 60}
}

func TestHardwareIsTakenBeforeSoftware(t *testing.T) {
	for _, test := range []struct {
		what string
		make func(m *machine)
		want string
	}{
		{"alone", func(m *machine) { m.add("watchdog0", hardware()) }, "watchdog0"},
		{"software alone", func(m *machine) { m.add("watchdog0", software()) }, "watchdog0"},
		{"told by its identity when it is open", func(m *machine) {
			m.add("watchdog0", software())
			m.add("watchdog1", hardware())
		}, "watchdog1"},
		{"told by the identity in sysfs", func(m *machine) {
			m.add("watchdog0", software())
			m.add("watchdog1", hardware())
			os.WriteFile(filepath.Join(m.class, "watchdog0", "identity"), []byte(softdog+"\n"), 0o644)
			os.WriteFile(filepath.Join(m.class, "watchdog1", "identity"), []byte("iTCO_wdt\n"), 0o644)
		}, "watchdog1"},
		{"told by its place in sysfs", func(m *machine) {
			m.add("watchdog0", software())
			m.add("watchdog1", hardware())
			os.Mkdir(filepath.Join(m.class, "watchdog1", "device"), 0o755)
		}, "watchdog1"},
		{"the first of several", func(m *machine) {
			m.add("watchdog10", hardware())
			m.add("watchdog9", hardware())
			m.add("watchdog2", software())
			m.add("watchdog3", software())
		}, "watchdog9"},
		{"one that is broken", func(m *machine) {
			broken := m.add("watchdog0", hardware())
			broken.refuses = unix.EIO
			m.add("watchdog1", software())
		}, "watchdog1"},
		{"only the old name", func(m *machine) { m.add("watchdog", hardware()) }, "watchdog"},
	} {
		m := newMachine(t)
		test.make(m)
		w, err := Open(m.options())
		if err != nil {
			t.Errorf("%s: %v", test.what, err)
			continue
		}
		if got := filepath.Base(w.device.path); got != test.want {
			t.Errorf("%s: took %s", test.what, got)
		}
		for path, d := range m.devices {
			name := filepath.Base(path)
			if written := m.wrote(name); name == test.want && written != "" || d.fed != 0 || strings.Trim(written, "V") != "" {
				t.Errorf("%s: %s was written %q, fed %d times", test.what, name, written, d.fed)
			}
		}
		if err := w.Close(); err != nil || m.wrote(test.want) != "V" {
			t.Errorf("%s: closed: %v, written %q", test.what, err, m.wrote(test.want))
		}
	}
}

func TestAMachineWithoutAWatchdogDoesWithout(t *testing.T) {
	m := newMachine(t)
	if _, err := Open(m.options()); !errors.Is(err, ErrNone) {
		t.Errorf("got %v", err)
	}
	if err := (*Watchdog)(nil).Close(); err != nil {
		t.Error(err)
	}
	if err := os.Mkdir(filepath.Join(m.dev, "watchdog0"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/null", filepath.Join(m.dev, "watchdog1")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(m.dev, "watchdogs"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(m.options()); !errors.Is(err, ErrNone) || !strings.Contains(err.Error(), "watchdog0") {
		t.Errorf("got %v", err)
	}
	if err := unix.Mkfifo(filepath.Join(m.dev, "watchdog2"), 0o600); err != nil { // nothing is waited for
		t.Fatal(err)
	}
	if _, err := Open(m.options()); !errors.Is(err, ErrNone) {
		t.Errorf("got %v", err)
	}
}

func TestTheRealCallsOnWhatIsNoWatchdogAreAnError(t *testing.T) {
	m := newMachine(t)
	m.add("watchdog0", hardware())
	o := System(hclog.NewNullLogger())
	o.Dev, o.Class = m.dev, m.class
	if _, err := Open(o); !errors.Is(err, ErrNone) || !errors.Is(err, unix.ENOTTY) {
		t.Errorf("got %v", err)
	}
}

func TestTheTimeoutIsAMinuteOrWhatTheHardwareCan(t *testing.T) {
	for _, test := range []struct {
		most, timeout int
		want          time.Duration
	}{
		{613, 30, time.Minute},
		{60, 30, time.Minute},
		{50, 10, 50 * time.Second},
		{10, 10, 10 * time.Second},
		{1, 1, time.Second},
		{0, 16, 16 * time.Second}, // can't be set
		{613, 0, time.Minute},     // doesn't tell
		{0, 0, leastTimeout},      // neither
	} {
		m := newMachine(t)
		d := m.add("watchdog0", hardware())
		d.most, d.timeout = test.most, test.timeout
		w, err := Open(m.options())
		if err != nil {
			t.Fatal(err)
		}
		if w.Timeout() != test.want || w.Period() != test.want/3 {
			t.Errorf("at most %d, own %d: time-out %v, fed each %v", test.most, test.timeout, w.Timeout(), w.Period())
		}
		w.Close()
	}
}

func TestAResetByTheWatchdogIsTold(t *testing.T) {
	m := newMachine(t)
	m.add("watchdog0", hardware()).bootStatus = unix.WDIOF_CARDRESET
	var log strings.Builder
	o := m.options()
	o.Log = hclog.New(&hclog.LoggerOptions{Output: &log})
	w, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for _, part := range []string{"had reset this machine", "iTCO_wdt", "timeout=1m0s", "watchdog0"} {
		if !strings.Contains(log.String(), part) {
			t.Errorf("the log doesn't tell %q:\n%s", part, &log)
		}
	}
}

// running opens a watchdog in a bubble of its own time and feeds it while alive
// says so.
func running(t *testing.T, alive func() bool, check func(t *testing.T, m *machine, w *Watchdog, d *fakeDevice)) {
	t.Helper()
	m := newMachine(t)
	d := m.add("watchdog0", hardware())
	synctest.Test(t, func(t *testing.T) {
		w, err := Open(m.options())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); w.Run(ctx, alive) }()
		synctest.Wait()
		check(t, m, w, d)
		cancel()
		<-ended
		w.Close()
	})
}

func TestItIsFedThreeTimesInItsTimeout(t *testing.T) {
	running(t, func() bool { return true }, func(t *testing.T, m *machine, w *Watchdog, d *fakeDevice) {
		time.Sleep(10 * w.Timeout())
		synctest.Wait()
		if fed := m.fed(d); fed != 31 { // and once at the start
			t.Errorf("fed %d times", fed)
		}
	})
}

func TestItStarvesWhileTheMachineIsNotAliveAndIsFedWhenItIsAgain(t *testing.T) {
	var mu sync.Mutex
	lives := true
	set := func(l bool) { mu.Lock(); defer mu.Unlock(); lives = l }
	running(t, func() bool { mu.Lock(); defer mu.Unlock(); return lives }, func(t *testing.T, m *machine, w *Watchdog, d *fakeDevice) {
		set(false)
		time.Sleep(5 * w.Timeout())
		synctest.Wait()
		if fed := m.fed(d); fed != 1 {
			t.Errorf("fed %d times", fed)
		}
		set(true)
		time.Sleep(w.Timeout())
		synctest.Wait()
		if fed := m.fed(d); fed != 4 {
			t.Errorf("fed %d times", fed)
		}
	})
}

func TestAQuestionThatPanicsOrHangsFeedsNothing(t *testing.T) {
	running(t, func() bool { panic("a defect") }, func(t *testing.T, m *machine, w *Watchdog, d *fakeDevice) {
		time.Sleep(5 * w.Timeout())
		synctest.Wait()
		if fed := m.fed(d); fed != 0 {
			t.Errorf("fed %d times", fed)
		}
	})
	running(t, func() bool { time.Sleep(time.Hour); return true }, func(t *testing.T, m *machine, w *Watchdog, d *fakeDevice) {
		time.Sleep(5 * w.Timeout())
		synctest.Wait()
		if fed := m.fed(d); fed != 0 {
			t.Errorf("fed %d times", fed)
		}
	})
}

func TestItStaysArmedUntilItIsClosed(t *testing.T) {
	running(t, func() bool { return true }, func(t *testing.T, m *machine, w *Watchdog, d *fakeDevice) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		w.Run(ctx, func() bool { return true }) // over at once
		if written := m.wrote("watchdog0"); written != "" {
			t.Errorf("written %q", written)
		}
		for range 2 {
			if err := w.Close(); err != nil {
				t.Error(err)
			}
		}
		if written := m.wrote("watchdog0"); written != "V" {
			t.Errorf("written %q", written)
		}
		fed := m.fed(d)
		time.Sleep(5 * w.Timeout()) // Run has ended, or does nothing
		if m.fed(d) != fed {
			t.Error("it was fed after it was closed")
		}
	})
}

func TestHardwareThatCannotBeDisarmedIsTold(t *testing.T) {
	m := newMachine(t)
	m.add("watchdog0", hardware()).options = 0
	var log strings.Builder
	o := m.options()
	o.Log = hclog.New(&hclog.LoggerOptions{Output: &log})
	w, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil || !strings.Contains(log.String(), "can't be disarmed") {
		t.Errorf("%v, %s", err, &log)
	}
}
