package supervise

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"runa/init/lifecycle"
	"runa/init/manifest"
)

func withData(s *manifest.Service) { s.Data = true }

func probed(s *manifest.Service) { s.Probe.By = manifest.ProbePing }

func ladder(rungs ...manifest.Rung) func(*manifest.Service) {
	return func(s *manifest.Service) { s.OnFailure.Ladder = rungs }
}

// up starts services and makes them ready, in the order given.
func (s *scene) up(names ...string) {
	s.DataReady(nil)
	for _, name := range names {
		synctest.Wait()
		s.ready(name)
	}
	synctest.Wait()
	s.page()
}

// at compares the state of the only service or of the one named.
func (s *scene) at(name, state string) {
	s.Helper()
	synctest.Wait()
	for _, one := range s.Status() {
		if one.Name == name && strings.TrimSpace(one.State+" "+one.Reason) != state {
			s.Errorf("got  %s %s\nwant %s", one.State, one.Reason, state)
		}
	}
}

func TestAKilledServiceIsStartedAgainInTheSameMoment(t *testing.T) {
	play(t, nil, []manifest.Service{declare("a")}, func(s *scene) {
		s.up("a")
		began := time.Now()
		s.endAs("a", lifecycle.ClassSignal, "killed by signal 9 (SIGKILL) after 1 ms")
		s.expect("spawn a", "a starting killed by signal 9 (SIGKILL) after 1 ms")
		if took := time.Since(began); took != 0 {
			s.Errorf("it waited %v", took)
		}
	})
}

func TestASickServiceIsKilledAtOnceAndCounted(t *testing.T) {
	play(t, nil, []manifest.Service{declare("a")}, func(s *scene) {
		s.up("a")
		s.says("a", Report{Event: lifecycle.Event{Kind: lifecycle.Defect, Class: lifecycle.ClassHang, Reason: "no heart-beat for 4 s"}})
		s.expect("kill a, spawn a", "a starting no heart-beat for 4 s")
		one := s.Status()[0]
		if one.Class != "hang" || one.Rung != "restart" || one.Failures != 1 {
			s.Errorf("%+v", one)
		}
		if faults := s.Faults(); faults["hang"] != 1 || faults["signal"] != 0 || len(faults) != len(lifecycle.Classes()) {
			s.Errorf("%v", faults)
		}
	})
}

func TestACorruptStateIsSetAsideAndTheServiceStartsWithoutIt(t *testing.T) {
	play(t, nil, []manifest.Service{declare("a", withData)}, func(s *scene) {
		s.up("a")
		s.endAs("a", lifecycle.ClassCorruptState, "it found its state corrupt (status 65) after 1 ms")
		s.expect("set aside a, spawn a")
		s.ready("a")
		s.at("a", "ready")
		e, err := s.Explain("a")
		if err != nil || !strings.HasPrefix(e.Done, "Its state was set aside in /aside/a; it begins without one, as there was no snapshot, then the state that was set aside was the cause and stays in /aside/a, then it got ready at ") {
			s.Errorf("%+v, %v", e, err)
		}
	})
}

func TestAStateThatWasNotTheCauseIsGivenBackToTheService(t *testing.T) {
	play(t, nil, []manifest.Service{declare("a", withData)}, func(s *scene) {
		s.up("a")
		s.endAs("a", lifecycle.ClassCorruptState, "it found its state corrupt (status 65) after 1 ms")
		s.expect("set aside a, spawn a")
		s.end("a", "exited with status 1 after 1 ms")
		s.expect("give back /aside/a to a, spawn a", "a starting exited with status 1 after 1 ms, before it was ready; its state was not the cause and was given back")
	})
}

func TestAStateThatCannotBeSetAsideLetsTheLadderGoOn(t *testing.T) {
	play(t, nil, []manifest.Service{declare("a", withData, ladder(manifest.RungSetAside, manifest.RungGiveUp))}, func(s *scene) {
		s.up("a")
		s.noAside = true
		s.end("a", "exited with status 1 after 1 ms")
		s.expect("set aside a", "a failed exited with status 1 after 1 ms; its state could not be set aside: the disk is full")
	})
}

func TestWhatNeedsAFailingServiceEndsBeforeItStartsAgain(t *testing.T) {
	list := []manifest.Service{declare("bus", ladder(manifest.RungDependents, manifest.RungGiveUp)), declare("infer", needs("bus")), declare("chat", needs("infer"))}
	play(t, nil, list, func(s *scene) {
		s.up("bus", "infer", "chat")
		s.deaf["infer"] = true
		s.end("bus", "exited with status 1 after 1 ms")
		s.expect("signal infer", "bus waiting waiting for infer to end, which needs it", "infer stopping bus, which it needs, keeps failing", "chat ready infer is stopping, which it needs")
		time.Sleep(10 * time.Second)
		s.expect("kill infer, spawn bus")
		s.ready("bus")
		s.expect("spawn infer")
	})
}

func TestAnUpdateIsOnProbationAndThenKept(t *testing.T) {
	play(t, nil, []manifest.Service{declare("a", withData, func(s *manifest.Service) { s.Snapshot.Every = time.Hour })}, func(s *scene) {
		s.up("a")
		if err := s.Update("a", "/v2"); err != nil {
			s.Fatal(err)
		}
		s.expect("snapshot a, install /v2 for a, signal a, spawn a", "a starting updated to version v2")
		s.ready("a")
		synctest.Wait()
		if one := s.Status()[0]; one.Version != "v2" || !one.Probation {
			s.Errorf("%+v", one)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if one := s.Status()[0]; one.Version != "v2" || one.Probation || !strings.Contains(s.page(), "commit a") {
			s.Errorf("%+v", one)
		}
	})
}

func TestAnUpdateThatFailsIsTakenBack(t *testing.T) {
	play(t, nil, []manifest.Service{declare("a")}, func(s *scene) {
		s.up("a")
		if err := s.Update("a", "/v2"); err != nil {
			s.Fatal(err)
		}
		s.expect("install /v2 for a, signal a, spawn a")
		s.end("a", "exited with status 2 after 1 ms")
		s.expect("roll back a, spawn a", "a starting its new version failed: exited with status 2 after 1 ms, before it was ready; rolled back to the program of the image")
		s.ready("a")
		synctest.Wait()
		one := s.Status()[0]
		if one.State != "ready" || one.Version != "" || one.Probation || one.Class != "bad-update" || one.Rung != "roll-back" {
			s.Errorf("%+v", one)
		}
	})
}

func TestAnUpdateThatCannotBeInstalledLeavesTheServiceAlone(t *testing.T) {
	play(t, nil, []manifest.Service{declare("a")}, func(s *scene) {
		s.up("a")
		for program, want := range map[string]string{"/bad": "update a: it is no program", "bad": `update a: "bad" is not an absolute path`} {
			if err := s.Update("a", program); err == nil || err.Error() != want {
				s.Errorf("%s: %v", program, err)
			}
		}
		if err := s.Update("ghost", "/v2"); !errors.Is(err, ErrUnknown) {
			s.Error(err)
		}
		s.expect("install /bad for a", "a ready")
		s.slow = make(chan struct{})
		done := make(chan error)
		go func() { done <- s.Update("a", "/v2") }()
		synctest.Wait()
		if err := s.Update("a", "/v3"); !errors.Is(err, ErrBusy) {
			s.Error(err)
		}
		close(s.slow)
		if err := <-done; err != nil {
			s.Error(err)
		}
	})
}

func TestAServiceThatRunsAnotherVersionThanDataHoldsIsStartedAgain(t *testing.T) {
	play(t, nil, []manifest.Service{declare("a"), declare("b")}, func(s *scene) {
		s.ready("a")
		s.ready("b")
		synctest.Wait()
		s.page()
		s.versions["a"] = fakeVersion{name: "v2", probation: true}
		s.DataReady(nil)
		s.expect("signal a, spawn a", "a starting its version v2 is there now", "b ready")
	})
}

func TestAProbeIsAskedBeforeOthersRelyOnAService(t *testing.T) {
	play(t, nil, []manifest.Service{declare("bus", probed), declare("infer", needs("bus"))}, func(s *scene) {
		s.sick["bus"] = errors.New("no answer")
		s.ready("bus")
		s.expect("spawn bus, probe bus", "bus starting started on request", "infer waiting waiting for bus (starting)")
		time.Sleep(time.Second)
		s.expect("probe bus, kill bus, spawn bus", "bus starting it said that it is ready, but its probe failed: no answer", "infer waiting waiting for bus (starting)")
		s.sick["bus"] = nil
		s.ready("bus")
		s.expect("probe bus, spawn infer")
		s.ready("infer")
		time.Sleep(30 * time.Second)
		s.expect("probe bus")
	})
}

func TestAProbeSaysNothingWhileWhatTheServiceNeedsIsAway(t *testing.T) {
	play(t, nil, []manifest.Service{declare("bus"), declare("infer", needs("bus"), probed)}, func(s *scene) {
		s.up("bus", "infer")
		s.sick["infer"] = errors.New("no bus")
		s.end("bus", "exited with status 1 after 1 ms")
		s.expect("spawn bus")
		time.Sleep(29 * time.Second)
		s.ready("bus")
		synctest.Wait()
		s.end("bus", "exited with status 1 after 1 ms")
		synctest.Wait()
		time.Sleep(time.Second / 2)
		s.page()
		time.Sleep(time.Second / 4)
		s.at("infer", "ready bus is backoff, which it needs")
		s.sick["infer"] = nil
		time.Sleep(time.Second)
		synctest.Wait()
		s.ready("bus")
		s.at("infer", "ready")
	})
}

func TestAProbeThatSaysNothingIsRepeatedAndBlamesNobody(t *testing.T) {
	play(t, nil, []manifest.Service{declare("a", probed)}, func(s *scene) {
		s.sick["a"] = fmt.Errorf("ping: %w", ErrProbeVoid)
		s.ready("a")
		time.Sleep(time.Second)
		s.at("a", "starting started on request")
		s.sick["a"] = nil
		time.Sleep(time.Second)
		s.at("a", "ready")
	})
}

func complain(about string) Report {
	return Report{Event: lifecycle.Event{Kind: lifecycle.Complaint, Reason: "no answer to 3 requests\n\x00\"x"}, About: about}
}

func TestAComplaintHasAServiceProbedAtOnce(t *testing.T) {
	play(t, nil, []manifest.Service{declare("a", probed), declare("b")}, func(s *scene) {
		s.up("a", "b")
		s.says("b", complain("a"))
		s.expect("probe a", "a ready", "b ready")
		s.says("b", complain("a")) // too soon to be heard
		s.says("b", complain("ghost"))
		s.says("b", complain("b"))
		s.expect("", "a ready", "b ready")
		time.Sleep(complaintPause)
		s.sick["a"] = errors.New("silence")
		s.says("b", complain("a"))
		s.expect("probe a")
		time.Sleep(time.Second)
		s.expect("probe a, kill a, spawn a", "a starting others complained about it and its probe failed: silence", "b ready")
	})
}

func TestSeveralComplaintsEndALifeButNeverDriveAServiceUpItsLadder(t *testing.T) {
	play(t, nil, []manifest.Service{declare("a"), declare("b")}, func(s *scene) {
		s.up("a", "b")
		for range complaintsBelieved {
			s.expect("")
			time.Sleep(complaintPause)
			s.says("b", complain("a"))
		}
		s.expect("kill a, spawn a", `a starting complaints of others; the last: b complains: "no answer to 3 requests...x"`, "b ready")
		s.ready("a")
		synctest.Wait()
		for range 50 {
			time.Sleep(complaintPause)
			s.says("b", complain("a"))
		}
		s.expect("", "a ready", "b ready")
		time.Sleep(2 * time.Minute)
		for range complaintsBelieved {
			time.Sleep(complaintPause)
			s.says("b", complain("a"))
		}
		s.expect("kill a, spawn a")
		if faults := s.Faults(); faults["complaint"] != 2 {
			s.Errorf("%v", faults)
		}
	})
}

func TestThePolicyProgramIsHeardAndTheLadderDecidesWithoutIt(t *testing.T) {
	asks := func(s *manifest.Service) { s.OnFailure.Policy = "/bin/decide" }
	play(t, nil, []manifest.Service{declare("a", asks)}, func(s *scene) {
		s.up("a")
		s.end("a", "exited with status 1 after 1 ms")
		s.expect("ask about a exit restart, spawn a") // it fails: the ladder
		s.ready("a")
		synctest.Wait()
		s.advice["a"] = Advice{Action: lifecycle.AdviceWait, Wait: time.Hour}
		s.endAs("a", lifecycle.ClassSignal, "killed by signal 11 (SIGSEGV) after 1 ms")
		s.expect("ask about a signal backoff", "a backoff killed by signal 11 (SIGSEGV) after 1 ms")
		s.advice["a"] = Advice{Action: lifecycle.AdviceGiveUp}
		time.Sleep(time.Hour)
		s.expect("spawn a")
		s.end("a", "exited with status 1 after 1 ms")
		s.expect("ask about a exit backoff", "a failed exited with status 1 after 1 ms, before it was ready")
	})
}

func TestAServiceThatIsWellHasItsStateCopied(t *testing.T) {
	copied := func(s *manifest.Service) { s.Snapshot.Every = time.Hour }
	play(t, nil, []manifest.Service{declare("a", withData, copied)}, func(s *scene) {
		s.up("a")
		time.Sleep(time.Minute)
		s.expect("snapshot a")
		time.Sleep(time.Hour)
		s.expect("snapshot a")
		s.says("a", Report{Event: lifecycle.Event{Kind: lifecycle.BecameDegraded, Reason: "no model"}})
		time.Sleep(2 * time.Hour)
		s.expect("", "a degraded no model")
		s.says("a", Report{Event: lifecycle.Event{Kind: lifecycle.Recovered}})
		time.Sleep(time.Hour)
		s.expect("snapshot a", "a ready")
	})
}

func TestShutdownWaitsForWhatChangesAState(t *testing.T) {
	play(t, nil, []manifest.Service{declare("a", withData)}, func(s *scene) {
		s.up("a")
		s.slow = make(chan struct{})
		s.endAs("a", lifecycle.ClassCorruptState, "it found its state corrupt (status 65) after 1 ms")
		s.expect("set aside a", "a backoff it found its state corrupt (status 65) after 1 ms")
		ended := make(chan error)
		go func() { ended <- s.Shutdown(s.Context()) }()
		s.at("a", "defined stopped on request")
		select {
		case <-ended:
			s.Error("it did not wait")
		default:
		}
		close(s.slow)
		if err := <-ended; err != nil {
			s.Error(err)
		}
	})
}

func TestShutdownInAHurryWaitsForNoWork(t *testing.T) {
	play(t, nil, []manifest.Service{declare("a", withData)}, func(s *scene) {
		s.up("a")
		s.slow = make(chan struct{})
		defer func() { close(s.slow); synctest.Wait() }()
		s.endAs("a", lifecycle.ClassCorruptState, "corrupt")
		synctest.Wait()
		ctx, cancel := context.WithTimeout(s.Context(), time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			s.Error(err)
		}
	})
}

func TestADegradedServiceServes(t *testing.T) {
	play(t, nil, []manifest.Service{declare("a"), declare("b", needs("a"))}, func(s *scene) {
		s.says("a", Report{Event: lifecycle.Event{Kind: lifecycle.BecameDegraded, Reason: "no model can be used"}})
		s.ready("a")
		s.expect("spawn a, spawn b", "a degraded no model can be used", "b starting what it waited for is there")
		s.ready("b")
		synctest.Wait()
		if !s.allReady() {
			s.Error("not all ready")
		}
		e, err := s.Explain("a")
		if err != nil || e.What != "a has been working only in part since 00:00:00." || e.Why != "No model can be used." {
			s.Errorf("%+v, %v", e, err)
		}
	})
}

// A step that panics, such as one of a system with a defect, ends neither the
// supervisor nor the other services.
type panicking struct {
	*fakeSystem
	armed bool
}

func (p *panicking) Version(service string) (string, bool) {
	if p.armed && service == "a" {
		p.armed = false
		panic("a defect of gilgul's own")
	}
	return p.fakeSystem.Version(service)
}

func TestAPanicInOneStepIsNotTheEndOfTheSupervisor(t *testing.T) {
	var system *panicking
	options := func(o *Options) {
		system = &panicking{fakeSystem: o.System.(*fakeSystem)}
		o.System = system
	}
	play(t, options, []manifest.Service{declare("a"), declare("b")}, func(s *scene) {
		s.up("a", "b")
		system.armed = true
		s.end("a", "exited with status 1 after 1 ms")
		synctest.Wait()
		s.end("b", "exited with status 1 after 1 ms")
		synctest.Wait()
		if got := s.page(); !strings.Contains(got, "spawn a") || !strings.Contains(got, "spawn b") {
			s.Errorf("diary: %s", got)
		}
	})
}

func TestChangesCarryClassRungAndVersion(t *testing.T) {
	play(t, nil, []manifest.Service{declare("a")}, func(s *scene) {
		events, cancel := s.Events()
		defer cancel()
		s.up("a")
		s.endAs("a", lifecycle.ClassSignal, "killed by signal 9 (SIGKILL) after 1 ms")
		synctest.Wait()
		s.ready("a")
		synctest.Wait()
		var got []string
		for len(events) > 0 {
			c := <-events
			got = append(got, strings.TrimSpace(c.State+" "+c.Class+" "+c.Rung))
		}
		if want := []string{"ready", "waiting signal restart", "starting signal restart", "ready signal restart"}; !slices.Equal(got, want) {
			s.Errorf("%q", got)
		}
	})
}
