package supervise

import (
	"runa/init/lifecycle"
	"runa/init/manifest"
)

// rulesOf translates what a manifest says into the machine's rules; needed says
// whether another service needs this one.
func rulesOf(s manifest.Service, needed bool) lifecycle.Rules {
	policies := map[manifest.Policy]lifecycle.Policy{
		manifest.Always: lifecycle.Always, manifest.OnFailure: lifecycle.OnFailure, manifest.Never: lifecycle.Never,
	}
	rules := lifecycle.Rules{
		Policy:       policies[s.Restart.Policy],
		Initial:      s.Restart.Initial,
		Max:          s.Restart.Max,
		Stable:       s.Restart.Stable,
		ReadyTimeout: s.Ready.Timeout,
		StopTimeout:  s.Stop.Timeout,
		ReadyAtOnce:  s.Ready.By == manifest.ByNone,
		Oneshot:      s.Oneshot,

		Tries:      s.OnFailure.Tries,
		AskPolicy:  s.OnFailure.Policy != "",
		Data:       s.Data,
		Dependents: needed,
		Probe:      s.Probe.By != manifest.ProbeNone && s.Probe.By != "" && !s.Oneshot,
		ProbeEvery: s.Probe.Every,
		Probation:  s.Probation,
		Cycle:      s.Cycle,
	}
	for _, rung := range s.OnFailure.Ladder {
		rules.Ladder = append(rules.Ladder, lifecycle.Rung(rung))
	}
	if s.Data && !s.Oneshot {
		rules.Snapshot = s.Snapshot.Every
	}
	return rules
}

// neededOf tells which services another one needs.
func neededOf(services []manifest.Service) map[string]bool {
	needed := map[string]bool{}
	for _, s := range services {
		for _, need := range s.Needs {
			needed[need] = true
		}
	}
	return needed
}
