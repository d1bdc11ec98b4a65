package guardedbus

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"runa/init/contain"
	"runa/services/splinter"
	"runa/services/supervised"
)

func TestAStateIsOnTheBusOnceTheBusIsReady(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bus")
	theirs, err := splinter.Create(path, splinter.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	b := New(path, "splinter", hclog.NewNullLogger(), nil)
	if err := b.ForgetKey("service/x/ready"); !errors.Is(err, ErrNoBus) {
		t.Errorf("before there is a bus: %v", err)
	}
	heard := make(chan error, 1)
	go func() { heard <- b.WaitKey(t.Context(), "service/x/ready") }()
	b.Changed("splinter", State{State: "ready", PID: 7})
	defer b.Close()
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
	if err := b.ForgetKey("service/x/ready"); err != nil {
		t.Errorf("forget: %v", err)
	}
	if err := b.ForgetKey("service/x/ready"); err != nil {
		t.Errorf("forget what isn't there: %v", err)
	}
}

// opened returns gilgul's place on a bus that a service has made.
func opened(t *testing.T) (*Bus, *splinter.Bus) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bus")
	theirs, err := splinter.Create(path, splinter.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b := New(path, "splinter", hclog.NewNullLogger(), nil)
	b.Prepare("splinter")
	t.Cleanup(func() {
		b.Close()
		_ = contain.Call("close the bus", theirs.Close) // a test may have cut its file off
	})
	return b, theirs
}

func TestAHeartBeatOfAnEarlierLifeIsNoNews(t *testing.T) {
	b, theirs := opened(t)
	say := func(count string) {
		if err := theirs.Set(supervised.HeartbeatKey("x"), []byte(count)); err != nil {
			t.Fatal(err)
		}
	}
	if _, known := b.Heartbeat("x"); known {
		t.Error("known before it said anything")
	}
	say("1")
	if count, known := b.Heartbeat("x"); !known || count != 1 {
		t.Errorf("got %d, %v", count, known)
	}
	b.Forget("x")
	if _, known := b.Heartbeat("x"); known {
		t.Error("what the earlier life said counts for the new one")
	}
	say("2")
	if count, known := b.Heartbeat("x"); !known || count != 2 {
		t.Errorf("got %d, %v", count, known)
	}
	say("nonsense")
	if _, known := b.Heartbeat("x"); known {
		t.Error("nonsense counts as a heart-beat")
	}
}

func TestABusThatWorksPassesItsTestAndOneThatIsAwayDoesNot(t *testing.T) {
	b, _ := opened(t)
	if err := b.SelfTest(t.Context()); err != nil {
		t.Error(err)
	}
	away := New(filepath.Join(t.TempDir(), "none"), "splinter", hclog.NewNullLogger(), nil)
	if err := away.SelfTest(t.Context()); !errors.Is(err, ErrNoBus) {
		t.Errorf("got %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := away.Ping(ended, "x"); err == nil {
		t.Error("somebody answered without a bus")
	}
}

func TestABusWhoseFileIsCutOffIsAnErrorAndNotTheEnd(t *testing.T) {
	b, theirs := opened(t)
	if err := os.Truncate(theirs.Path(), 0); err != nil {
		t.Fatal(err)
	}
	if err := b.SelfTest(t.Context()); err == nil {
		t.Error("a bus without a file works")
	}
	if _, known := b.Heartbeat("x"); known {
		t.Error("it hears a heart-beat")
	}
	if err := os.Remove(theirs.Path()); err != nil {
		t.Fatal(err)
	}
	if _, err := splinter.Create(theirs.Path(), splinter.Options{}); err != nil {
		t.Fatal(err)
	}
	b.Prepare("splinter")
	if err := b.SelfTest(t.Context()); err != nil {
		t.Errorf("the bus that took its place: %v", err)
	}
}
