package manifest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"runa/services/hint"
)

// Order sorts services so that each comes after what it needs and wants, and
// otherwise by name. Services that can never start (they are part of a cycle,
// need a service that is not there, or need one of these) are left out, each
// with one error; the rest is always usable.
func Order(services []Service) ([]Service, []error) {
	o := ordering{byName: map[string]Service{}, state: map[string]mark{}, round: map[string]bool{}}
	names := make([]string, 0, len(services))
	var errs []error
	for _, s := range services {
		if first, twice := o.byName[s.Name]; twice {
			errs = append(errs, fmt.Errorf("%s: the service %s is already declared in %s", s.File, s.Name, first.File))
			continue
		}
		o.byName[s.Name] = s
		names = append(names, s.Name)
	}
	slices.Sort(names)
	for _, name := range names {
		o.visit(name, nil)
	}
	return o.sorted, append(errs, o.errs...)
}

type mark int

const (
	unseen mark = iota
	visiting
	good
	bad
)

type step struct{ name, verb string }

type ordering struct {
	byName map[string]Service
	state  map[string]mark
	round  map[string]bool // services of a cycle that is already reported
	sorted []Service
	errs   []error
}

// visit places a service after what it depends on and says whether it can
// start; path is how the walk came here.
func (o *ordering) visit(name string, path []step) mark {
	if m := o.state[name]; m != unseen {
		return m
	}
	o.state[name] = visiting
	s := o.byName[name]
	result := good
	for _, need := range s.Needs {
		if o.follow(s, step{name, "needs"}, need, path) != good {
			result = bad
		}
	}
	for _, want := range s.Wants {
		// What is wanted may be absent or broken; only a cycle is wrong.
		if _, there := o.byName[want]; there && o.follow(s, step{name, "wants"}, want, path) == visiting {
			result = bad
		}
	}
	o.state[name] = result
	if result == good {
		o.sorted = append(o.sorted, s)
	}
	return result
}

// follow goes from s to the service called to.
func (o *ordering) follow(s Service, by step, to string, path []step) mark {
	path = append(slices.Clip(path), by)
	if _, there := o.byName[to]; !there {
		err := fmt.Errorf("%s: %s needs %q, which no manifest declares", s.File, s.Name, to)
		o.errs = append(o.errs, hint.New(err, "%s", didYouMean(to, o.names())))
		return bad
	}
	switch m := o.visit(to, path); m {
	case visiting:
		o.errs = append(o.errs, o.cycle(s, path, to))
		return visiting
	case bad:
		if by.verb == "needs" && !o.round[s.Name] {
			o.errs = append(o.errs, fmt.Errorf("%s: %s cannot start: it needs %s, which cannot start", s.File, s.Name, to))
		}
		return bad
	default:
		return m
	}
}

// cycle names the whole cycle that closes at the service called to, beginning
// with its first name in the alphabet.
func (o *ordering) cycle(s Service, path []step, to string) error {
	from := slices.IndexFunc(path, func(p step) bool { return p.name == to })
	round := slices.Clone(path[from:])
	first := 0
	for i := range round {
		o.round[round[i].name] = true
		if cmp.Less(round[i].name, round[first].name) {
			first = i
		}
	}
	var words []string
	for i := range round {
		p := round[(first+i)%len(round)]
		words = append(words, p.name, p.verb)
	}
	words = append(words, round[first].name)
	err := fmt.Errorf("%s: services wait for each other in a circle: %s", s.File, strings.Join(words, " "))
	return hint.New(err, "take one of these needs or wants out")
}

func (o *ordering) names() []string {
	var names []string
	for name := range o.byName {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
