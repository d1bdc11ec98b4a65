package assembly

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"runa/init/manifest"
	"runa/services/splinter"
)

// readManifests returns the services that can be started, in their order.
func (s *Services) readManifests() []manifest.Service {
	declared, errs := manifest.Load(s.config.Manifests)
	var usable []manifest.Service
	for _, one := range declared {
		if err := manifest.Check(one, s.config.Root, s.config.User); err != nil {
			errs = append(errs, err)
			continue
		}
		usable = append(usable, one)
	}
	ordered, wrong := manifest.Order(usable)
	for _, err := range append(errs, wrong...) {
		s.config.Problem("service manifest", err)
	}
	return ordered
}

// grantsOf adds to given what the manifests of each user's services say. A user
// that is unknown is an error; the others are there all the same.
func grantsOf(declared []manifest.Service, uidOf func(string) (uint32, error), given map[uint32]splinter.Rights) (map[uint32]splinter.Rights, error) {
	grants := maps.Clone(given)
	if grants == nil {
		grants = map[uint32]splinter.Rights{}
	}
	var errs []error
	for _, s := range declared {
		uid, err := uidOf(s.User)
		if err != nil {
			errs = append(errs, fmt.Errorf("service %s: %w", s.Name, err))
			continue
		}
		r := grants[uid]
		beat := "key:service/" + s.Name + "/*" // where it says that it lives
		grants[uid] = splinter.Rights{
			Read:  slices.Concat(r.Read, s.Bus.Read),
			Write: slices.Concat(r.Write, s.Bus.Write, []string{beat}),
		}
	}
	return grants, errors.Join(errs...)
}
