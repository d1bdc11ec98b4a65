package lifecycle

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// someRules draws what a manifest may say.
func someRules(t *rapid.T) Rules {
	r := Rules{
		Policy:       rapid.SampledFrom([]Policy{Always, OnFailure, Never}).Draw(t, "policy"),
		Initial:      time.Duration(rapid.IntRange(1, 1000).Draw(t, "initial")) * time.Millisecond,
		Stable:       time.Minute,
		ReadyTimeout: time.Duration(rapid.IntRange(0, 1).Draw(t, "ready timeout")) * time.Second,
		StopTimeout:  time.Second,
		ReadyAtOnce:  rapid.Bool().Draw(t, "ready at once"),
		Oneshot:      rapid.Bool().Draw(t, "oneshot"),
		Tries:        rapid.IntRange(0, 3).Draw(t, "tries"),
		AskPolicy:    rapid.Bool().Draw(t, "ask policy"),
		Data:         rapid.Bool().Draw(t, "data"),
		Dependents:   rapid.Bool().Draw(t, "dependents"),
		Probe:        rapid.Bool().Draw(t, "probe"),
		ProbeEvery:   time.Second,
		Probation:    time.Minute,
		Snapshot:     time.Duration(rapid.IntRange(0, 1).Draw(t, "snapshot")) * time.Hour,
	}
	r.Max = r.Initial * time.Duration(rapid.IntRange(1, 100).Draw(t, "max"))
	for _, rung := range Rungs() {
		if rapid.Bool().Draw(t, string(rung)) {
			r.Ladder = append(r.Ladder, rung)
		}
	}
	if r.Oneshot {
		r.Probe = false
		r.Cycle = time.Duration(rapid.IntRange(0, 1).Draw(t, "cycle")) * time.Hour
	}
	return r
}

func someEvent(t *rapid.T) Event {
	return Event{
		Kind:   rapid.SampledFrom(Kinds()).Draw(t, "event"),
		OK:     rapid.Bool().Draw(t, "ok"),
		Class:  rapid.SampledFrom(append(Classes(), "")).Draw(t, "class"),
		Advice: rapid.SampledFrom([]Advice{AdviceLadder, AdviceRestart, AdviceWait, AdviceGiveUp, "nonsense"}).Draw(t, "advice"),
		After:  time.Duration(rapid.IntRange(-1, 1).Draw(t, "after")) * time.Hour * 1000,
		Reason: "why",
	}
}

// TestNoSequenceOfEventsBreaksThePromises plays a world of one process, its
// timers and works against random events, also such that contradict that world.
func TestNoSequenceOfEventsBreaksThePromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, someRules(t))
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			w.feed(someEvent(t))
		}
		w.endsWhenStopped()
	})
}

// TestTheLadderAlwaysEnds lets a service fail in every way there is, from any
// state, until the machine gives up; a ladder that cannot give up keeps pausing.
func TestTheLadderAlwaysEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := someRules(t)
		w := newWorld(t, r)
		for range rapid.IntRange(0, 20).Draw(t, "steps") {
			w.feed(someEvent(t))
		}
		w.feed(Event{Kind: StartRequested})
		var paused time.Duration
		for step := 0; w.state.Phase != Failed; step++ {
			if step > 300 {
				if r.givesUp() || paused == 0 {
					t.Fatalf("it still goes on: %+v under %+v", w.state, r)
				}
				return
			}
			paused += w.goWrong()
		}
	})
}

// givesUp says whether the ladder ends by itself.
func (r Rules) givesUp() bool {
	for _, rung := range r.Ladder {
		if rung == RungGiveUp {
			return true
		}
	}
	return r.Policy == Never
}

// goWrong lets the next thing that must happen go wrong; it returns the pause
// that was waited for.
func (w *world) goWrong() time.Duration {
	switch class := rapid.SampledFrom(Classes()).Draw(w.t, "class"); {
	case w.state.Work == AskingPolicy:
		w.feed(Event{Kind: PolicyAnswered, Advice: rapid.SampledFrom([]Advice{AdviceLadder, ""}).Draw(w.t, "advice")})
	case w.state.Work != Idle:
		kind := map[Work]Kind{SettingAside: SetAsideDone, GivingBack: GiveBackDone, RollingBack: RollBackDone}[w.state.Work]
		w.feed(Event{Kind: kind, OK: rapid.Bool().Draw(w.t, "works"), Reason: "why"})
	case w.state.Phase == Waiting:
		w.feed(Event{Kind: NeedsReady})
	case w.state.Phase == Backoff:
		w.feed(Event{Kind: BackoffElapsed})
		return w.pause
	case w.alive == Spawning:
		w.feed(Event{Kind: rapid.SampledFrom([]Kind{Spawned, SpawnFailed}).Draw(w.t, "spawn"), Reason: "why"})
	case w.state.Phase == Stopping:
		w.feed(Event{Kind: rapid.SampledFrom([]Kind{Exited, StopTimeout}).Draw(w.t, "end"), Class: class, Reason: "why"})
	default:
		kind := rapid.SampledFrom([]Kind{Exited, Defect, BecameReady, ReadyTimeout, ProbeDue, ProbeFailed, ProbePassed, Complaint, BecameDegraded}).Draw(w.t, "wrong")
		w.feed(Event{Kind: kind, Class: class, Reason: "why"})
	}
	return 0
}

type world struct {
	t     *rapid.T
	rules Rules
	state State

	alive  Process
	armed  map[Timer]bool
	pause  time.Duration // of the back-off timer
	killed bool
	work   Work // asked for and not answered
	aside  bool // its state is not where it was
}

func newWorld(t *rapid.T, r Rules) *world { return &world{t: t, rules: r, armed: map[Timer]bool{}} }

// feed gives one event and carries out what follows, checking each action.
func (w *world) feed(e Event) {
	switch {
	case e.Kind == Spawned && w.alive == Spawning:
		w.alive = Running
	case e.Kind == SpawnFailed && w.alive == Spawning, (e.Kind == Exited || e.Kind == Unkillable) && w.alive == Running:
		w.alive, w.killed = Absent, false
	case w.work != Idle && e.Kind == map[Work]Kind{SettingAside: SetAsideDone, GivingBack: GiveBackDone, RollingBack: RollBackDone}[w.work]:
		w.aside = e.OK && w.work == SettingAside || w.aside && w.work == RollingBack
		w.work = Idle
	}
	for timer := range w.armed {
		if timer.Elapsed() == e.Kind {
			delete(w.armed, timer)
		}
	}
	before := w.state
	next, actions := w.rules.Step(w.state, e)
	w.state = next
	for _, a := range actions {
		w.carryOut(before, e, a)
	}
	w.check(before, e)
}

func (w *world) carryOut(before State, e Event, a Action) {
	wrong := func(what string) { w.t.Fatalf("%+v + %+v: %s (under %+v)", before, e, what, w.rules) }
	begin := func(work Work) {
		if w.alive != Absent || w.work != Idle {
			wrong("its state or version is changed while it runs, or twice at once")
		}
		w.work = work
	}
	switch a := a.(type) {
	case Spawn:
		if w.alive != Absent {
			wrong("a second process")
		}
		if w.work != Idle {
			wrong("a process while its state or version is changed")
		}
		w.alive = Spawning
	case Signal:
		if w.alive != Running {
			wrong("a signal for nobody")
		}
	case Kill:
		w.killed = true
	case Arm:
		if a.After <= 0 {
			wrong("a timer of nothing")
		}
		if a.Timer == BackoffTimer {
			w.pause = a.After
		}
		w.armed[a.Timer] = true
	case Disarm:
		delete(w.armed, a.Timer)
	case SetAside:
		if w.aside || !w.rules.Data {
			wrong("its state is set aside twice, or it has none")
		}
		begin(SettingAside)
	case GiveBack:
		if !w.aside {
			wrong("nothing can be given back")
		}
		begin(GivingBack)
	case Keep:
		if !w.aside {
			wrong("nothing can be kept")
		}
		w.aside = false
	case RollBack:
		begin(RollingBack)
	case Commit, Snapshot:
		if e.Kind != Exited && w.alive != Running {
			wrong("a version or state is called good that does not run")
		}
	}
}

func (w *world) check(before State, e Event) {
	s := w.state
	running := s.Phase == Starting || s.Phase.Serves() || s.Phase == Stopping
	wrong := func(what string) { w.t.Fatalf("%+v + %+v: %s: %+v (under %+v)", before, e, what, s, w.rules) }
	switch {
	case s.Process != w.alive:
		wrong("the machine does not know its process")
	case s.Aside != w.aside:
		wrong("the machine does not know where the state is")
	case s.Work != AskingPolicy && s.Work != w.work:
		wrong("the machine does not know what is done")
	case running != (s.Process != Absent), s.Blocked && s.Phase != Waiting, s.Work == AskingPolicy && s.Phase != Backoff:
		wrong("impossible")
	case s.Phase == Stopping && s.Process == Running && !w.armed[StopTimer] && !w.killed:
		wrong("nothing will end the process")
	case s.Phase == Backoff && s.Work == Idle && !w.armed[BackoffTimer]:
		wrong("nothing will end the back-off")
	case s.Phase == Starting && s.SaidReady && !s.Probing && !w.armed[ProbeTimer]:
		wrong("nothing will find out whether it is ready")
	case s.Phase.Serves() && w.rules.Probe && !s.Probing && !w.armed[ProbeTimer] && e.Kind != ProbeDue:
		wrong("it is never probed again")
	case s.Phase == Failed && before.Phase != Failed && s.Aside && !s.Stuck && w.rules.Policy != Never:
		wrong("gave up with a state that was taken away in vain")
	}
}

// endsWhenStopped asks the service to stop and lets the world react only as it
// must: the process ignores its signal, timers run out, a kill works.
func (w *world) endsWhenStopped() {
	w.feed(Event{Kind: StopRequested})
	for range 4 {
		switch {
		case w.alive == Spawning:
			w.feed(Event{Kind: Spawned})
		case w.alive == Running && w.killed:
			w.feed(Event{Kind: Exited})
		case w.alive == Running && w.armed[StopTimer]:
			w.feed(Event{Kind: StopTimeout})
		}
	}
	if w.state.Phase != Defined || w.alive != Absent {
		w.t.Fatalf("it did not end: %+v", w.state)
	}
}
