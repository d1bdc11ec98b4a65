package chaos

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"runa/services/splinter"
)

// fixture is a bus, a journal and the processes at work on them.
type fixture struct {
	t       *testing.T
	bus     *splinter.Bus
	journal *journal
	random  *rand.Rand
	env     []string
	seed    uint64
	spawned uint64
}

func setting(t *testing.T, name string, value uint64) uint64 {
	if text := os.Getenv(name); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("%s is %q: expected a number", name, text)
		}
		return n
	}
	return value
}

func newFixture(t *testing.T) *fixture {
	dir, err := os.MkdirTemp("/dev/shm", "splinter-chaos-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	f := &fixture{t: t, seed: setting(t, "RUNA_CHAOS_SEED", uint64(time.Now().UnixNano()))}
	t.Logf("RUNA_CHAOS_SEED=%d", f.seed)
	f.random = rand.New(rand.NewPCG(f.seed, 0))
	if f.bus, err = splinter.Create(filepath.Join(dir, "bus"), splinter.Options{Slots: 64, ValueLimit: 128 << 10, Heap: 16 << 20}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.bus.Close() })
	if f.journal, err = openJournal(filepath.Join(dir, "journal")); err != nil {
		t.Fatal(err)
	}
	f.env = append(os.Environ(), "RUNA_CHAOS_BUS="+f.bus.Path(), "RUNA_CHAOS_JOURNAL="+filepath.Join(dir, "journal"), "GOMAXPROCS=2")
	return f
}

// process is one worker; its standard error is kept.
type process struct {
	role string
	cmd  *exec.Cmd
	said bytes.Buffer
}

func (f *fixture) start(role string) *process {
	f.spawned++
	p := &process{role: role, cmd: exec.Command(os.Args[0])}
	p.cmd.Env = append(slices.Clone(f.env), "RUNA_CHAOS_ROLE="+role, fmt.Sprintf("RUNA_CHAOS_SEED=%d", f.seed+f.spawned))
	p.cmd.Stderr = &p.said
	if err := p.cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { // when the test has failed
		p.cmd.Process.Kill()
		p.cmd.Wait()
	})
	return p
}

// kill ends the process with SIGKILL; one that ended by itself has failed.
func (f *fixture) kill(p *process) {
	p.cmd.Process.Kill()
	p.cmd.Wait()
	if p.said.Len() > 0 {
		f.t.Errorf("%s said: %s", p.role, p.said.String())
	}
}

// watch counts what of each writer's messages the test's own subscription has
// seen; it is the subscriber that is never killed.
type watch struct {
	sync.Mutex
	seen    [writers]map[uint64]bool
	errors  []string
	ended   chan struct{}
	dropped func() splinter.Drops
}

func (f *fixture) watch(ctx context.Context) *watch {
	topic, err := f.bus.Topic(topicName, topicOptions)
	if err != nil {
		f.t.Fatal(err)
	}
	s, err := topic.Subscribe(splinter.SubscribeOptions{})
	if err != nil {
		f.t.Fatal(err)
	}
	w := &watch{ended: make(chan struct{}), dropped: s.Dropped}
	for i := range w.seen {
		w.seen[i] = map[uint64]bool{}
	}
	go func() {
		defer close(w.ended)
		for {
			m, err := s.Receive(ctx)
			if ctx.Err() != nil {
				return
			}
			var payload []byte
			if err == nil {
				err = m.Unmarshal(&payload)
			}
			var b body
			if err == nil {
				b, err = parse(payload)
			}
			w.Lock()
			if err != nil {
				w.errors = append(w.errors, err.Error())
			} else {
				w.seen[b.writer%writers][b.number] = true
			}
			w.Unlock()
			if err != nil && errors.Is(err, splinter.ErrClosed) {
				return
			}
			m.Release()
		}
	}()
	return w
}

func TestChaos(t *testing.T) {
	kills := setting(t, "RUNA_CHAOS_KILLS", 300)
	f := newFixture(t)
	if err := f.bus.Set(casKey, body{}.bytes(make([]byte, bodyLeast))); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w := f.watch(ctx)
	roles := make([]string, 0, writers+readers)
	for i := range writers {
		roles = append(roles, fmt.Sprintf("writer %d", i))
	}
	for i := range readers {
		roles = append(roles, fmt.Sprintf("reader %d", i))
	}
	processes := make([]*process, len(roles))
	for i, role := range roles {
		processes[i] = f.start(role)
	}
	var touches timings
	for n := range kills {
		time.Sleep(time.Duration(f.random.Int64N(int64(60 * time.Millisecond))))
		victim := f.random.IntN(len(processes))
		f.kill(processes[victim])
		touches.add(func() { f.touch(victim) })
		if victim < writers {
			f.compare(victim)
		}
		if t.Failed() {
			t.Fatalf("after %d kills", n+1)
		}
		processes[victim] = f.start(roles[victim])
	}
	for _, p := range processes {
		f.kill(p)
	}
	for i := range writers {
		f.compare(i)
	}
	f.compareSums()
	f.compareMessages(w)
	cancel()
	<-w.ended
	f.conclude(kills, touches)
}

// touch does what needs the locks that the victim may have held.
func (f *fixture) touch(victim int) {
	name := "chaos/touched"
	if err := f.bus.Set(name, make([]byte, 300)); err != nil && !errors.Is(err, splinter.ErrFull) {
		f.t.Errorf("set after a kill: %v", err)
	}
	if err := f.bus.Unset(name); err != nil && !errors.Is(err, splinter.ErrNotFound) {
		f.t.Errorf("unset after a kill: %v", err)
	}
	if _, err := f.bus.Add(addKey, 0); err != nil {
		f.t.Errorf("add after a kill: %v", err)
	}
	if victim < writers {
		if err := f.bus.Label(keyName(victim, 0), 1, 0); err != nil && !errors.Is(err, splinter.ErrNotFound) {
			f.t.Errorf("label after a kill: %v", err)
		}
	}
}

// compare holds the keys that the dead writer alone sets against its journal.
func (f *fixture) compare(w int) {
	for k := range keysEach {
		e := &f.journal.entries[w][k]
		intended, acknowledged := e.intended.Load(), e.acknowledged.Load()
		value, _, err := f.bus.Get(keyName(w, k))
		if errors.Is(err, splinter.ErrNotFound) {
			// Numbers between the two are ones that were refused for want of room.
			if acknowledged%unsetEach != 0 && (intended == acknowledged || intended%unsetEach != 0) {
				f.t.Errorf("%s: acknowledged number %d is lost (intended %d)", keyName(w, k), acknowledged, intended)
			}
			continue
		}
		b, parseErr := parse(value)
		switch {
		case err != nil || parseErr != nil:
			f.t.Errorf("%s: %v", keyName(w, k), errors.Join(err, parseErr))
		case b.writer != uint64(w) || b.number != acknowledged && b.number != intended:
			f.t.Errorf("%s: holds number %d of writer %d; acknowledged %d, intended %d", keyName(w, k), b.number, b.writer, acknowledged, intended)
		}
	}
}

// compareSums: each acknowledged addition and increment counts once, each that
// was cut off at most once.
func (f *fixture) compareSums() {
	value, _, err := f.bus.Get(addKey)
	if err != nil || len(value) != 8 {
		f.t.Errorf("%s: %d bytes, %v", addKey, len(value), err)
		return
	}
	raised, _, err := f.bus.Get(casKey)
	if err != nil {
		f.t.Error(err)
		return
	}
	last, err := parse(raised)
	if err != nil {
		f.t.Errorf("%s: %v", casKey, err)
	}
	for action, sum := range map[int]uint64{addAction: binary.LittleEndian.Uint64(value), casAction: last.number} {
		var least, most uint64
		for w := range writers {
			e := &f.journal.entries[w][action]
			most += e.intended.Load()
			least += e.succeeded.Load()
		}
		if sum < least || sum > most {
			f.t.Errorf("action %d: the sum is %d, %d were acknowledged and %d begun", action, sum, least, most)
		}
	}
}

// compareMessages: all that was acknowledged was seen, but for what is counted as dropped.
func (f *fixture) compareMessages(w *watch) {
	missing, published := 0, uint64(0)
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		missing, published = 0, 0
		w.Lock()
		for i := range writers {
			succeeded := f.journal.entries[i][publish].succeeded.Load()
			published += succeeded
			missing += max(0, int(succeeded)-len(w.seen[i]))
		}
		failed := w.errors
		w.Unlock()
		if len(failed) > 0 {
			f.t.Errorf("messages: %v", failed)
		}
		if missing <= int(w.dropped().Total()) || time.Now().After(deadline) {
			break
		}
	}
	if missing > int(w.dropped().Total()) {
		f.t.Errorf("%d acknowledged messages are lost, %v were dropped", missing, w.dropped())
	}
	f.t.Logf("%d messages acknowledged; dropped for the test, which was slower: %v", published, w.dropped())
}

// conclude looks for leaks and stuck keys when all the others are dead.
func (f *fixture) conclude(kills uint64, touches timings) {
	t := f.t
	if n := f.journal.torn.Load() + f.journal.misread.Load(); n > 0 {
		t.Errorf("readers met %d torn or outdated values", n)
	}
	begin := time.Now()
	repaired, err := f.bus.Repair()
	repair := time.Since(begin)
	if err != nil || !repaired.Clean() {
		t.Errorf("after Repair: %v %v", err, repaired.Problems)
	}
	keys, err := f.bus.List("")
	if err != nil {
		t.Error(err)
	}
	for _, key := range keys { // none is stuck
		if key != addKey {
			if err := f.bus.Set(key, []byte("x")); err != nil {
				t.Errorf("set %s at the end: %v", key, err)
			}
		}
		if err := f.bus.Unset(key); err != nil {
			t.Errorf("unset %s at the end: %v", key, err)
		}
	}
	report, err := f.bus.Check()
	if err != nil || !report.Clean() || report.Keys != 0 {
		t.Errorf("check at the end: %v, %d keys, %v", err, report.Keys, report.Problems)
	}
	// All that is left belongs to the topic, which keeps nothing once it was read.
	f.fill()
	info, err := f.bus.Info()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d kills: %d sets, %d values read and checked, %d locks taken over; Repair at the end %v", kills,
		info.Counters.Sets, f.journal.reads.Load(), info.Counters.Repairs, repair)
	t.Logf("first use after a kill with all others at work: %v", &touches)
}

// fill takes nearly the whole heap with values: nothing of it is lost.
func (f *fixture) fill() {
	report, err := f.bus.Check()
	if err != nil {
		f.t.Fatal(err)
	}
	free := report.HeapSize - report.HeapUsed
	if report.HeapUsed > report.HeapSize/4 {
		f.t.Errorf("with no key left %d of %d bytes are taken in %d blocks", report.HeapUsed, report.HeapSize, report.Blocks)
	}
	const length = 100 << 10 // takes 128 KiB
	for i := range min(int(free/(128<<10))-2, 60) {
		if err := f.bus.Set(fmt.Sprintf("fill/%d", i), make([]byte, length)); err != nil {
			f.t.Errorf("with %d bytes free, value %d of %d does not fit: %v", free, i, length, err)
			return
		}
	}
}

// TestRepairTime kills a writer that does but one thing and times the next who
// does the same: nothing else is at work, so this is what repair takes.
func TestRepairTime(t *testing.T) {
	f := newFixture(t)
	topic, err := f.bus.Topic(topicName, topicOptions)
	if err != nil {
		t.Fatal(err)
	}
	value := make([]byte, 64<<10)
	for kind, hammer := range hammers {
		var repaired, others timings
		for n := range 75 {
			f.killAtWork(fmt.Sprintf("hammer %d", kind))
			before, err := f.bus.Info()
			if err != nil {
				t.Fatal(err)
			}
			var took timings
			took.add(func() { err = hammer.do(f.bus, topic, value, n) })
			if err != nil {
				t.Fatalf("%s after a kill: %v", hammer.name, err)
			}
			after, err := f.bus.Info()
			if err != nil {
				t.Fatal(err)
			}
			if after.Counters.Repairs > before.Counters.Repairs {
				repaired.join(took)
			} else {
				others.join(took)
			}
		}
		if len(repaired.wall) == 0 {
			t.Errorf("%s: no kill met it holding a lock: nothing was tested", hammer.name)
		}
		t.Logf("%s after a kill within it: %v", hammer.name, &repaired)
		t.Logf("%s after a kill without a lock held: %v", hammer.name, &others)
	}
	if report, err := f.bus.Repair(); err != nil || !report.Clean() {
		t.Errorf("at the end: %v %v", err, report.Problems)
	}
}

// killAtWork starts a worker, waits until it is at work and kills it soon after.
func (f *fixture) killAtWork(role string) {
	p := &process{role: role, cmd: exec.Command(os.Args[0])}
	p.cmd.Env = append(slices.Clone(f.env), "RUNA_CHAOS_ROLE="+role, "RUNA_CHAOS_SEED=0")
	p.cmd.Stderr = &p.said
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		f.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 100)); err != nil {
		f.kill(p)
		f.t.Fatalf("%s: %v", role, err)
	}
	time.Sleep(time.Duration(f.random.Int64N(int64(2 * time.Millisecond))))
	f.kill(p)
}
