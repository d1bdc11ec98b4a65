package lifecycle

import (
	"reflect"
	"testing"
	"time"
)

var rules = Rules{
	Policy: Always, Initial: time.Second, Max: 30 * time.Second, Stable: time.Minute,
	ReadyTimeout: 20 * time.Second, StopTimeout: 10 * time.Second,
	Ladder: Rungs(), Tries: 2, Data: true, Dependents: true,
}

// with is rules with changes.
func with(change ...func(*Rules)) Rules {
	r := rules
	for _, c := range change {
		c(&r)
	}
	return r
}

func probed(r *Rules) { r.Probe, r.ProbeEvery = true, 30*time.Second }

// run feeds events and returns the last state and its actions.
func run(r Rules, s State, events ...Event) (State, []Action) {
	var actions []Action
	for _, e := range events {
		s, actions = r.Step(s, e)
	}
	return s, actions
}

var (
	spawned = Event{Kind: Spawned}
	ready   = Event{Kind: BecameReady}
	needs   = Event{Kind: NeedsReady}
	crash   = Event{Kind: Exited, Class: ClassSignal, Reason: "killed"}
	corrupt = Event{Kind: Exited, Class: ClassCorruptState, Reason: "its state is corrupt"}
	stable  = Event{Kind: StableElapsed}
	elapsed = Event{Kind: BackoffElapsed}
)

// life is a service that gets ready and dies of e.
func life(e Event) []Event { return []Event{needs, spawned, ready, e} }

func TestWhatTheManifestSaysDecidesWhatAnEndMeans(t *testing.T) {
	starting, serving := State{Phase: Starting, Process: Running, Failures: 1, Position: RungRestart}, State{Phase: Ready, Process: Running}
	for _, c := range []struct {
		name  string
		rules func(*Rules)
		from  State
		ok    bool
		want  Phase
	}{
		{"always restarts after success", func(r *Rules) {}, serving, true, Waiting},
		{"on-failure is done after success", func(r *Rules) { r.Policy = OnFailure }, serving, true, Done},
		{"on-failure restarts after failure", func(r *Rules) { r.Policy = OnFailure }, serving, false, Waiting},
		{"on-failure: success before ready is a failure", func(r *Rules) { r.Policy = OnFailure }, starting, true, Backoff},
		{"never is done after success", func(r *Rules) { r.Policy = Never }, serving, true, Done},
		{"never fails after failure", func(r *Rules) { r.Policy = Never }, serving, false, Failed},
		{"oneshot is done after success", func(r *Rules) { r.Oneshot = true }, starting, true, Done},
		{"oneshot repeats after failure", func(r *Rules) { r.Oneshot = true }, starting, false, Backoff},
	} {
		if got, _ := with(c.rules).Step(c.from, Event{Kind: Exited, OK: c.ok}); got.Phase != c.want {
			t.Errorf("%s: %v", c.name, got.Phase)
		}
	}
}

func TestReadyAtOnceIsReadyWhenSpawnedUnlessItIsAOneshot(t *testing.T) {
	r := with(func(r *Rules) { r.ReadyAtOnce = true })
	spawning := State{Phase: Starting, Process: Spawning}
	if got, _ := r.Step(spawning, spawned); got.Phase != Ready {
		t.Errorf("%v", got.Phase)
	}
	r.Oneshot = true
	got, _ := r.Step(spawning, spawned)
	if got.Phase != Starting || r.Serves(got) {
		t.Errorf("%v", got.Phase)
	}
	got, _ = r.Step(got, Event{Kind: Exited, OK: true})
	if !r.Serves(got) {
		t.Errorf("a oneshot that ended well does not serve: %v", got.Phase)
	}
}

func TestTheBackoffDoublesUpToItsBound(t *testing.T) {
	var got []time.Duration
	for n := 1; n <= 7; n++ {
		got = append(got, rules.Delay(n))
	}
	s := time.Second
	want := []time.Duration{1 * s, 2 * s, 4 * s, 8 * s, 16 * s, 30 * s, 30 * s}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	if d := rules.Delay(1 << 40); d != rules.Max {
		t.Fatalf("after very many failures %v", d)
	}
}

// climbed plays failures until the ladder is at its end and returns the rungs.
func climbed(r Rules, failure Event, answers bool) []Rung {
	var rungs []Rung
	s := State{Phase: Waiting}
	for len(rungs) < 12 && s.Phase != Failed {
		s, _ = run(r, s, needs, spawned, failure)
		for s.Work != Idle || s.Phase == Backoff {
			rungs = append(rungs, s.Rung)
			switch s.Work {
			case SettingAside:
				s, _ = r.Step(s, Event{Kind: SetAsideDone, OK: answers})
			case GivingBack:
				rungs[len(rungs)-1] = "give-back"
				s, _ = r.Step(s, Event{Kind: GiveBackDone, OK: answers})
			case RollingBack:
				s, _ = r.Step(s, Event{Kind: RollBackDone, OK: answers})
			default:
				s, _ = r.Step(s, elapsed)
			}
			if s.Phase == Waiting || s.Phase == Failed {
				break
			}
		}
		if last := len(rungs) - 1; last < 0 || s.Rung != rungs[last] {
			rungs = append(rungs, s.Rung)
		}
	}
	return rungs
}

func TestTheLadderIsClimbedRungByRung(t *testing.T) {
	for _, c := range []struct {
		name    string
		rules   Rules
		failure Event
		answers bool
		want    []Rung
	}{
		{"all of it", rules, crash, true, []Rung{"restart", "backoff", "backoff", "set-aside", "give-back", "dependents", "roll-back", "give-up"}},
		{"nothing works", rules, crash, false, []Rung{"restart", "backoff", "backoff", "set-aside", "dependents", "roll-back", "give-up"}},
		{"corrupt state", rules, corrupt, true, []Rung{"set-aside", "give-back", "restart", "backoff", "backoff", "dependents", "roll-back", "give-up"}},
		{"no state, nobody needs it", with(func(r *Rules) { r.Data, r.Dependents = false, false }), corrupt, false, []Rung{"restart", "backoff", "backoff", "roll-back", "give-up"}},
		{"a short ladder", with(func(r *Rules) { r.Ladder = []Rung{RungRestart, RungGiveUp} }), crash, true, []Rung{"restart", "give-up"}},
		{"give up only", with(func(r *Rules) { r.Ladder = []Rung{RungGiveUp} }), crash, true, []Rung{"give-up"}},
		{"a policy that never restarts", with(func(r *Rules) { r.Policy = Never }), crash, true, []Rung{""}},
	} {
		if got := climbed(c.rules, c.failure, c.answers); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s:\ngot  %q\nwant %q", c.name, got, c.want)
		}
	}
}

func TestALadderWithoutGivingUpTriesForEver(t *testing.T) {
	r := with(func(r *Rules) { r.Ladder = []Rung{RungRestart, RungBackoff} })
	s := State{Phase: Waiting}
	var last Action
	for range 50 {
		var actions []Action
		s, actions = run(r, s, needs, spawned, crash)
		if s.Phase == Backoff {
			last = actions[len(actions)-1]
			s, _ = r.Step(s, elapsed)
		}
	}
	if s.Phase != Waiting || last != (Arm{BackoffTimer, r.Max}) {
		t.Errorf("%+v, %+v", s, last)
	}
}

func TestBeingStableForgetsTheFailures(t *testing.T) {
	s, _ := run(rules, State{Phase: Waiting}, append(life(crash), needs, spawned, ready)...)
	if s.Failures != 1 || s.Rung != RungRestart || s.Class != ClassSignal {
		t.Errorf("before: %+v", s)
	}
	s, _ = rules.Step(s, stable)
	if want := (State{Phase: Ready, Process: Running, Restarts: 1}); s != want {
		t.Errorf("got %+v, want %+v", s, want)
	}
}

func TestACorruptStateIsSetAsideAtOnceAndStaysThereWhenThatHelped(t *testing.T) {
	s, actions := run(rules, State{Phase: Waiting}, needs, spawned, corrupt)
	if s.Work != SettingAside || actions[len(actions)-1] != (SetAside{}) {
		t.Fatalf("%+v %+v", s, actions)
	}
	s, actions = run(rules, s, Event{Kind: SetAsideDone, OK: true}, needs, spawned, ready)
	if s.Aside || s.Failures != 0 || actions[len(actions)-1] != (Keep{}) {
		t.Fatalf("ready did not prove it: %+v %+v", s, actions)
	}
	s, _ = run(rules, s, crash) // something else: not the state's fault
	if s.Phase != Waiting || s.Rung != RungRestart {
		t.Errorf("after another failure: %+v", s)
	}
	s, _ = run(rules, s, needs, spawned, corrupt)
	if s.Work != Idle || s.Rung == RungSetAside {
		t.Errorf("set aside twice in a row: %+v", s)
	}
}

func TestAStateThatWasNotTheCauseIsGivenBackBeforeTheNextRung(t *testing.T) {
	s, _ := run(rules, State{Phase: Waiting}, needs, spawned, corrupt, Event{Kind: SetAsideDone, OK: true}, needs, spawned)
	s, actions := rules.Step(s, crash)
	if s.Work != GivingBack || actions[len(actions)-1] != (GiveBack{}) {
		t.Fatalf("%+v %+v", s, actions)
	}
	if got, actions := rules.Step(s, needs); got != s || actions != nil {
		t.Errorf("it goes on while the state is moved: %+v", got)
	}
	s, actions = rules.Step(s, Event{Kind: GiveBackDone, OK: true})
	if s.Aside || s.Phase != Waiting || s.Rung != RungRestart {
		t.Errorf("%+v %+v", s, actions)
	}
}

func TestNoProcessIsMadeWhileTheStateIsMoved(t *testing.T) {
	s, _ := run(rules, State{Phase: Waiting}, needs, spawned, corrupt, Event{Kind: StopRequested}, Event{Kind: StartRequested})
	if s.Phase != Waiting || s.Work != SettingAside {
		t.Fatalf("%+v", s)
	}
	if got, actions := rules.Step(s, needs); got != s || len(actions) > 0 {
		t.Fatalf("%+v %+v", got, actions)
	}
	s, actions := run(rules, s, Event{Kind: SetAsideDone, OK: true}, needs)
	if s.Phase != Starting || !s.Aside || actions[0] != (Spawn{}) {
		t.Errorf("%+v %+v", s, actions)
	}
}

func TestANewVersionIsKeptAfterItsProbationAndTakenBackAtAFailure(t *testing.T) {
	r := with(func(r *Rules) { r.Probation = time.Minute })
	serving := State{Phase: Ready, Process: Running}
	s, _ := run(r, serving, Event{Kind: UpdateRequested, Reason: "updated"}, Event{Kind: Exited}, needs, spawned)
	s, actions := r.Step(s, ready)
	if !s.Probation || actions[len(actions)-1] != (Arm{ProbationTimer, time.Minute}) {
		t.Fatalf("%+v %+v", s, actions)
	}
	passed, actions := r.Step(s, Event{Kind: ProbationElapsed})
	if passed.Probation || actions[0] != (Commit{}) {
		t.Errorf("%+v %+v", passed, actions)
	}
	s, actions = r.Step(s, crash)
	if s.Work != RollingBack || s.Class != ClassBadUpdate || actions[len(actions)-1] != (RollBack{}) {
		t.Fatalf("%+v %+v", s, actions)
	}
	back, _ := r.Step(s, Event{Kind: RollBackDone, OK: true, Reason: "rolled back"})
	if back.Probation || back.Phase != Waiting || back.Failures != 0 || back.Rung != RungRollBack {
		t.Errorf("%+v", back)
	}
	stuck, _ := r.Step(s, Event{Kind: RollBackDone, Reason: "no version"})
	if stuck.Phase != Waiting || stuck.Rung != RungRestart {
		t.Errorf("without a version before the ladder goes on: %+v", stuck)
	}
}

func TestAProbeDecidesWhetherAServiceThatSaysSoIsReady(t *testing.T) {
	r := with(probed)
	s, actions := run(r, State{Phase: Waiting}, needs, spawned, ready)
	if s.Phase != Starting || actions[0] != (Probe{}) {
		t.Fatalf("%+v %+v", s, actions)
	}
	if got, _ := r.Step(s, Event{Kind: ProbePassed}); got.Phase != Ready {
		t.Errorf("%+v", got)
	}
	failed := Event{Kind: ProbeFailed, Reason: "no answer"}
	s, actions = r.Step(s, failed)
	if s.Phase != Starting || actions[0] != (Arm{ProbeTimer, probeAgain}) {
		t.Fatalf("one failure is not enough: %+v %+v", s, actions)
	}
	s, actions = run(r, s, Event{Kind: ProbeDue}, failed)
	if s.Phase != Stopping || s.Class != ClassFalseReady || actions[0] != (Kill{}) {
		t.Errorf("%+v %+v", s, actions)
	}
}

func TestAServiceThatSaysNothingIsReadyWhenItsProbePasses(t *testing.T) {
	r := with(probed, func(r *Rules) { r.ReadyAtOnce = true })
	s, _ := run(r, State{Phase: Waiting}, needs, spawned)
	for range 10 {
		s, _ = run(r, s, Event{Kind: ProbeFailed}, Event{Kind: ProbeDue})
	}
	if s.Phase != Starting {
		t.Fatalf("%+v", s)
	}
	if s, _ = r.Step(s, Event{Kind: ProbePassed}); s.Phase != Ready {
		t.Errorf("%+v", s)
	}
}

func TestAComplaintHasTheServiceLookedAtAtOnce(t *testing.T) {
	r := with(probed)
	s, actions := r.Step(State{Phase: Ready, Process: Running}, Event{Kind: Complaint})
	if actions[0] != (Probe{}) {
		t.Fatalf("%+v", actions)
	}
	s, _ = run(r, s, Event{Kind: ProbeFailed, Reason: "silence"}, Event{Kind: ProbeDue}, Event{Kind: ProbeFailed, Reason: "silence"})
	if s.Phase != Stopping || s.Class != ClassComplaint {
		t.Errorf("%+v", s)
	}
}

func TestADefectIsEndedAtOnceAndCountedOnce(t *testing.T) {
	s, actions := rules.Step(State{Phase: Degraded, Process: Running}, Event{Kind: Defect, Class: ClassHang, Reason: "no heart-beat"})
	if s.Phase != Stopping || s.Next != Retry || actions[0] != (Kill{}) || actions[1] != (Failure{ClassHang, "no heart-beat"}) {
		t.Fatalf("%+v %+v", s, actions)
	}
	s, actions = rules.Step(s, crash)
	if s.Phase != Waiting || s.Failures != 1 || s.Class != ClassHang || len(actions) != 1 {
		t.Errorf("%+v %+v", s, actions)
	}
}

func TestAServiceWorksInPartUntilItSaysOtherwise(t *testing.T) {
	part := Event{Kind: BecameDegraded, Reason: "no model"}
	s, _ := run(rules, State{Phase: Waiting}, needs, spawned, part, ready)
	if s.Phase != Degraded || s.Reason != "no model" || !rules.Serves(s) {
		t.Fatalf("%+v", s)
	}
	s, _ = run(rules, s, Event{Kind: NeedLost, Reason: "bus is backoff"}, Event{Kind: NeedsReady})
	if s.Reason != "no model" {
		t.Errorf("%+v", s)
	}
	if s, _ = rules.Step(s, Event{Kind: Recovered}); s.Phase != Ready || s.Reason != "" {
		t.Errorf("%+v", s)
	}
}

func TestThePolicyProgramIsAskedFirstAndCannotLoopWithoutPause(t *testing.T) {
	r := with(func(r *Rules) { r.AskPolicy = true })
	answer := func(s State, a Advice, after time.Duration) (State, []Action) {
		return r.Step(s, Event{Kind: PolicyAnswered, Advice: a, After: after})
	}
	s, actions := run(r, State{Phase: Waiting}, life(crash)...)
	if s.Work != AskingPolicy || actions[len(actions)-1] != (AskPolicy{}) {
		t.Fatalf("%+v %+v", s, actions)
	}
	if got, _ := answer(s, AdviceGiveUp, 0); got.Phase != Failed || got.Rung != RungGiveUp {
		t.Errorf("%+v", got)
	}
	if got, actions := answer(s, AdviceWait, time.Hour); got.Phase != Backoff || actions[0] != (Arm{BackoffTimer, time.Hour}) {
		t.Errorf("%+v %+v", got, actions)
	}
	if got, _ := answer(s, AdviceLadder, 0); got.Phase != Waiting || got.Rung != RungRestart {
		t.Errorf("%+v", got)
	}
	for range 3 {
		if s, _ = answer(s, AdviceRestart, 0); s.Phase != Waiting {
			t.Fatalf("%+v", s)
		}
		s, _ = run(r, s, life(crash)...)
	}
	if s, _ = answer(s, AdviceRestart, 0); s.Phase != Backoff {
		t.Errorf("the fourth start in a row is not paused: %+v", s)
	}
}

func TestSnapshotsAreOfServicesThatAreWell(t *testing.T) {
	r := with(func(r *Rules) { r.Snapshot = time.Hour })
	if _, actions := r.Step(State{Phase: Ready, Process: Running}, stable); actions[0] != (Snapshot{}) || actions[1] != (Arm{SnapshotTimer, time.Hour}) {
		t.Errorf("%+v", actions)
	}
	for name, s := range map[string]State{"degraded": {Phase: Degraded, Process: Running}, "doubtful": {Phase: Ready, Process: Running, Doubts: 1}} {
		if _, actions := r.Step(s, Event{Kind: SnapshotDue}); len(actions) != 1 || actions[0] != (Arm{SnapshotTimer, time.Hour}) {
			t.Errorf("%s: %+v", name, actions)
		}
	}
}

func TestACycleStartsAOneshotAgain(t *testing.T) {
	r := with(func(r *Rules) { r.Oneshot, r.Cycle, r.Policy = true, time.Hour, OnFailure })
	ok := Event{Kind: Exited, OK: true, Reason: "exited with status 0"}
	s, actions := run(r, State{Phase: Waiting}, needs)
	if actions[1] != (Arm{CycleTimer, time.Hour}) {
		t.Fatalf("%+v", actions)
	}
	if got, _ := run(r, s, spawned, ok, Event{Kind: CycleElapsed}); got.Phase != Waiting {
		t.Errorf("after it is done: %+v", got)
	}
	if got, _ := run(r, s, spawned, Event{Kind: CycleElapsed}, ok); got.Phase != Waiting {
		t.Errorf("when it took too long: %+v", got)
	}
	if got, actions := run(r, s, spawned, ok, Event{Kind: StopRequested}, Event{Kind: CycleElapsed}); got.Phase != Defined || len(actions) > 0 {
		t.Errorf("after a person stopped it: %+v", got)
	}
}
