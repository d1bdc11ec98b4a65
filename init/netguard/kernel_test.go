package netguard

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/vishvananda/netlink"
)

func TestTheRealKernelListsTheLoopback(t *testing.T) {
	list, err := Rtnetlink{}.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range list {
		if i.Name == "lo" && i.Kind == loopback && i.Index > 0 {
			return
		}
	}
	t.Errorf("no loopback in %v", list)
}

// inside tells the test's own child that it runs in a network namespace of its
// own, where it may do what it likes.
const inside = "NETGUARD_TEST_INSIDE"

// inNamespace runs this test again as the only program of a new network
// namespace; true: this is that program. An ordinary user needs a user namespace
// for it.
func inNamespace(t *testing.T) bool {
	t.Helper()
	if os.Getenv(inside) != "" {
		return true
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
	}
	output, err := cmd.CombinedOutput()
	t.Logf("%s", output)
	if err != nil {
		t.Error(err)
	}
	return false
}

// patience is what a noisy machine may need for what takes it a moment.
const patience = 30 * time.Second

// eventually waits until a link is up or down, and returns how long that took.
func eventually(t *testing.T, name string, up bool) time.Duration {
	t.Helper()
	for began := time.Now(); ; time.Sleep(50 * time.Microsecond) {
		link, err := netlink.LinkByName(name)
		if err != nil {
			t.Fatal(err)
		}
		if (link.Attrs().Flags&net.FlagUp != 0) == up {
			return time.Since(began)
		}
		if time.Since(began) > patience {
			t.Fatalf("%s: up is %v and stays so", name, !up)
		}
	}
}

// pair makes two interfaces that lead to each other.
func pair(t *testing.T) (a, b netlink.Link) {
	t.Helper()
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "left"}, PeerName: "right"}); err != nil {
		t.Fatal(err)
	}
	for name, link := range map[string]*netlink.Link{"left": &a, "right": &b} {
		var err error
		if *link, err = netlink.LinkByName(name); err != nil {
			t.Fatal(err)
		}
	}
	return a, b
}

// broken is the real kernel, but for a defect that can be put into the guard's
// way.
type broken struct {
	Rtnetlink
	defect chan struct{}
}

func (b broken) Watch(ctx context.Context, begun func(), change func(Interface)) error {
	return b.Rtnetlink.Watch(ctx, begun, func(i Interface) {
		select {
		case <-b.defect:
			panic("a defect of the guard")
		default:
			change(i)
		}
	})
}

// watched starts a guard of the real kernel.
func watched(t *testing.T) (g *Guard, defect chan struct{}, end func()) {
	t.Helper()
	defect = make(chan struct{}, 1)
	g = New(broken{defect: defect}, hclog.NewNullLogger())
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); g.Watch(ctx) }()
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		g.mu.Lock()
		watching := g.watching
		g.mu.Unlock()
		if watching {
			break
		}
		if time.Since(began) > patience {
			t.Fatal("the guard doesn't watch")
		}
	}
	return g, defect, func() { cancel(); <-ended }
}

func TestTheRealKernelsInterfacesGoDownWhenTheyComeUp(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	left, _ := pair(t)
	if err := netlink.LinkSetUp(left); err != nil { // before anybody watches
		t.Fatal(err)
	}
	_, _, end := watched(t)
	defer end()
	eventually(t, "left", false)
	loopback, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	var took []time.Duration
	for range 100 {
		for _, link := range []netlink.Link{left, loopback} {
			if err := netlink.LinkSetUp(link); err != nil {
				t.Fatal(err)
			}
			took = append(took, eventually(t, link.Attrs().Name, false))
		}
	}
	slices.Sort(took)
	t.Logf("brought up -> down again, %d times: p50 %v, p99 %v, most %v", len(took), took[len(took)/2], took[len(took)*99/100], took[len(took)-1])
}

func TestOnTheRealKernelOnlyWhatIsAllowedStaysUp(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	left, right := pair(t)
	g, defect, end := watched(t)
	allow(t, g, "left", time.Hour)
	eventually(t, "left", true)
	if err := netlink.LinkSetUp(right); err != nil {
		t.Fatal(err)
	}
	eventually(t, "right", false)
	eventually(t, "left", true)
	if _, err := g.Allow("lo", time.Minute, "a test"); !errors.Is(err, ErrLoopback) {
		t.Errorf("got %v", err)
	}
	if e, err := g.Explain("left", time.Minute); err != nil || !strings.Contains(e.Reachable[0], "software (veth)") {
		t.Errorf("%v, %v", e.Reachable, err)
	}
	allow(t, g, "left", 10*time.Millisecond)
	eventually(t, "left", false) // its time is over

	allow(t, g, "left", time.Hour)
	if err := g.Revoke("left", "a test"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "left", false)

	allow(t, g, "left", time.Hour)
	defect <- struct{}{}
	if err := netlink.LinkSetUp(right); err != nil {
		t.Fatal(err)
	}
	eventually(t, "left", false) // after the guard's crash
	eventually(t, "right", false)
	if list := g.Consents(); len(list) != 0 {
		t.Errorf("consents: %v", list)
	}

	allow(t, g, "left", time.Hour)
	end()
	eventually(t, "left", false) // the guard has ended

	g, _, end = watched(t)
	defer end()
	allow(t, g, "left", time.Hour)
	if err := netlink.LinkDel(left); err != nil {
		t.Fatal(err)
	}
	for began := time.Now(); len(g.Consents()) > 0; time.Sleep(time.Millisecond) {
		if time.Since(began) > patience {
			t.Fatalf("consents: %v", g.Consents())
		}
	}
}

func TestHardwareIsDescribedByWhatIsKnown(t *testing.T) {
	for _, test := range []struct {
		files, links map[string]string
		want         Hardware
	}{
		{nil, nil, Hardware{}},
		{map[string]string{"speed": "-1\n", "address": "00:11:22:33:44:55\n"}, nil, Hardware{Address: "00:11:22:33:44:55"}},
		{map[string]string{"speed": "10000\n"}, map[string]string{"device/driver": "../../bus/virtio/drivers/virtio_net"}, Hardware{Driver: "virtio_net", Megabits: 10000}},
		{map[string]string{"speed": "fast"}, map[string]string{"phy80211": "../phy0"}, Hardware{Wireless: true}},
	} {
		folder := t.TempDir()
		for name, text := range test.files {
			if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		for name, target := range test.links {
			path := filepath.Join(folder, name)
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.Symlink(target, path)); err != nil {
				t.Fatal(err)
			}
		}
		if got := hardwareIn(folder); got != test.want {
			t.Errorf("%v, %v: %+v", test.files, test.links, got)
		}
	}
}

func TestWatchesThatEndedLeaveNothingBehind(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 50 {
		ctx, cancel := context.WithCancel(t.Context())
		if err := (Rtnetlink{}).Watch(ctx, cancel, func(Interface) {}); err != nil {
			t.Fatal(err)
		}
	}
	for began := time.Now(); runtime.NumGoroutine() > before+2; time.Sleep(time.Millisecond) {
		if time.Since(began) > patience {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
	}
}
