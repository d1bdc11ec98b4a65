package confine

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// told collects what a teller tells.
func told() (*teller, func() []string) {
	var list []string
	t := &teller{service: "a", pid: 7, tell: func(r Refusal) {
		list = append(list, fmt.Sprintf("%s %s %d", r.Rule, r.Detail, r.Count))
	}}
	return t, func() []string {
		slices.Sort(list)
		now := list
		list = nil
		return now
	}
}

func (t *teller) socket(family uint64) { t.refused(unix.SYS_SOCKET, [6]uint64{family}) }

func TestTheFirstRefusalOfAKindIsToldAtOnceAndLaterOnesTogether(t *testing.T) {
	teller, now := told()
	start := time.Unix(1000, 0)
	expect := func(at time.Duration, want ...string) {
		t.Helper()
		teller.flush(start.Add(at))
		if got := now(); !slices.Equal(got, want) {
			t.Errorf("at %s: got %q, want %q", at, got, want)
		}
	}
	teller.socket(unix.AF_INET)
	expect(0, "seccomp/socket AF_INET 1")
	for range 5 {
		teller.socket(unix.AF_INET)
	}
	teller.socket(unix.AF_PACKET)
	expect(time.Millisecond, "seccomp/socket AF_PACKET 1")
	expect(time.Second, "seccomp/socket AF_INET 5")
	teller.socket(unix.AF_INET)
	expect(2 * time.Second) // the pause grows
	expect(3*time.Second, "seccomp/socket AF_INET 1")
	teller.socket(unix.AF_INET)
	expect(3 * time.Second)
	teller.end()
	if got := now(); !slices.Equal(got, []string{"seccomp/socket AF_INET 1"}) {
		t.Errorf("at the end: %q", got)
	}
}

func TestTooManyKindsOfRefusalsAreToldByTheirRuleOnly(t *testing.T) {
	teller, now := told()
	for request := range uint64(3 * mostTold) {
		teller.refused(unix.SYS_IOCTL, [6]uint64{0, request + 1<<20})
	}
	teller.flush(time.Unix(1000, 0))
	got := now()
	if len(got) != mostTold+1 || !slices.Contains(got, fmt.Sprintf("seccomp/ioctl and others %d", 2*mostTold)) {
		t.Errorf("%d kinds", len(got))
	}
}

func TestEveryRefusalIsCounted(t *testing.T) {
	var h heard
	l := newLauncher(t, Options{Refused: h.refused})
	_, exit := output(t, l, shell("i=0; while [ $i -lt 50 ]; do unshare -U true 2>/dev/null; i=$((i+1)); done"))
	if exit.Status.ExitStatus() != 0 {
		t.Error(statusText(exit.Status))
	}
	for deadline := time.Now().Add(soon); h.of("seccomp/unshare") < 50 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond) // the last ones are told when the filter is gone
	}
	if n := h.of("seccomp/unshare"); n != 50 {
		t.Errorf("%d of 50 refusals were counted", n)
	}
}
