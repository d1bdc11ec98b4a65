package gilgul

import (
	"errors"
	"fmt"
	"slices"

	"runa/init/manifest"
	"runa/services/splinter"
)

// ownerRights are the owner's on the bus: to look at everything, to ask every
// service, to write only below owner/. A person who wants more has the root console.
var ownerRights = splinter.Rights{
	Read:  []string{"key:*", "topic:*"},
	Write: []string{"name:*", "key:owner/*", "topic:owner/*"},
}

// grantsOf gathers who may do what on the bus: the owner what ownerRights says,
// each service's user what the manifests of its services say. A user that is
// unknown is an error; the others are there all the same.
func grantsOf(declared []manifest.Service, uidOf func(string) (uint32, error)) (map[uint32]splinter.Rights, error) {
	grants := map[uint32]splinter.Rights{ownerUID: ownerRights}
	var errs []error
	for _, s := range declared {
		uid, err := uidOf(s.User)
		if err != nil {
			errs = append(errs, fmt.Errorf("service %s: %w", s.Name, err))
			continue
		}
		r := grants[uid]
		grants[uid] = splinter.Rights{Read: slices.Concat(r.Read, s.Bus.Read), Write: slices.Concat(r.Write, s.Bus.Write)}
	}
	return grants, errors.Join(errs...)
}

// prepare is called when a service says it is ready, before those that need it
// start: by then their rights must be there.
func (b *bus) prepare(service string) {
	if service != busService {
		return
	}
	b.reopen()
	b.mu.Lock()
	b.prepared = true
	b.mu.Unlock()
}

// grant gives everybody their rights on a bus that was just opened.
func (b *bus) grant(fresh *splinter.Bus) {
	for uid, rights := range b.grants {
		if err := fresh.Grant(uid, rights); err != nil {
			b.log.Warn("rights are not granted", "uid", uid, "reason", err)
		}
	}
}
