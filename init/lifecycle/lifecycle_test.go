package lifecycle

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var rules = Rules{
	Policy: Always, Initial: time.Second, Max: 30 * time.Second, Stable: time.Minute,
	ReadyTimeout: 20 * time.Second, StopTimeout: 10 * time.Second,
}

// situations are one state of each sort the machine can be in.
var situations = map[string]State{
	"defined":           {},
	"waiting":           {Phase: Waiting, Failures: 1},
	"waiting blocked":   {Phase: Waiting, Reason: "r", Blocked: true},
	"starting spawning": {Phase: Starting, Process: Spawning, Failures: 1},
	"starting running":  {Phase: Starting, Process: Running, Failures: 1},
	"ready":             {Phase: Ready, Process: Running, Failures: 3, Reason: "r"},
	"stopping spawning": {Phase: Stopping, Process: Spawning, Next: Rest, Reason: "r"},
	"stopping rest":     {Phase: Stopping, Process: Running, Next: Rest, Reason: "r"},
	"stopping again":    {Phase: Stopping, Process: Running, Next: Again, Failures: 2, Reason: "r"},
	"stopping retry":    {Phase: Stopping, Process: Running, Next: Retry, Failures: 2, Reason: "r"},
	"backoff":           {Phase: Backoff, Failures: 2, Restarts: 1, Reason: "r"},
	"failed":            {Phase: Failed, Failures: 2, Reason: "r"},
	"done":              {Phase: Done, Reason: "r"},
}

// transitions are all pairs that change something; every other pair of a
// situation and an event must change nothing and do nothing.
var transitions = map[string]string{
	"defined + start requested":   `waiting absent f0 r0 "started on request"`,
	"defined + restart requested": `waiting absent f0 r0 "started on request"`,
	"defined + stop requested":    `defined absent f0 r0 "stopped on request"`,

	"waiting + needs ready":    `starting spawning f1 r0 "" spawn`,
	"waiting + need lost":      `waiting blocked absent f1 r0 "why"`,
	"waiting + stop requested": `defined absent f0 r0 "stopped on request"`,

	"waiting blocked + needs ready":    `starting spawning f0 r0 "what it waited for is there" spawn`,
	"waiting blocked + need lost":      `waiting blocked absent f0 r0 "why"`,
	"waiting blocked + stop requested": `defined absent f0 r0 "stopped on request"`,

	"starting spawning + spawned":           `starting running f1 r0 "" arm ready 20s`,
	"starting spawning + spawn failed":      `backoff absent f2 r0 "why" arm backoff 1s`,
	"starting spawning + ready timeout":     `stopping spawning retry f1 r0 "not ready after 20s" disarm ready, disarm stable`,
	"starting spawning + stop requested":    `stopping spawning f1 r0 "stopped on request" disarm ready, disarm stable`,
	"starting spawning + restart requested": `stopping spawning again f1 r0 "restarted on request" disarm ready, disarm stable`,

	"starting running + became ready":      `ready running f1 r0 "" disarm ready, arm stable 1m0s`,
	"starting running + ready timeout":     `stopping running retry f1 r0 "not ready after 20s" disarm ready, disarm stable, signal, arm stop 10s`,
	"starting running + stop requested":    `stopping running f1 r0 "stopped on request" disarm ready, disarm stable, signal, arm stop 10s`,
	"starting running + restart requested": `stopping running again f1 r0 "restarted on request" disarm ready, disarm stable, signal, arm stop 10s`,
	"starting running + exited":            `backoff absent f2 r0 "why, before it was ready" disarm ready, arm backoff 1s`,
	"starting running + unkillable":        `failed absent f1 r0 "why" disarm ready`,

	"ready + need lost":         `ready running f3 r0 "why"`,
	"ready + needs ready":       `ready running f3 r0 ""`,
	"ready + stable elapsed":    `ready running f0 r0 "r"`,
	"ready + stop requested":    `stopping running f3 r0 "stopped on request" disarm ready, disarm stable, signal, arm stop 10s`,
	"ready + restart requested": `stopping running again f3 r0 "restarted on request" disarm ready, disarm stable, signal, arm stop 10s`,
	"ready + exited":            `backoff absent f4 r0 "why" disarm stable, arm backoff 4s`,
	"ready + unkillable":        `failed absent f3 r0 "why" disarm stable`,

	"stopping spawning + spawned":           `stopping running f0 r0 "r" signal, arm stop 10s`,
	"stopping spawning + spawn failed":      `defined absent f0 r0 "r" disarm stop`,
	"stopping spawning + stop timeout":      `stopping spawning f0 r0 "r; killed: it did not end within 10s" kill`,
	"stopping spawning + start requested":   `stopping spawning again f0 r0 "r"`,
	"stopping spawning + restart requested": `stopping spawning again f0 r0 "r"`,

	"stopping rest + stop timeout":      `stopping running f0 r0 "r; killed: it did not end within 10s" kill`,
	"stopping rest + start requested":   `stopping running again f0 r0 "r"`,
	"stopping rest + restart requested": `stopping running again f0 r0 "r"`,
	"stopping rest + exited":            `defined absent f0 r0 "r" disarm stop`,
	"stopping rest + unkillable":        `failed absent f0 r0 "why" disarm stop`,

	"stopping again + stop timeout":   `stopping running again f2 r0 "r; killed: it did not end within 10s" kill`,
	"stopping again + stop requested": `stopping running f2 r0 "r"`,
	"stopping again + exited":         `waiting absent f0 r0 "restarted on request" disarm stop`,
	"stopping again + unkillable":     `failed absent f2 r0 "why" disarm stop`,

	"stopping retry + stop timeout":      `stopping running retry f2 r0 "r; killed: it did not end within 10s" kill`,
	"stopping retry + stop requested":    `stopping running f2 r0 "r"`,
	"stopping retry + start requested":   `stopping running again f2 r0 "r"`,
	"stopping retry + restart requested": `stopping running again f2 r0 "r"`,
	"stopping retry + exited":            `backoff absent f3 r0 "r" disarm stop, arm backoff 2s`,
	"stopping retry + unkillable":        `failed absent f2 r0 "why" disarm stop`,

	"backoff + back-off elapsed":  `waiting absent f2 r2 "r"`,
	"backoff + start requested":   `waiting absent f0 r0 "started on request" disarm backoff`,
	"backoff + restart requested": `waiting absent f0 r0 "started on request" disarm backoff`,
	"backoff + stop requested":    `defined absent f0 r1 "stopped on request" disarm backoff`,

	"failed + start requested":   `waiting absent f0 r0 "started on request"`,
	"failed + restart requested": `waiting absent f0 r0 "started on request"`,
	"failed + stop requested":    `defined absent f0 r0 "stopped on request"`,
	"done + start requested":     `waiting absent f0 r0 "started on request"`,
	"done + restart requested":   `waiting absent f0 r0 "started on request"`,
	"done + stop requested":      `defined absent f0 r0 "stopped on request"`,
}

func TestEveryPairOfStateAndEvent(t *testing.T) {
	seen := map[string]bool{}
	phases := map[Phase]bool{}
	for name, state := range situations {
		phases[state.Phase] = true
		for _, kind := range Kinds() {
			pair := name + " + " + kind.String()
			seen[pair] = true
			next, actions := rules.Step(state, Event{Kind: kind, Reason: "why"})
			want, changes := transitions[pair]
			if !changes {
				if next != state || len(actions) > 0 {
					t.Errorf("%s: changed to %s", pair, show(next, actions))
				}
				continue
			}
			if got := show(next, actions); got != want {
				t.Errorf("%s:\ngot  %s\nwant %s", pair, got, want)
			}
		}
	}
	for pair := range transitions {
		if !seen[pair] {
			t.Errorf("no such pair: %s", pair)
		}
	}
	if len(phases) != len(Phases()) {
		t.Errorf("only %d phases of %d are tried", len(phases), len(Phases()))
	}
}

var timerNames = map[Timer]string{ReadyTimer: "ready", StopTimer: "stop", BackoffTimer: "backoff", StableTimer: "stable"}

func show(s State, actions []Action) string {
	next := map[Next]string{Rest: "", Again: " again", Retry: " retry"}[s.Next]
	process := map[Process]string{Absent: "absent", Spawning: "spawning", Running: "running"}[s.Process]
	blocked := map[bool]string{true: " blocked"}[s.Blocked]
	var words []string
	for _, a := range actions {
		switch a := a.(type) {
		case Spawn:
			words = append(words, "spawn")
		case Signal:
			words = append(words, "signal")
		case Kill:
			words = append(words, "kill")
		case Arm:
			words = append(words, fmt.Sprintf("arm %s %v", timerNames[a.Timer], a.After))
		case Disarm:
			words = append(words, "disarm "+timerNames[a.Timer])
		}
	}
	text := fmt.Sprintf("%v%s %s%s f%d r%d %q %s", s.Phase, blocked, process, next, s.Failures, s.Restarts, s.Reason, strings.Join(words, ", "))
	return strings.TrimSpace(text)
}

func TestWhatTheManifestSaysDecidesWhatAnEndMeans(t *testing.T) {
	starting, ready := situations["starting running"], State{Phase: Ready, Process: Running}
	for _, c := range []struct {
		name  string
		rules func(*Rules)
		from  State
		ok    bool
		want  Phase
	}{
		{"always restarts after success", func(r *Rules) {}, ready, true, Waiting},
		{"on-failure is done after success", func(r *Rules) { r.Policy = OnFailure }, ready, true, Done},
		{"on-failure restarts after failure", func(r *Rules) { r.Policy = OnFailure }, ready, false, Waiting},
		{"on-failure: success before ready is a failure", func(r *Rules) { r.Policy = OnFailure }, starting, true, Backoff},
		{"never is done after success", func(r *Rules) { r.Policy = Never }, ready, true, Done},
		{"never fails after failure", func(r *Rules) { r.Policy = Never }, ready, false, Failed},
		{"oneshot is done after success", func(r *Rules) { r.Oneshot = true }, starting, true, Done},
		{"oneshot repeats after failure", func(r *Rules) { r.Oneshot = true }, starting, false, Backoff},
	} {
		r := rules
		c.rules(&r)
		if got, _ := r.Step(c.from, Event{Kind: Exited, OK: c.ok}); got.Phase != c.want {
			t.Errorf("%s: %v", c.name, got.Phase)
		}
	}
}

func TestReadyAtOnceIsReadyWhenSpawnedUnlessItIsAOneshot(t *testing.T) {
	r := rules
	r.ReadyAtOnce = true
	spawning := situations["starting spawning"]
	if got, _ := r.Step(spawning, Event{Kind: Spawned}); got.Phase != Ready {
		t.Errorf("%v", got.Phase)
	}
	r.Oneshot = true
	got, _ := r.Step(spawning, Event{Kind: Spawned})
	if got.Phase != Starting || r.Serves(got) {
		t.Errorf("%v", got.Phase)
	}
	got, _ = r.Step(got, Event{Kind: Exited, OK: true})
	if !r.Serves(got) {
		t.Errorf("a oneshot that ended well does not serve: %v", got.Phase)
	}
}

func TestFirstRestartIsAtOnceThenTheWaitDoublesUpToItsBound(t *testing.T) {
	var got []time.Duration
	for failures := 1; failures <= 8; failures++ {
		got = append(got, rules.Delay(failures))
	}
	s := time.Second
	want := []time.Duration{0, 1 * s, 2 * s, 4 * s, 8 * s, 16 * s, 30 * s, 30 * s}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	if d := rules.Delay(1 << 40); d != rules.Max {
		t.Fatalf("after very many failures %v", d)
	}
}

// TestNoSequenceOfEventsBreaksThePromises plays a world of one process and four
// timers against random events, also such that contradict that world.
func TestNoSequenceOfEventsBreaksThePromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := Rules{
			Policy:       rapid.SampledFrom([]Policy{Always, OnFailure, Never}).Draw(t, "policy"),
			Initial:      time.Duration(rapid.IntRange(1, 1000).Draw(t, "initial")) * time.Millisecond,
			Stable:       time.Minute,
			ReadyTimeout: time.Duration(rapid.IntRange(0, 1).Draw(t, "ready timeout")) * time.Second,
			StopTimeout:  time.Second,
			ReadyAtOnce:  rapid.Bool().Draw(t, "ready at once"),
			Oneshot:      rapid.Bool().Draw(t, "oneshot"),
		}
		r.Max = r.Initial * time.Duration(rapid.IntRange(1, 100).Draw(t, "max"))
		w := world{t: t, rules: r, armed: map[Timer]bool{}}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			w.feed(rapid.SampledFrom(Kinds()).Draw(t, "event"), rapid.Bool().Draw(t, "ok"))
		}
		w.endsWhenStopped()
	})
}

type world struct {
	t      *rapid.T
	rules  Rules
	state  State
	alive  Process
	armed  map[Timer]bool
	killed bool
}

// feed gives one event and carries out what follows, checking each action.
func (w *world) feed(kind Kind, ok bool) {
	switch {
	case kind == Spawned && w.alive == Spawning:
		w.alive = Running
	case kind == SpawnFailed && w.alive == Spawning, (kind == Exited || kind == Unkillable) && w.alive == Running:
		w.alive, w.killed = Absent, false
	}
	for timer := range w.armed {
		if timer.Elapsed() == kind {
			delete(w.armed, timer)
		}
	}
	before := w.state
	next, actions := w.rules.Step(w.state, Event{Kind: kind, OK: ok, Reason: "why"})
	w.state = next
	for _, a := range actions {
		switch a := a.(type) {
		case Spawn:
			if w.alive != Absent {
				w.t.Fatalf("%+v + %v: a second process", before, kind)
			}
			w.alive = Spawning
		case Signal:
			if w.alive != Running {
				w.t.Fatalf("%+v + %v: a signal for nobody", before, kind)
			}
		case Kill:
			w.killed = true
		case Arm:
			if a.Timer == BackoffTimer && (a.After < min(w.rules.Initial, w.rules.Max) || a.After > w.rules.Max) {
				w.t.Fatalf("%+v + %v: back-off of %v", before, kind, a.After)
			}
			if a.After <= 0 {
				w.t.Fatalf("%+v + %v: a timer of %v", before, kind, a.After)
			}
			w.armed[a.Timer] = true
		case Disarm:
			delete(w.armed, a.Timer)
		}
	}
	w.check(before, kind)
}

func (w *world) check(before State, kind Kind) {
	s := w.state
	running := s.Phase == Starting || s.Phase == Ready || s.Phase == Stopping
	switch {
	case s.Process != w.alive:
		w.t.Fatalf("%+v + %v: the machine believes %+v, the process is %v", before, kind, s, w.alive)
	case running != (s.Process != Absent), s.Blocked && s.Phase != Waiting:
		w.t.Fatalf("%+v + %v: %+v is impossible", before, kind, s)
	case s.Phase == Stopping && s.Process == Running && !w.armed[StopTimer] && !w.killed:
		w.t.Fatalf("%+v + %v: nothing will end the process", before, kind)
	case s.Phase == Backoff && !w.armed[BackoffTimer] && kind != BackoffElapsed:
		w.t.Fatalf("%+v + %v: nothing will end the back-off", before, kind)
	}
}

// endsWhenStopped asks the service to stop and lets the world react only as it
// must: the process ignores its signal, timers run out, a kill works.
func (w *world) endsWhenStopped() {
	w.feed(StopRequested, false)
	for range 4 {
		switch {
		case w.alive == Spawning:
			w.feed(Spawned, false)
		case w.alive == Running && w.killed:
			w.feed(Exited, false)
		case w.alive == Running && w.armed[StopTimer]:
			w.feed(StopTimeout, false)
		}
	}
	if w.state.Phase != Defined || w.alive != Absent {
		w.t.Fatalf("it did not end: %+v", w.state)
	}
}
