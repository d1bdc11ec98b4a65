package command

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"runa/services/splinter"
	"runa/services/supervised"
)

// newJanitor is a janitor at work at a time that the test sets.
func newJanitor(t *testing.T) (j *janitor, at *time.Time, said *bytes.Buffer) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	at, said = &now, new(bytes.Buffer)
	clock := func() time.Time { return *at }
	path := t.TempDir() + "/bus"
	made, err := splinter.Create(path, splinter.Options{Slots: 64})
	if err != nil {
		t.Fatal(err)
	}
	made.Close()
	bus, err := splinter.OpenWith(path, splinter.Options{Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { bus.Close() })
	return &janitor{bus: bus, interval: time.Second, now: clock, log: said}, at, said
}

func TestTheJanitorWakesForTheNextKeyThatExpires(t *testing.T) {
	j, at, said := newJanitor(t)
	if next := j.tidy(); next != time.Hour {
		t.Errorf("with no key that expires it wakes in %v", next)
	}
	for key, ttl := range map[string]time.Duration{"late": 30 * time.Minute, "soon": 5 * time.Second, "never": 0} {
		if err := j.bus.SetWith(key, []byte("x"), splinter.Meta{TTL: ttl}); err != nil {
			t.Fatal(err)
		}
	}
	if next := j.tidy(); next != 5*time.Second {
		t.Errorf("it wakes in %v, want 5s", next)
	}
	*at = at.Add(5 * time.Second)
	if next := j.tidy(); next != 30*time.Minute-5*time.Second {
		t.Errorf("then it wakes in %v, want 29m55s", next)
	}
	info, err := j.bus.Info()
	if err != nil || info.Keys != 2 || said.Len() > 0 {
		t.Errorf("%d keys take a slot, want 2; %v, said %q", info.Keys, err, said)
	}
}

func TestTheJanitorMakesRoomAndKeepsWhatIsToStay(t *testing.T) {
	j, _, _ := newJanitor(t)
	if err := j.bus.Set("persistent", []byte("x")); err != nil {
		t.Fatal(err)
	}
	for i := range 63 {
		if err := j.bus.SetWith("memory/"+strings.Repeat("x", i+1), []byte("x"), splinter.Meta{HalfLife: time.Minute}); err != nil {
			t.Fatal(err)
		}
	}
	j.tidy()
	keys, err := j.bus.List("")
	if err != nil || len(keys) > 48 || len(keys) < 40 {
		t.Errorf("%d of 64 keys are left, want room but not more: %v", len(keys), err)
	}
	if _, _, err := j.bus.Get("persistent"); err != nil {
		t.Error(err)
	}
}

func TestStatisticsAreSetAsJSON(t *testing.T) {
	j, _, _ := newJanitor(t)
	if err := j.publish(); err != nil {
		t.Fatal(err)
	}
	value, _, err := j.bus.Get(statisticsKey)
	if err != nil {
		t.Fatal(err)
	}
	var s splinter.Statistics
	if err := json.Unmarshal(value, &s); err != nil || len(s.Components) != 1 {
		t.Errorf("%v: %s", err, value)
	}
}

func TestWhatFailsIsSaidOnce(t *testing.T) {
	j, _, said := newJanitor(t)
	for range 3 {
		j.report(errors.New("no room"))
	}
	j.report(nil)
	if said.String() != "no room\n" {
		t.Errorf("said %q", said)
	}
}

// supervisedJanitor tells what it does on the pipe whose other end is returned.
func supervisedJanitor(t *testing.T) (j *janitor, told *bufio.Reader) {
	j, _, _ = newJanitor(t)
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Dup(int(write.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	write.Close()
	variables := map[string]string{"RUNA_SERVICE": "splinter", "RUNA_HEARTBEAT": "2ms", "RUNA_NOTIFY_FD": strconv.Itoa(fd)}
	if j.gilgul, err = supervised.FromEnvironment(func(name string) string { return variables[name] }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { read.Close() })
	return j, bufio.NewReader(read)
}

func TestHeartbeatsComeFromTheJanitorsLoop(t *testing.T) {
	j, _ := supervisedJanitor(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	ended := make(chan error)
	go func() { ended <- j.run(ctx) }()
	version := uint64(0)
	for range 5 {
		var err error
		if _, version, err = j.bus.Wait(ctx, supervised.HeartbeatKey("splinter"), version); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	before, _ := supervised.Heartbeat(j.bus, "splinter")
	if after, known := supervised.Heartbeat(j.bus, "splinter"); !known || after != before {
		t.Fatalf("%d, then %d without the loop", before, after)
	}
}

func TestAJobThatFailsIsToldAndSoIsThatItWorksAgain(t *testing.T) {
	j, told := supervisedJanitor(t)
	for _, step := range []struct {
		tidied, told error
		want         string
	}{
		{errors.New("the bus is damaged"), nil, "DEGRADED=the bus is damaged\n"},
		{nil, nil, "WELL=1\n"},
		{nil, errors.New("no room"), "DEGRADED=no room\n"},
		{errors.New("both"), errors.New("no room"), ""},
		{nil, nil, "WELL=1\n"},
		{nil, nil, ""},
	} {
		j.tidied, j.told = step.tidied, step.told
		j.tellState()
		if step.want == "" {
			continue
		}
		if line, err := told.ReadString('\n'); err != nil || line != step.want {
			t.Fatalf("told %q, %v, want %q", line, err, step.want)
		}
	}
}

func TestTheJanitorEndsWithItsContext(t *testing.T) {
	j, _, _ := newJanitor(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := j.run(ctx); err != nil {
		t.Error(err)
	}
}
