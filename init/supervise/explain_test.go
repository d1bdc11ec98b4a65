package supervise

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"runa/init/lifecycle"
	"runa/init/manifest"
)

// told compares the three sentences about a service.
func (s *scene) told(name, what, why, done string) {
	s.Helper()
	synctest.Wait()
	e, err := s.Explain(name)
	if err != nil {
		s.Fatal(err)
	}
	for _, c := range []struct{ which, got, want string }{{"what", e.What, what}, {"why", e.Why, why}, {"done", e.Done, done}} {
		if c.got != c.want {
			s.Errorf("%s:\ngot  %s\nwant %s", c.which, c.got, c.want)
		}
	}
}

func TestAPersonIsToldWhatHappenedWhyAndWhatWasDone(t *testing.T) {
	play(t, nil, []manifest.Service{declare("a", ladder(manifest.RungRestart, manifest.RungBackoff, manifest.RungGiveUp))}, func(s *scene) {
		s.up("a")
		s.told("a", "a has been ready since 00:00:00 and has not failed.", "It is wanted, and everything it needs is ready.", "Nothing has to be done.")
		time.Sleep(5 * time.Second)
		s.endAs("a", lifecycle.ClassSignal, "killed by signal 9 (SIGKILL) after 5.0 s")
		synctest.Wait()
		s.ready("a")
		const why = "A signal that gilgul did not send ended its program: it crashed, or something killed it."
		s.told("a", "a failed at 00:00:05: killed by signal 9 (SIGKILL) after 5.0 s.", why, "It was started again at once, then it got ready at 00:00:05.")
		for range 3 {
			s.endAs("a", lifecycle.ClassSignal, "killed by signal 9 (SIGKILL) after 0 ms")
			synctest.Wait()
			time.Sleep(4 * time.Second)
			synctest.Wait()
			s.ready("a")
			synctest.Wait()
		}
		s.endAs("a", lifecycle.ClassSignal, "killed by signal 9 (SIGKILL) after 0 ms")
		s.told("a", "a failed 5 times since 00:00:05, the last time at 00:00:17: killed by signal 9 (SIGKILL) after 0 ms.", why,
			"It was started again at once, then it was given a pause before the next start (3 times), then gilgul gave up, then nothing more: everything else goes on, `runa logs a` shows what it said last and `runa start a` tries again.")
		if e, _ := s.Explain("a"); len(e.Events) == 0 || e.Events[len(e.Events)-1].State != "failed" || e.State != "failed" {
			s.Errorf("%+v", e.Events)
		}
	})
}

func TestAPersonIsToldWhatAServiceWaitsForAndThatItIsStopped(t *testing.T) {
	play(t, nil, []manifest.Service{declare("a"), declare("b", needs("a"))}, func(s *scene) {
		s.told("b", "b has been waiting since 00:00:00 to be started.", "Waiting for a (starting).", "Nothing has to be done: it starts as soon as it can.")
		if err := s.Stop("b"); err != nil {
			s.Error(err)
		}
		s.told("b", "b has not been running since 00:00:00.", "Stopped on request.", "Nothing: `runa start b` starts it.")
		if _, err := s.Explain("ghost"); err == nil || !strings.Contains(err.Error(), "no such service") {
			s.Error(err)
		}
	})
}

func TestEveryStateAndEveryClassHasItsSentences(t *testing.T) {
	for _, class := range lifecycle.Classes() {
		if text := whyFailed[class]; !strings.HasSuffix(text, ".") {
			t.Errorf("%s: %q", class, text)
		}
	}
	for _, phase := range lifecycle.Phases() {
		one := &service{Service: declare("a"), state: lifecycle.State{Phase: phase, Reason: "because"}}
		what, why, done := teller{one, time.Now()}.calm()
		for _, text := range []string{what, why, done} {
			if len(text) < 8 || !strings.HasSuffix(text, ".") {
				t.Errorf("%v: %q", phase, text)
			}
		}
	}
}

func TestAnExplanationCanStillBeAskedForAfterTheEnd(t *testing.T) {
	play(t, nil, []manifest.Service{declare("a")}, func(s *scene) {
		s.up("a")
		if err := s.Shutdown(s.Context()); err != nil {
			s.Error(err)
		}
		s.told("a", "a has not been running since 00:00:00.", "Stopped on request.", "Nothing: `runa start a` starts it.")
	})
}
