package supervise

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"runa/init/lifecycle"
	"runa/init/manifest"
	"runa/init/snapshot"
	"runa/init/version"
)

// told waits for the one answer of an asynchronous call.
func told[T any](t *testing.T, call func(done func(T, error))) (T, error) {
	t.Helper()
	type answer struct {
		value T
		err   error
	}
	answers := make(chan answer, 2)
	call(func(value T, err error) { answers <- answer{value, err} })
	select {
	case a := <-answers:
		return a.value, a.err
	case <-time.After(soon):
		t.Fatal("no answer")
		panic("unreachable")
	}
}

func toldError(t *testing.T, call func(done func(error))) error {
	t.Helper()
	_, err := told(t, func(done func(nothing, error)) { call(func(err error) { done(nothing{}, err) }) })
	return err
}

func TestAnAnswerComesOnceEvenFromAPanic(t *testing.T) {
	h := &Host{}
	_, err := told(t, func(done func(int, error)) {
		answer(h, "something", time.Minute, func(context.Context) (int, error) { panic("a defect") }, done)
	})
	if err == nil || !strings.Contains(err.Error(), "a defect") {
		t.Errorf("%v", err)
	}
	if err := h.Settle(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestWithoutDataTheLadderIsToldSo(t *testing.T) {
	h := &Host{}
	s := manifest.Defaults("a")
	if _, err := told(t, func(done func(Aside, error)) { h.SetAside(s, done) }); !errors.Is(err, errNoSnapshots) {
		t.Error(err)
	}
	if err := toldError(t, func(done func(error)) { h.Snapshot(s, done) }); !errors.Is(err, errNoSnapshots) {
		t.Error(err)
	}
	if err := toldError(t, func(done func(error)) { h.GiveBack(s, Aside{}, done) }); !errors.Is(err, errNoSnapshots) {
		t.Error(err)
	}
	if _, err := told(t, func(done func(string, error)) { h.RollBack(s, done) }); !errors.Is(err, version.ErrNoEarlier) {
		t.Error(err)
	}
	if _, err := told(t, func(done func(string, error)) { h.Install(s, "/bin/true", done) }); !errors.Is(err, errNoVersions) {
		t.Error(err)
	}
	if name, probation := h.Version("a"); name != "" || probation {
		t.Errorf("%q, %v", name, probation)
	}
}

// withState gives a host its stores on a data folder.
func withState(t *testing.T, h *Host) {
	t.Helper()
	root := filepath.Join(h.DataRoot, "gilgul")
	h.SetState(snapshot.Open(filepath.Join(root, "snapshots")), version.Open(filepath.Join(root, "versions")))
}

func TestAStateIsCopiedSetAsideAndGivenBack(t *testing.T) {
	h := newHost(t)
	withState(t, h)
	s := manifest.Defaults("a")
	s.Data = true
	if err := os.Mkdir(h.folder("a"), 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(h.folder("a"), "state")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	holds := func(want string) {
		t.Helper()
		if text, err := os.ReadFile(file); err != nil || string(text) != want {
			t.Errorf("its state is %q, %v; expected %q", text, err, want)
		}
	}
	write("good")
	if err := toldError(t, func(done func(error)) { h.Snapshot(s, done) }); err != nil {
		t.Fatal(err)
	}
	write("corrupt")
	aside, err := told(t, func(done func(Aside, error)) { h.SetAside(s, done) })
	if err != nil || aside.Restored.IsZero() {
		t.Fatalf("%+v, %v", aside, err)
	}
	holds("good")
	if err := toldError(t, func(done func(error)) { h.GiveBack(s, aside, done) }); err != nil {
		t.Fatal(err)
	}
	holds("corrupt")
}

func TestAnUpdateRunsUntilItIsRolledBack(t *testing.T) {
	h := newHost(t)
	withState(t, h)
	s := perform(t, h, map[string]string{"a": `
exec: PLAYER
args: [notify=READY=1]
ready: {by: notify, timeout: 30s}
probation: 1h
`})
	s.until("a", "ready")
	broken := filepath.Join(t.TempDir(), "broken")
	if err := os.WriteFile(broken, []byte("#!/nowhere/interpreter\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := s.Update("a", broken); err != nil {
		t.Fatal(err)
	}
	s.untilThat("the update failed", func(c Change) bool { return c.Class == string(lifecycle.ClassBadUpdate) })
	if c := s.until("a", "ready"); c.Version != "" {
		t.Errorf("%+v", c)
	}
}

func TestProgramsBesideAServiceAreBoundedAndTold(t *testing.T) {
	h := newHost(t)
	s := manifest.Defaults("a")
	s.Exec = built(t).player
	for _, c := range []struct {
		name  string
		args  []string
		bound time.Duration
		says  string
		fails string
	}{
		{"it answers", []string{"say=restart", "exit=0"}, soon, "restart\n", ""},
		{"it fails", []string{"say=first", "cry=no key", "exit=3"}, soon, "", "ended with status 3: no key"},
		{"it takes its time", []string{"say=wait"}, 50 * time.Millisecond, "", "no answer in time"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), c.bound)
			defer cancel()
			says, err := h.runBeside(ctx, s, s.Exec, c.args, nil)
			if says != c.says || c.fails == "" && err != nil || c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails)) {
				t.Errorf("%q, %v", says, err)
			}
		})
	}
}

func TestAPolicyProgramIsToldOfTheFailure(t *testing.T) {
	h := newHost(t)
	s := manifest.Defaults("a")
	s.Exec = built(t).player
	s.OnFailure.Policy, s.OnFailure.Timeout = built(t).player, soon
	s.Env = map[string]string{"PLAYER_STEPS": "say=wait ${RUNA_FAILURES}s,say=$RUNA_SERVICE $RUNA_CLASS $RUNA_RUNG,exit=0"}
	advice, err := told(t, func(done func(Advice, error)) {
		h.AskPolicy(s, Failure{Class: lifecycle.ClassHang, Failures: 3, Rung: manifest.RungBackoff}, done)
	})
	if want := (Advice{Action: lifecycle.AdviceWait, Wait: 3 * time.Second}); err != nil || advice != want {
		t.Errorf("%+v, %v", advice, err)
	}
}
