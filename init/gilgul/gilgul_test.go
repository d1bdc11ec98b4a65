package gilgul

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"runa/init/console"
	"runa/init/logring"
	"runa/init/manifest"
	"runa/init/netguard"
	"runa/services/hint"
)

func testMachine() *machine {
	return &machine{log: hclog.NewNullLogger(), logs: logring.NewSet(logring.Options{}), rescues: make(chan console.Trouble)}
}

func TestADutyThatPanicsBeginsAgainAndOnlyOneThatCannotBeKeptUpNeedsAPerson(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := testMachine()
		ctx, cancel := context.WithCancel(t.Context())
		tries := 0
		m.protect(ctx, "guard the network", func(context.Context) error {
			tries++
			var empty []int
			empty[tries] = 1
			return nil
		})
		trouble := <-m.rescues
		if tries != patience+1 {
			t.Errorf("a person was asked after %d tries, not %d", tries, patience+1)
		}
		if !strings.HasPrefix(trouble.Reason.Error(), "guard the network: a defect in gilgul: runtime error: index out of range") {
			t.Errorf("got %v", trouble.Reason)
		}
		if p := m.state.list(); len(p) != 1 || p[0].What != "guard the network" {
			t.Errorf("problems %v", p)
		}
		close(trouble.Over)
		trouble = <-m.rescues
		if tries != patience+2 {
			t.Errorf("after the rescue there were %d tries, not %d", tries, patience+2)
		}
		cancel()
		close(trouble.Over)
		synctest.Wait()
	})
}

func TestADutyThatPanickedOnceIsNoProblemForAPerson(t *testing.T) {
	m := testMachine()
	done := make(chan int, 1)
	tries := 0
	m.protect(t.Context(), "guard the network", func(context.Context) error {
		if tries++; tries == 1 {
			panic("once")
		}
		done <- tries
		return nil
	})
	if got := <-done; got != 2 || len(m.state.list()) != 0 {
		t.Errorf("%d tries, problems %v", got, m.state.list())
	}
}

func TestAFailedDutyIsAProblemWithItsHintAndNoRescue(t *testing.T) {
	m := testMachine()
	m.problem("mount /data", hint.New(errors.New("no disk"), "attach one"))
	if got := problemText(m.state.list()[0]); got != "mount /data: no disk (attach one)" {
		t.Errorf("got %q", got)
	}
}

func TestTenThousandProblemsAreToldAsAFewAndTheSameOnce(t *testing.T) {
	m := testMachine()
	for i := range 10_000 {
		m.problem("service manifest", fmt.Errorf("file %d", i/2))
	}
	if got := len(m.state.list()); got != problemsKept {
		t.Errorf("%d are kept, want %d", got, problemsKept)
	}
	if list := m.state.list(); list[0] == list[1] {
		t.Errorf("the same twice: %v", list[0])
	}
}

func TestTheNetworkIsNeverCalledOffWhenItIsNot(t *testing.T) {
	until := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	consent := []netguard.Consent{{Interface: "eth0", Until: until}}
	for _, c := range []struct {
		list     []netguard.Interface
		consents []netguard.Consent
		err      error
		want     string
	}{
		{nil, nil, nil, "OFF (no interface)"},
		{[]netguard.Interface{{Name: "lo", Kind: "loopback"}, {Name: "eth0"}}, nil, nil, "OFF (eth0 down)"},
		{[]netguard.Interface{{Name: "eth0", Up: true}, {Name: "eth1"}}, nil, nil, "NOT OFF: eth0 up"},
		{[]netguard.Interface{{Name: "eth0", Up: true}, {Name: "eth1"}}, consent, nil, "allowed: eth0 until 03:04:05"},
		{[]netguard.Interface{{Name: "eth0", Up: true}, {Name: "eth1", Up: true}}, consent, nil, "NOT OFF: eth1 up"},
		{[]netguard.Interface{{Name: "eth0"}}, consent, nil, "OFF (eth0 down)"},
		{nil, nil, errors.New("no netlink"), "UNKNOWN: no netlink"},
	} {
		if got := networkSentence(c.list, c.consents, c.err); got != c.want {
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
