package control

import (
	"slices"
	"sync"
)

// bounds of the connections that are open at once.
type bounds struct {
	process int // of one process
	user    int // of one user, or of all strangers together
	all     int
}

// usualBounds leave room for everybody: there are fewer users than fill all
// places, and it takes three processes to fill those of a user. One connection
// costs some 20 KiB.
var usualBounds = bounds{process: 12, user: 32, all: 128}

// guest is one open connection.
type guest struct {
	user uint32 // Peer.account
	pid  int32
	shut func() // closes the connection; it may be called twice
}

// door decides who may stay when too many come. Nobody is kept out by others of
// whom each holds more than he does: at a bound the oldest connection of the
// process with the most gives way, of the user with the most. Only a newcomer
// whose own process holds the most is turned away.
type door struct {
	limit  bounds
	mu     sync.Mutex
	inside []*guest // in the order in which they came
}

// enter lets a guest in, and shuts out whoever gives way to it.
func (d *door) enter(g *guest) bool {
	out, let := d.admit(g)
	if out != nil {
		out.shut()
	}
	return let
}

// admit lets a guest in, if it may, and returns who had to go for it.
func (d *door) admit(g *guest) (out *guest, let bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	sameUser := func(other *guest) bool { return other.user == g.user }
	switch {
	case count(d.inside, g.sameProcess) >= d.limit.process:
		return nil, false
	case count(d.inside, sameUser) >= d.limit.user:
		out = d.heaviest(g, sameUser)
	case len(d.inside) >= d.limit.all:
		user := most(append(slices.Clone(d.inside), g), func(g *guest) uint32 { return g.user })
		out = d.heaviest(g, func(other *guest) bool { return other.user == user })
	default:
		d.inside = append(d.inside, g)
		return nil, true
	}
	if out == nil {
		return nil, false
	}
	d.remove(out)
	d.inside = append(d.inside, g)
	return out, true
}

// heaviest returns the oldest guest of the process that holds the most of those
// who match; nil if that process is the newcomer's own.
func (d *door) heaviest(newcomer *guest, match func(*guest) bool) *guest {
	var among []*guest
	for _, g := range append(slices.Clone(d.inside), newcomer) {
		if match(g) {
			among = append(among, g)
		}
	}
	pid := most(among, func(g *guest) int32 { return g.pid })
	oldest := among[slices.IndexFunc(among, func(g *guest) bool { return g.pid == pid })]
	if oldest.sameProcess(newcomer) {
		return nil
	}
	return oldest
}

// shed shuts out one guest, of the process that holds the most, so that its
// descriptor can be used; false if there is none.
func (d *door) shed() bool {
	d.mu.Lock()
	if len(d.inside) == 0 {
		d.mu.Unlock()
		return false
	}
	user := most(d.inside, func(g *guest) uint32 { return g.user })
	out := d.heaviest(&guest{user: user, pid: -1}, func(g *guest) bool { return g.user == user })
	d.remove(out)
	d.mu.Unlock()
	out.shut()
	return true
}

// leave tells that a guest's connection is closed.
func (d *door) leave(g *guest) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.remove(g)
}

func (d *door) remove(g *guest) {
	if i := slices.Index(d.inside, g); i >= 0 {
		d.inside = slices.Delete(d.inside, i, i+1)
	}
}

func (g *guest) sameProcess(other *guest) bool { return g.user == other.user && g.pid == other.pid }

func count(guests []*guest, match func(*guest) bool) (n int) {
	for _, g := range guests {
		if match(g) {
			n++
		}
	}
	return n
}

// most returns the key that occurs most often, of several the one that came first.
func most[K comparable](guests []*guest, key func(*guest) K) (found K) {
	counts := make(map[K]int, len(guests))
	for _, g := range guests {
		counts[key(g)]++
	}
	best := 0
	for _, g := range guests {
		if n := counts[key(g)]; n > best {
			best, found = n, key(g)
		}
	}
	return found
}
