package main

import "math/rand/v2"

// fault is one thing to do to one service.
type fault struct {
	kind   string
	target string
	helper string // another service that obeys, where a kind takes two
}

// kindOf says how often a kind is chosen, and of whom. Those that take long to
// be seen (two heart-beats have to be missing) are chosen less often.
type kindOf struct {
	name   string
	weight int
	anyone bool // also a service that does not obey: it is done from outside
}

var kinds = []kindOf{
	{name: "kill", weight: 4, anyone: true},
	{name: "stop", weight: 1, anyone: true},
	{name: "segv", weight: 4},
	{name: "panic", weight: 4},
	{name: "exit", weight: 3},
	{name: "spin", weight: 1},
	{name: "hang", weight: 1},
	{name: "slow-heart-beat", weight: 1},
	{name: "leak", weight: 3},
	{name: "fork-bomb", weight: 2},
	{name: "open-descriptors", weight: 2},
	{name: "data-full", weight: 2},
	{name: "corrupt-state", weight: 3},
	{name: "never-ready", weight: 1},
	{name: "false-ready", weight: 1},
	{name: "bad-update", weight: 2},
	{name: "complaint", weight: 2},
}

// makePlan chooses n faults. The same seed gives the same plan; each kind is in
// a plan that is long enough, and no service is hurt twice in a row, so that
// each has been well for a while before it is hurt.
func makePlan(seed uint64, n int, obedient, others []string) []fault {
	random := rand.New(rand.NewPCG(seed, 0x6761756c))
	var plan []fault
	var last string
	add := func(k kindOf) {
		candidates := obedient
		if k.anyone && random.IntN(3) == 0 {
			candidates = others
		}
		f := fault{kind: k.name}
		f.target = another(random, candidates, last)
		f.helper = another(random, obedient, f.target)
		plan = append(plan, f)
		last = f.target
	}
	for _, i := range random.Perm(len(kinds)) {
		if len(plan) < n {
			add(kinds[i])
		}
	}
	for len(plan) < n {
		add(choose(random))
	}
	return plan
}

func choose(random *rand.Rand) kindOf {
	sum := 0
	for _, k := range kinds {
		sum += k.weight
	}
	at := random.IntN(sum)
	for _, k := range kinds {
		if at -= k.weight; at < 0 {
			return k
		}
	}
	panic("the weights do not sum up")
}

// another returns one of the names that is not the given one.
func another(random *rand.Rand, names []string, not string) string {
	for {
		if name := names[random.IntN(len(names))]; name != not || len(names) == 1 {
			return name
		}
	}
}
