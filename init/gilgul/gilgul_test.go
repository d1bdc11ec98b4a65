package gilgul

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"runa/init/console"
	"runa/init/control"
	"runa/init/logring"
	"runa/init/manifest"
	"runa/init/netguard"
	"runa/init/supervise"
	"runa/services/hint"
	"runa/services/splinter"
)

func testMachine() *machine {
	return &machine{log: hclog.NewNullLogger(), logs: logring.NewSet(logring.Options{}), rescues: make(chan console.Trouble)}
}

func TestAPanicOfADutyBecomesARescueAndTheDutyGoesOn(t *testing.T) {
	m := testMachine()
	tries := make(chan struct{}, 4)
	ended := make(chan struct{})
	m.protect(t.Context(), "guard the network", func(context.Context) error {
		tries <- struct{}{}
		if len(tries) == 1 {
			var empty []int
			empty[len(tries)] = 1
		}
		close(ended)
		return nil
	})
	trouble := <-m.rescues
	reason := trouble.Reason
	if !errors.Is(reason, errDefect) || !strings.HasPrefix(reason.Error(), "guard the network: a defect in gilgul: runtime error: index out of range") {
		t.Errorf("got %v", reason)
	}
	select {
	case <-ended:
		t.Error("the duty went on before the rescue was over")
	default:
	}
	close(trouble.Over)
	<-ended
	if p := m.state.list(); len(p) != 1 || p[0].What != "guard the network" {
		t.Errorf("problems %v", p)
	}
}

func TestAFailedDutyIsAProblemWithItsHintAndNoRescue(t *testing.T) {
	m := testMachine()
	err, defect := m.attempt(t.Context(), func(context.Context) error { return hint.New(errors.New("no disk"), "attach one") })
	if defect || err == nil {
		t.Fatalf("%v, defect %v", err, defect)
	}
	m.problem("mount /data", err)
	if got := problemText(m.state.list()[0]); got != "mount /data: no disk (attach one)" {
		t.Errorf("got %q", got)
	}
}

func TestTheNetworkIsNeverCalledOffWhenItIsNot(t *testing.T) {
	for _, c := range []struct {
		list []netguard.Interface
		err  error
		want string
	}{
		{nil, nil, "OFF (no interface)"},
		{[]netguard.Interface{{Name: "lo", Kind: "loopback"}, {Name: "eth0"}}, nil, "OFF (eth0 down)"},
		{[]netguard.Interface{{Name: "eth0", Up: true}, {Name: "eth1"}}, nil, "NOT OFF: eth0 up"},
		{nil, errors.New("no netlink"), "UNKNOWN: no netlink"},
	} {
		if got := networkSentence(c.list, c.err); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

func TestSizesReadAsDisksAreSold(t *testing.T) {
	for n, want := range map[uint64]string{0: "0 B", 999: "999 B", 1500: "1.5 kB", 64_000_000_000: "64.0 GB", 512_000_000: "512 MB"} {
		if got := bytesText(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}

func TestTheManifestsOfTheImageAreRight(t *testing.T) {
	base := "../../overlays/base/etc"
	declared, errs := manifest.Load(filepath.Join(base, "runa/services"))
	for _, err := range errs {
		t.Error(err)
	}
	ordered, errs := manifest.Order(declared)
	for _, err := range errs {
		t.Error(err)
	}
	if len(ordered) != 2 || ordered[0].Name != "splinter" || ordered[1].Name != "splinfer" || !ordered[1].Data {
		t.Fatalf("got %+v", ordered)
	}
	passwd, err := os.ReadFile(filepath.Join(base, "passwd"))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range ordered {
		if !strings.Contains(string(passwd), "\n"+s.User+":x:10") {
			t.Errorf("user %s is not in passwd", s.User)
		}
	}
}

func TestAStateIsOnTheBusOnceTheBusIsReady(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bus")
	theirs, err := splinter.Create(path, splinter.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	b := newBus(path, hclog.NewNullLogger(), nil)
	if err := b.forget("service/x/ready"); !errors.Is(err, errNoBus) {
		t.Errorf("before there is a bus: %v", err)
	}
	heard := make(chan error, 1)
	go func() { heard <- b.wait(t.Context(), "service/x/ready") }()
	b.changed(supervise.Change{Service: "splinter", State: "ready", PID: 7})
	defer b.open.Close()
	value, _, err := theirs.Get("gilgul/service/splinter")
	if err != nil || !strings.Contains(string(value), `"state":"ready"`) {
		t.Errorf("got %q, %v", value, err)
	}
	if err := theirs.Set("service/x/ready", []byte("1")); err != nil {
		t.Fatal(err)
	}
	if err := <-heard; err != nil {
		t.Errorf("waiting for a key: %v", err)
	}
	if err := b.forget("service/x/ready"); err != nil {
		t.Errorf("forget: %v", err)
	}
	if err := b.forget("service/x/ready"); err != nil {
		t.Errorf("forget what isn't there: %v", err)
	}
}

func TestAProgramsOutputAndStatusComeBack(t *testing.T) {
	start := func(c *exec.Cmd) (func() syscall.WaitStatus, error) {
		if err := c.Start(); err != nil {
			return nil, err
		}
		return func() syscall.WaitStatus { c.Wait(); return c.ProcessState.Sys().(syscall.WaitStatus) }, nil
	}
	output, status, err := runner(start)(t.Context(), "/bin/sh", "-c", "echo out; echo err >&2; exit 4")
	if err != nil || status != 4 || output != "out\nerr\n" {
		t.Errorf("got %q, %d, %v", output, status, err)
	}
	if _, _, err := runner(start)(t.Context(), "/absent/program"); err == nil {
		t.Error("a program that isn't there ran")
	}
}

func TestLinesOfTheLogReachWhoAsks(t *testing.T) {
	m := testMachine()
	m.logs.Ring("splinfer").Add("ready")
	var got []control.LogLine
	err := m.Logs(t.Context(), "splinfer", 10, false, func(l control.LogLine) error { got = append(got, l); return nil })
	if err != nil || len(got) != 1 || got[0].Text != "ready" || time.Since(got[0].Time) > time.Minute {
		t.Errorf("got %v, %v", got, err)
	}
	if err := m.Logs(t.Context(), "nobody", 10, false, nil); !errors.Is(err, control.ErrNotFound) {
		t.Errorf("an unknown service: %v", err)
	}
}
