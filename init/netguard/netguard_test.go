package netguard

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
)

// fake is a kernel with interfaces of its own. Bringing one up or down is seen
// by whoever watches, as with the real one.
type fake struct {
	mu       sync.Mutex
	list     map[int]Interface
	changes  chan Interface // to the watch that is under way
	lost     chan struct{}  // ends that watch
	refuses  error          // to take down
	refuseUp error
	refuseTo error // to watch
	panics   string
	watches  int
	downs    []string // every Down, by name
}

func newFake(list ...Interface) *fake {
	f := &fake{list: map[int]Interface{}, changes: make(chan Interface, 100), lost: make(chan struct{})}
	for _, i := range list {
		f.list[i.Index] = i
	}
	return f
}

var (
	lo   = Interface{Index: 1, Name: "lo", Kind: loopback}
	eth0 = Interface{Index: 2, Name: "eth0", Kind: "device"}
	eth1 = Interface{Index: 3, Name: "eth1", Kind: "device"}
)

func up(i Interface) Interface { i.Up = true; return i }

func (f *fake) Interfaces() ([]Interface, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []Interface
	for _, i := range f.list {
		list = append(list, i)
	}
	return list, nil
}

// set is what anybody may do; the watch is told.
func (f *fake) set(i Interface) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list[i.Index] = i
	if i.Gone {
		delete(f.list, i.Index)
	}
	f.changes <- i
}

func (f *fake) Up(i Interface) error {
	if f.refuseUp != nil {
		return f.refuseUp
	}
	f.mu.Lock()
	now := f.list[i.Index]
	f.mu.Unlock()
	f.set(up(now))
	return nil
}

func (f *fake) Down(i Interface) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.panics != "" {
		panic(f.panics)
	}
	if f.refuses != nil {
		return f.refuses
	}
	f.downs = append(f.downs, i.Name)
	now, ok := f.list[i.Index]
	if ok {
		now.Up = false
		f.list[i.Index] = now
		f.changes <- now
	}
	return nil
}

func (f *fake) Describe(Interface) Hardware {
	return Hardware{Driver: "virtio_net", Address: "52:54:00:12:34:56", Megabits: 1000}
}

func (f *fake) Watch(ctx context.Context, begun func(), change func(Interface)) error {
	f.mu.Lock()
	f.watches++
	err := f.refuseTo
	f.mu.Unlock()
	if err != nil {
		return err
	}
	begun()
	for {
		select {
		case i := <-f.changes:
			change(i)
		case <-f.lost:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

// isUp lists what is up.
func (f *fake) isUp() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	names := []string{}
	for _, i := range f.list {
		if i.Up {
			names = append(names, i.Name)
		}
	}
	slices.Sort(names)
	return names
}

func (f *fake) want(t *testing.T, names ...string) {
	t.Helper()
	synctest.Wait()
	if got := f.isUp(); !slices.Equal(got, append([]string{}, names...)) {
		t.Errorf("up are %v, want %v", got, names)
	}
}

// guarded runs check while a guard watches a fake kernel, in a bubble of its own
// time.
func guarded(t *testing.T, f func() *fake, check func(t *testing.T, f *fake, g *Guard)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := f()
		g := New(f, hclog.NewNullLogger())
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); g.Watch(ctx) }()
		synctest.Wait()
		check(t, f, g)
		cancel()
		<-ended
		time.Sleep(time.Minute) // what is tried again comes to its end
	})
}

func three() *fake { return newFake(up(lo), up(eth0), eth1) }

func TestEveryInterfaceIsTakenDownAtBoot(t *testing.T) {
	f := three()
	if err := New(f, hclog.NewNullLogger()).DownAll(); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(f.downs, []string{"eth0", "lo"}) {
		t.Errorf("took down %v", f.downs)
	}
}

func TestARefusalIsAnErrorThatNamesTheInterface(t *testing.T) {
	f := newFake(up(eth0))
	f.refuses = errors.New("operation not permitted")
	err := New(f, hclog.NewNullLogger()).DownAll()
	if err == nil || err.Error() != "take network interface eth0 down: operation not permitted" {
		t.Errorf("got %v", err)
	}
}

func TestWhatComesUpGoesDownAlsoAfterLostMessages(t *testing.T) {
	guarded(t, three, func(t *testing.T, f *fake, g *Guard) {
		f.want(t)
		f.set(up(eth0))
		f.want(t)
		f.set(up(lo))
		f.want(t)
		f.mu.Lock()
		f.list[eth1.Index] = up(eth1) // the message is lost
		f.mu.Unlock()
		f.lost <- struct{}{}
		time.Sleep(breath)
		f.want(t)
	})
}

func TestWhatCannotBeTakenDownIsTriedUntilItIs(t *testing.T) {
	guarded(t, three, func(t *testing.T, f *fake, g *Guard) {
		refuse := func(err error) { f.mu.Lock(); defer f.mu.Unlock(); f.refuses = err }
		refuse(errors.New("busy"))
		f.set(up(eth0))
		time.Sleep(10 * retry)
		f.want(t, "eth0")
		refuse(nil)
		time.Sleep(retry)
		f.want(t)

		if _, err := g.Allow("eth0", time.Minute, "a test"); err != nil {
			t.Fatal(err)
		}
		refuse(errors.New("busy"))
		time.Sleep(2 * time.Minute)
		f.want(t, "eth0")
		if len(g.Consents()) != 0 {
			t.Errorf("consents: %v", g.Consents())
		}
		refuse(nil)
		time.Sleep(retry)
		f.want(t)
	})
}

func TestAWatchThatIsRefusedIsTriedAgain(t *testing.T) {
	refused := func() *fake { f := three(); f.refuseTo = errors.New("no memory"); return f }
	guarded(t, refused, func(t *testing.T, f *fake, g *Guard) {
		f.want(t, "eth0", "lo")
		if _, err := g.Allow("eth0", time.Minute, "a test"); !errors.Is(err, ErrNoWatch) {
			t.Errorf("got %v", err)
		}
		f.mu.Lock()
		f.refuseTo = nil
		f.mu.Unlock()
		time.Sleep(retry)
		f.want(t)
	})
}
