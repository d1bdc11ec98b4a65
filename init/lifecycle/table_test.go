package lifecycle

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write README.md and testdata/transitions.txt anew")

// everything are rules under which every event can mean something.
var everything = with(probed, func(r *Rules) {
	r.Probation, r.Snapshot = time.Minute, time.Hour
})

type situation struct {
	name  string
	rules Rules
	state State
}

// situations are one state of each sort the machine can be in.
func situations() []situation {
	running := func(p Phase, change ...func(*State)) State {
		s := State{Phase: p, Process: Running}
		for _, c := range change {
			c(&s)
		}
		return s
	}
	again := func(r *Rules) { r.Oneshot, r.Cycle, r.Probe = true, 24*time.Hour, false }
	asked := with(func(r *Rules) { r.AskPolicy = true })
	return []situation{
		{"defined", everything, State{}},
		{"waiting", everything, State{Phase: Waiting, Failures: 1}},
		{"waiting, blocked", everything, State{Phase: Waiting, Reason: "r", Blocked: true}},
		{"waiting, its state moved", everything, State{Phase: Waiting, Work: SettingAside}},
		{"starting, no process yet", everything, State{Phase: Starting, Process: Spawning}},
		{"starting", everything, running(Starting)},
		{"starting, without a probe", rules, running(Starting)},
		{"starting, ready by its probe", everything, running(Starting, func(s *State) { s.SaidReady, s.Probing = true, true })},
		{"starting, doubted", everything, running(Starting, func(s *State) { s.SaidReady, s.Probing, s.Doubts = true, true, 1 })},
		{"starting, on probation", everything, running(Starting, func(s *State) { s.Probation = true })},
		{"starting, a oneshot", with(again), running(Starting)},
		{"ready", everything, running(Ready)},
		{"ready, probed", everything, running(Ready, func(s *State) { s.Probing = true })},
		{"ready, doubted", everything, running(Ready, func(s *State) { s.Probing, s.Doubts = true, 1 })},
		{"ready, on probation", everything, running(Ready, func(s *State) { s.Probation = true })},
		{"ready, its state aside", rules, running(Ready, func(s *State) { s.Aside, s.AsideUsed, s.Position = true, true, RungSetAside })},
		{"ready, asking its policy", asked, running(Ready)},
		{"ready, after all tries", rules, running(Ready, func(s *State) { s.Position, s.Tries, s.Failures = RungBackoff, 2, 3 })},
		{"ready, after roll-back", rules, running(Ready, func(s *State) { s.Position = RungRollBack })},
		{"degraded", everything, running(Degraded, func(s *State) { s.Shortfall, s.Reason = "s", "s" })},
		{"stopping, no process yet", everything, State{Phase: Stopping, Process: Spawning, Reason: "r"}},
		{"stopping, then rest", everything, running(Stopping, func(s *State) { s.Reason = "r" })},
		{"stopping, then again", everything, running(Stopping, func(s *State) { s.Next, s.Reason = Again, "r" })},
		{"stopping, then the ladder", everything, running(Stopping, func(s *State) { s.Next, s.Reason = Retry, "r" })},
		{"backoff", everything, State{Phase: Backoff, Failures: 2, Restarts: 1, Reason: "r", Position: RungBackoff, Tries: 1}},
		{"backoff, asking its policy", asked, State{Phase: Backoff, Work: AskingPolicy, Failures: 1, Reason: "r"}},
		{"backoff, its state moved", everything, State{Phase: Backoff, Work: SettingAside, Class: ClassCorruptState, Failures: 1, Reason: "r", AsideUsed: true, Position: RungSetAside}},
		{"backoff, its state moved back", everything, State{Phase: Backoff, Work: GivingBack, Failures: 2, Reason: "r", AsideUsed: true, Aside: true, Position: RungSetAside}},
		{"backoff, rolling back", everything, State{Phase: Backoff, Work: RollingBack, Failures: 3, Reason: "r", Position: RungRollBack}},
		{"backoff, rolling back an update", everything, State{Phase: Backoff, Work: RollingBack, Failures: 1, Reason: "r", Probation: true}},
		{"failed", everything, State{Phase: Failed, Failures: 2, Reason: "r"}},
		{"failed, unkillable", with(again), State{Phase: Failed, Stuck: true, Reason: "r"}},
		{"done", with(again), State{Phase: Done, Reason: "r"}},
	}
}

// events are one event of each kind, answers with both outcomes.
func events() []Event {
	var all []Event
	for _, kind := range Kinds() {
		switch kind {
		case Exited, SetAsideDone, GiveBackDone, RollBackDone:
			all = append(all, Event{Kind: kind, OK: true, Reason: "why"}, Event{Kind: kind, Reason: "why"})
		case Defect:
			all = append(all, Event{Kind: kind, Class: ClassHang, Reason: "why"})
		case PolicyAnswered:
			for _, a := range []Advice{AdviceLadder, AdviceRestart, AdviceWait, AdviceGiveUp} {
				all = append(all, Event{Kind: kind, Advice: a, After: time.Minute})
			}
		default:
			all = append(all, Event{Kind: kind, Reason: "why"})
		}
	}
	return append(all, corrupt)
}

func eventName(e Event) string {
	switch {
	case e.Kind == Exited && e.Class == ClassCorruptState:
		return "exited, its state corrupt"
	case e.Kind == Exited && e.OK, e.Kind == SetAsideDone && e.OK, e.Kind == GiveBackDone && e.OK, e.Kind == RollBackDone && e.OK:
		return e.Kind.String() + ", well"
	case e.Kind == PolicyAnswered:
		return e.Kind.String() + ": " + string(e.Advice)
	}
	return e.Kind.String()
}

// TestEveryPairOfStateAndEvent compares what every event does in every sort of
// state with testdata/transitions.txt. A pair that is not in it changes nothing.
func TestEveryPairOfStateAndEvent(t *testing.T) {
	phases, kinds := map[Phase]bool{}, map[Kind]bool{}
	var lines []string
	for _, from := range situations() {
		phases[from.state.Phase] = true
		lines = append(lines, "", from.name+":")
		for _, e := range events() {
			next, actions := from.rules.Step(from.state, e)
			if next == from.state && len(actions) == 0 {
				continue
			}
			kinds[e.Kind] = true
			lines = append(lines, fmt.Sprintf("  %-28s %s", eventName(e), show(from.state, next, actions)))
		}
	}
	compare(t, "testdata/transitions.txt", strings.Join(lines[1:], "\n")+"\n")
	for _, p := range Phases() {
		if !phases[p] {
			t.Errorf("phase %v is not tried", p)
		}
	}
	for _, k := range Kinds() {
		if !kinds[k] {
			t.Errorf("%q never means anything", k)
		}
	}
}

func compare(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) == got {
		return
	}
	wantLines, gotLines := strings.Split(string(want), "\n"), strings.Split(got, "\n")
	for i, line := range gotLines {
		if i >= len(wantLines) || wantLines[i] != line {
			t.Fatalf("%s differs in line %d (write it anew with go test -update, and read what changed):\ngot  %s\nwant %s", file, i+1, line, wantLines[min(i, len(wantLines)-1)])
		}
	}
	t.Fatalf("%s has %d lines more", file, len(wantLines)-len(gotLines))
}

// show tells what is different in a state, and what is done.
func show(before, s State, actions []Action) string {
	words := []string{s.Phase.String()}
	add := func(changed bool, format string, args ...any) {
		if changed {
			words = append(words, fmt.Sprintf(format, args...))
		}
	}
	add(s.Process != before.Process, "%s", [...]string{"process gone", "process asked for", "process lives"}[s.Process])
	add(s.Phase == Stopping && s.Next != before.Next, "%s", [...]string{"then rest", "then again", "then the ladder"}[s.Next])
	add(s.Work != Idle, "waits for %v", s.Work)
	add(s.Rung != before.Rung, "rung %q", s.Rung)
	add(s.Failures != before.Failures, "failures %d", s.Failures)
	add(s.Restarts != before.Restarts, "restarts %d", s.Restarts)
	add(s.Tries != before.Tries, "tries %d", s.Tries)
	for _, flag := range []struct {
		name        string
		before, now bool
	}{
		{"blocked", before.Blocked, s.Blocked},
		{"stuck", before.Stuck, s.Stuck},
		{"aside", before.Aside, s.Aside},
		{"probing", before.Probing, s.Probing},
		{"accused", before.Accused, s.Accused},
		{"probation", before.Probation, s.Probation},
		{"due", before.Due, s.Due},
	} {
		add(flag.before != flag.now, "%s %v", flag.name, flag.now)
	}
	add(s.Doubts != before.Doubts, "doubts %d", s.Doubts)
	add(s.Reason != before.Reason, "because %q", s.Reason)
	text := strings.Join(words, ", ")
	for _, a := range actions {
		text += "; " + actionText(a)
	}
	return text
}

func actionText(a Action) string {
	switch a := a.(type) {
	case Arm:
		return fmt.Sprintf("arm %v %v", a.Timer, a.After)
	case Disarm:
		return fmt.Sprintf("disarm %v", a.Timer)
	case Failure:
		return fmt.Sprintf("failure %s", a.Class)
	}
	return strings.ToLower(strings.TrimPrefix(fmt.Sprintf("%T", a), "lifecycle."))
}

// TestTheDiagramInTheReadmeIsWhatTheCodeDoes draws an arrow for every change of
// phase that any state can come to.
func TestTheDiagramInTheReadmeIsWhatTheCodeDoes(t *testing.T) {
	const file, begin, end = "README.md", "```mermaid\n", "```\n"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	_, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s has no place for the diagram", file)
	}
	compare(t, file, before+begin+diagram()+end+after)
}

func diagram() string {
	why := map[[2]Phase][]string{}
	for _, r := range []Rules{
		everything, rules, with(func(r *Rules) { r.Policy, r.AskPolicy = OnFailure, true }), with(func(r *Rules) { r.Policy = Never }),
		with(func(r *Rules) { r.Oneshot, r.Cycle, r.Policy = true, time.Hour, OnFailure }), with(func(r *Rules) { r.ReadyAtOnce = true }),
	} {
		r.Tries = 1
		explore(r, func(from State, e Event, to State) {
			arrow := [2]Phase{from.Phase, to.Phase}
			if to.Phase != from.Phase && !slices.Contains(why[arrow], e.Kind.String()) {
				why[arrow] = append(why[arrow], e.Kind.String())
			}
		})
	}
	for _, words := range why {
		slices.Sort(words)
	}
	var b strings.Builder
	b.WriteString("stateDiagram-v2\n    [*] --> defined\n")
	for _, from := range Phases() {
		for _, to := range Phases() {
			if words := why[[2]Phase{from, to}]; len(words) > 0 {
				fmt.Fprintf(&b, "    %v --> %v: %s\n", from, to, strings.Join(words, ", "))
			}
		}
	}
	return b.String()
}

// explore visits every state that can be reached, up to what is only counted or
// told, and shows every step.
func explore(r Rules, see func(from State, e Event, to State)) {
	seen := map[State]bool{{}: true}
	for queue := []State{{}}; len(queue) > 0; queue = queue[1:] {
		for _, e := range events() {
			next, _ := r.Step(queue[0], e)
			see(queue[0], e, next)
			next.Reason, next.Shortfall, next.Restarts, next.Rung, next.Accused = "", next.Shortfall[:min(1, len(next.Shortfall))], 0, "", false
			if next.Class != ClassCorruptState {
				next.Class = ""
			}
			next.Failures, next.Tries = min(next.Failures, 1), min(next.Tries, 1)
			if !seen[next] {
				seen[next] = true
				queue = append(queue, next)
			}
		}
	}
}
