package netguard

import (
	"context"
	"errors"
	"testing"

	"github.com/hashicorp/go-hclog"
)

// fake is a kernel with interfaces of its own.
type fake struct {
	list    []Interface
	downed  chan string
	watches chan chan Interface // one for each Watch, in order
	refuse  error
}

func (f *fake) Interfaces() ([]Interface, error) { return append([]Interface(nil), f.list...), nil }

func (f *fake) Down(i Interface) error {
	if f.refuse != nil {
		return f.refuse
	}
	f.downed <- i.Name
	return nil
}

func (f *fake) Watch(ctx context.Context) (<-chan Interface, error) {
	select {
	case w := <-f.watches:
		return w, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func newFake(list ...Interface) *fake {
	return &fake{list: list, downed: make(chan string, 8), watches: make(chan chan Interface, 8)}
}

func TestEveryInterfaceIsTakenDownAtBoot(t *testing.T) {
	f := newFake(Interface{1, "lo", "loopback", true}, Interface{2, "eth0", "device", true}, Interface{3, "eth1", "device", false})
	if err := New(f, hclog.NewNullLogger()).DownAll(); err != nil {
		t.Fatal(err)
	}
	if a, b := <-f.downed, <-f.downed; a != "eth0" || b != "lo" || len(f.downed) != 0 {
		t.Errorf("took down %s, %s and %d more", a, b, len(f.downed))
	}
}

func TestARefusalIsAnErrorThatNamesTheInterface(t *testing.T) {
	f := newFake(Interface{2, "eth0", "device", true})
	f.refuse = errors.New("operation not permitted")
	err := New(f, hclog.NewNullLogger()).DownAll()
	if err == nil || err.Error() != "take network interface eth0 down: operation not permitted" {
		t.Errorf("got %v", err)
	}
}

func TestWhatComesUpGoesDownAlsoAfterLostMessages(t *testing.T) {
	f := newFake()
	first, second := make(chan Interface), make(chan Interface)
	f.watches <- first
	f.watches <- second
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { New(f, hclog.NewNullLogger()).Watch(ctx); close(ended) }()

	first <- Interface{2, "eth0", "device", false}
	first <- Interface{2, "eth0", "device", true}
	if name := <-f.downed; name != "eth0" {
		t.Errorf("took down %s", name)
	}
	close(first) // messages were lost
	second <- Interface{3, "wlan0", "device", true}
	if name := <-f.downed; name != "wlan0" {
		t.Errorf("took down %s", name)
	}
	cancel()
	close(second)
	<-ended
}

func TestTheRealKernelListsTheLoopback(t *testing.T) {
	list, err := Rtnetlink{}.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range list {
		if i.Name == "lo" && i.Kind == "loopback" && i.Index > 0 {
			return
		}
	}
	t.Errorf("no loopback in %v", list)
}
