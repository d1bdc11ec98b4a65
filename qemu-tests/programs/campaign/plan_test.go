package main

import (
	"slices"
	"testing"
)

var (
	obedient = []string{"faulty-a", "faulty-b", "faulty-c"}
	others   = []string{"splinter", "splinfer"}
)

func TestTheSameSeedGivesTheSamePlanAndAnotherAnother(t *testing.T) {
	one, again, other := makePlan(7, 200, obedient, others), makePlan(7, 200, obedient, others), makePlan(8, 200, obedient, others)
	if !slices.Equal(one, again) {
		t.Error("the same seed gave two plans")
	}
	if slices.Equal(one, other) {
		t.Error("two seeds gave the same plan")
	}
	if !slices.Equal(one[:50], makePlan(7, 50, obedient, others)) {
		t.Error("a shorter plan is not the beginning of a longer one")
	}
}

func TestAPlanHasEveryKindAndOnlyWhatEachTakes(t *testing.T) {
	for seed := range uint64(20) {
		plan := makePlan(seed, 300, obedient, others)
		seen := map[string]int{}
		for i, f := range plan {
			seen[f.kind]++
			at := slices.IndexFunc(kinds, func(k kindOf) bool { return k.name == f.kind })
			if !kinds[at].anyone && !slices.Contains(obedient, f.target) {
				t.Errorf("%s is ordered from %s, which does not obey", f.kind, f.target)
			}
			if f.helper == f.target || !slices.Contains(obedient, f.helper) {
				t.Errorf("%s helps with %s", f.helper, f.target)
			}
			if i > 0 && plan[i-1].target == f.target {
				t.Errorf("%s is hurt twice in a row", f.target)
			}
		}
		for _, k := range kinds {
			if seen[k.name] == 0 {
				t.Errorf("seed %d: no %s", seed, k.name)
			}
		}
	}
}

func TestEveryKindCanBeDone(t *testing.T) {
	for _, k := range kinds {
		if injections[k.name] == nil {
			t.Errorf("nobody knows how to do %s", k.name)
		}
	}
	if len(injections) != len(kinds) {
		t.Errorf("%d kinds are planned, %d can be done", len(kinds), len(injections))
	}
}
