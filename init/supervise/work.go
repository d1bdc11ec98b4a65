package supervise

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"runa/init/lifecycle"
	"runa/init/manifest"
)

// Everything in this file runs in Run's goroutine, but for the functions called
// done, which post what they were told.

// ask carries out the actions that are answered later.
func (s *Supervisor) ask(one *service, action lifecycle.Action) {
	switch action.(type) {
	case lifecycle.Probe:
		s.probe(one)
	case lifecycle.AskPolicy:
		s.askPolicy(one)
	case lifecycle.SetAside:
		s.setAside(one)
	case lifecycle.GiveBack:
		s.giveBack(one)
	case lifecycle.Keep:
		one.story.note("the state that was set aside was the cause and stays in " + one.aside.Folder)
		one.aside = Aside{}
	case lifecycle.RollBack:
		s.rollBack(one)
	case lifecycle.Commit:
		s.options.System.Commit(one.Service)
		s.options.Log.Info("a new version has passed its probation", "service", one.Name, "version", one.version)
	case lifecycle.Snapshot:
		s.snapshot(one)
	}
}

// probe asks the service. While something it needs is away the answer says
// nothing about the service itself.
func (s *Supervisor) probe(one *service) {
	one.probe++
	life, number := one.life, one.probe
	s.options.System.Probe(one.Service, func(err error) {
		s.post(func() {
			if life != one.life || number != one.probe {
				return
			}
			event := lifecycle.Event{Kind: lifecycle.ProbePassed}
			switch {
			case errors.Is(err, ErrProbeVoid), err != nil && s.lost(one) != "":
				event.Kind = lifecycle.ProbeVoid
			case err != nil:
				event = lifecycle.Event{Kind: lifecycle.ProbeFailed, Reason: err.Error()}
				if one.state.SaidReady || one.state.Phase.Serves() {
					s.options.Log.Warn("a probe failed", "service", one.Name, "reason", err)
				}
			}
			s.feed(one, event)
		})
	})
}

// askPolicy asks the service's policy program. Without a usable answer the
// ladder decides.
func (s *Supervisor) askPolicy(one *service) {
	one.question++
	number := one.question
	failure := Failure{
		Class: one.state.Class, Reason: one.state.Reason, Failures: one.state.Failures, Restarts: one.state.Restarts,
		Rung: manifest.Rung(cmp.Or(one.rules.NextRung(one.state), lifecycle.RungBackoff)),
	}
	s.options.System.AskPolicy(one.Service, failure, func(advice Advice, err error) {
		s.post(func() {
			if number != one.question {
				return
			}
			if err != nil {
				s.options.Log.Warn("the policy program gave no advice, the ladder decides", "service", one.Name, "reason", err)
				advice = Advice{}
			} else {
				s.options.Log.Info("the policy program advises", "service", one.Name, "advice", string(advice.Action), "wait", advice.Wait)
			}
			s.feed(one, lifecycle.Event{Kind: lifecycle.PolicyAnswered, Advice: advice.Action, After: advice.Wait})
		})
	})
}

// work runs what changes a service's state or version, one after another. begin
// starts it and is given what ends it, to be called in Run's goroutine.
func (s *Supervisor) work(one *service, begin func(end func())) {
	run := func() {
		one.working = true
		s.jobs++
		begin(func() {
			one.working = false
			s.jobs--
			if len(one.works) > 0 {
				next := one.works[0]
				one.works = one.works[1:]
				next()
			}
		})
	}
	if one.working {
		one.works = append(one.works, run)
		return
	}
	run()
}

func (s *Supervisor) setAside(one *service) {
	s.work(one, func(end func()) {
		s.options.System.SetAside(one.Service, func(aside Aside, err error) {
			s.post(func() {
				defer end()
				event := lifecycle.Event{Kind: lifecycle.SetAsideDone, OK: err == nil}
				if err != nil {
					event.Reason = "its state could not be set aside: " + err.Error()
				} else {
					one.aside = aside
					event.Reason = asideText(aside)
				}
				s.worked(one, event)
			})
		})
	})
}

// asideText says what stands in the place of a state that was set aside.
func asideText(a Aside) string {
	if a.Restored.IsZero() {
		return fmt.Sprintf("its state was set aside in %s; it begins without one, as there was no snapshot", a.Folder)
	}
	return fmt.Sprintf("its state was set aside in %s and the snapshot of %s restored", a.Folder, a.Restored.Format(time.DateTime))
}

func (s *Supervisor) giveBack(one *service) {
	s.work(one, func(end func()) {
		s.options.System.GiveBack(one.Service, one.aside, func(err error) {
			s.post(func() {
				defer end()
				event := lifecycle.Event{Kind: lifecycle.GiveBackDone, OK: err == nil, Reason: "its state was not the cause and was given back"}
				if err != nil {
					event.Reason = fmt.Sprintf("its state was not the cause but stays in %s: %v", one.aside.Folder, err)
				}
				one.aside = Aside{}
				s.worked(one, event)
			})
		})
	})
}

// rollBack puts the version before in place; the image's own has none.
func (s *Supervisor) rollBack(one *service) {
	if version, _ := s.options.System.Version(one.Name); version == "" {
		s.feed(one, lifecycle.Event{Kind: lifecycle.RollBackDone})
		return
	}
	s.work(one, func(end func()) {
		s.options.System.RollBack(one.Service, func(version string, err error) {
			s.post(func() {
				defer end()
				event := lifecycle.Event{Kind: lifecycle.RollBackDone, OK: err == nil, Reason: "rolled back to " + versionText(version)}
				if err != nil {
					event.Reason = "there is no version to roll back to: " + err.Error()
				}
				s.worked(one, event)
			})
		})
	})
}

func versionText(version string) string {
	if version == "" {
		return "the program of the image"
	}
	return "version " + version
}

// worked logs what was done about a failure and lets life go on.
func (s *Supervisor) worked(one *service, event lifecycle.Event) {
	if event.OK {
		s.options.Log.Info(event.Reason, "service", one.Name)
	} else {
		s.options.Log.Error(event.Reason, "service", one.Name)
	}
	one.story.note(event.Reason)
	s.feed(one, event)
}

// snapshot copies the state of a service that is well. One that is still being
// copied is not copied again, and none while the system goes down.
func (s *Supervisor) snapshot(one *service) {
	if one.working || s.shutting {
		return
	}
	s.work(one, func(end func()) {
		s.options.System.Snapshot(one.Service, func(err error) {
			s.post(func() {
				defer end()
				if err != nil {
					s.options.Log.Warn("no snapshot of a service's state", "service", one.Name, "reason", err)
				}
			})
		})
	})
}

func (s *Supervisor) install(one *service, program string, answer chan<- error) {
	s.work(one, func(end func()) {
		s.options.System.Install(one.Service, program, func(version string, err error) {
			s.post(func() {
				defer end()
				one.updating = false
				answer <- err
				if err != nil || s.shutting {
					return
				}
				s.options.Log.Info("a new version is installed, on probation", "service", one.Name, "version", version)
				s.feed(one, lifecycle.Event{Kind: lifecycle.UpdateRequested, Reason: "updated to " + versionText(version)})
			})
		})
	})
}
