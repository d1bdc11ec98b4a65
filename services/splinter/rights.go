package splinter

import (
	"fmt"
	"os"
	"strings"
	"sync/atomic"

	"runa/services/hint"
	"runa/services/rmp"
)

// ErrForbidden means this process's uid has no right to what it tried. It is
// rmp.ErrForbidden, so that it is counted as the drop reason forbidden.
var ErrForbidden = rmp.ErrForbidden

// Rights are what a uid may do on a bus that was made with Options.Enforce. Each
// is a pattern of a kind, a colon and a name that may end in *:
//
//	key:PREFIX*    Read: Get, List, Wait, Watch; Write: Set, Unset and the like
//	topic:PREFIX*  Read: Subscribe; Write: Publish
//	name:PREFIX*   Read: Listen, which reads what is asked; Write: Dial and Request
//
// Neither includes the other. Everybody may read key:sys/*.
type Rights struct{ Read, Write []string }

const (
	readRight  = false
	writeRight = true
)

// CheckPattern says what is wrong with a pattern of Rights, nil if nothing is.
func CheckPattern(pattern string) error {
	kind, name, ok := strings.Cut(pattern, ":")
	switch {
	case !ok || kind != "key" && kind != "topic" && kind != "name":
		return fmt.Errorf("%q does not begin with key:, topic: or name: and a name", pattern)
	case name == "":
		return fmt.Errorf("%q names nothing; %s* is everything", pattern, pattern)
	case strings.Contains(strings.TrimSuffix(name, "*"), "*"):
		return fmt.Errorf("%q has a * that is not its end", pattern)
	case strings.ContainsAny(name, "\n\x00"):
		return fmt.Errorf("%q has a line break or a zero byte", pattern)
	case len(name) > MaxKey+1:
		return fmt.Errorf("%.40q... is longer than a key can be", pattern)
	}
	return nil
}

func matches(patterns []string, what string) bool {
	for _, p := range patterns {
		if prefix, open := strings.CutSuffix(p, "*"); open && strings.HasPrefix(what, prefix) || p == what {
			return true
		}
	}
	return false
}

// rightsView is this process's own rights as they were at one moment.
type rightsView struct {
	changed uint64 // channelHeader.rightsChanged then
	rights  Rights
}

// Grant gives the uid exactly these rights, in place of those it had. Only root
// and the owner of the bus's file may; for others it is ErrForbidden. It takes
// effect at once, also for who has the bus open.
func (b *Bus) Grant(uid uint32, r Rights) error {
	if err := b.grantTo(uid, r); err != nil {
		return fmt.Errorf("grant rights to uid %d: %w", uid, err)
	}
	return nil
}

func (b *Bus) grantTo(uid uint32, r Rights) error {
	if err := b.checkOpen(); err != nil {
		return err
	}
	if !b.channels.master {
		b.countForbidden()
		return fmt.Errorf("uid %d is neither root nor the owner of the bus: %w", b.channels.uid, ErrForbidden)
	}
	var text strings.Builder
	for letter, patterns := range map[byte][]string{'r': r.Read, 'w': r.Write} {
		for _, p := range patterns {
			if err := CheckPattern(p); err != nil {
				return err
			}
			fmt.Fprintf(&text, "%c %s\n", letter, p)
		}
	}
	if text.Len() > rightsText {
		return fmt.Errorf("%w: the patterns have %d bytes, at most %d", ErrTooLarge, text.Len(), rightsText)
	}
	b.lockChannels()
	defer b.unlockChannels()
	g, err := b.grantOf(uid)
	if err != nil {
		return err
	}
	g.granted.Store(0) // who dies here leaves no rights rather than wrong ones
	g.length = uint32(copy(g.text[:], text.String()))
	g.granted.Store(1)
	b.header().channels.rightsChanged.Add(1)
	return nil
}

// grantOf finds the uid's place or gives it one; the caller holds the channel lock.
func (b *Bus) grantOf(uid uint32) (*grant, error) {
	var free *grant
	for i := range uint32(rightsLimit) {
		g := b.grant(i)
		switch g.uid.Load() {
		case uint64(uid) + 1:
			return g, nil
		case 0:
			if free == nil {
				free = g
			}
		}
	}
	if free == nil {
		return nil, fmt.Errorf("%w: all %d uids are taken", ErrFull, rightsLimit)
	}
	free.granted.Store(0)
	free.forbidden.Store(0)
	free.uid.Store(uint64(uid) + 1)
	return free, nil
}

// RightsOf returns what was granted to the uid; false if nothing ever was.
func (b *Bus) RightsOf(uid uint32) (Rights, bool) {
	b.lockChannels()
	defer b.unlockChannels()
	for i := range uint32(rightsLimit) {
		if g := b.grant(i); g.uid.Load() == uint64(uid)+1 {
			return g.rights()
		}
	}
	return Rights{}, false
}

// rights reads the text; the caller holds the channel lock.
func (g *grant) rights() (r Rights, granted bool) {
	if g.granted.Load() == 0 {
		return r, false
	}
	text := string(g.text[:min(g.length, rightsText)])
	for line := range strings.Lines(text) {
		kind, pattern, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		switch kind {
		case "r":
			r.Read = append(r.Read, pattern)
		case "w":
			r.Write = append(r.Write, pattern)
		}
	}
	return r, true
}

// openRights finds out who this process is. permitKey stays nil for who may do everything.
func (b *Bus) openRights() error {
	info, err := os.Stat(b.path)
	if err != nil {
		return err
	}
	b.become(uint32(os.Geteuid()), ownerOfFile(info))
	return nil
}

// become sets the identity that rights are asked for.
func (b *Bus) become(uid, owner uint32) {
	c := &b.channels
	c.uid, c.master = uid, uid == 0 || uid == owner
	c.enforced = b.g.Channels.Flags&flagEnforce != 0 && !c.master
	b.permitKey = nil
	if c.enforced {
		b.permitKey = func(key string, write bool) error { return b.permit("key:", key, write) }
	}
}

// own returns this process's rights as they are now.
func (b *Bus) own() *rightsView {
	changed := b.header().channels.rightsChanged.Load()
	if v := b.channels.rights.Load(); v != nil && v.changed == changed {
		return v
	}
	r, _ := b.RightsOf(b.channels.uid)
	r.Read = append(r.Read, "key:sys/*")
	v := &rightsView{changed: changed, rights: r}
	b.channels.rights.Store(v)
	return v
}

// may says whether this process has the right, without counting a refusal.
func (b *Bus) may(kind, name string, write bool) bool {
	if !b.channels.enforced {
		return true
	}
	rights := b.own().rights
	if write {
		return matches(rights.Write, kind+name)
	}
	return matches(rights.Read, kind+name)
}

// permit is nil if this process has the right; else ErrForbidden, and counted.
func (b *Bus) permit(kind, name string, write bool) error {
	if b.may(kind, name, write) {
		return nil
	}
	b.countForbidden()
	verb := "read"
	if write {
		verb = "write"
	}
	return hint.New(fmt.Errorf("uid %d may not %s %s%s: %w", b.channels.uid, verb, kind, name, ErrForbidden),
		"a service's rights are under bus: in its manifest")
}

// mayOpenTopic asks for either right; publishing and subscribing ask for their own.
func (b *Bus) mayOpenTopic(name string) error {
	if b.may("topic:", name, writeRight) || systemTopics[name] != (TopicOptions{}) {
		return nil
	}
	return b.permit("topic:", name, readRight)
}

// countForbidden counts a refusal for this process's uid. When as many uids as
// there are places were refused before it counts for the process alone.
func (b *Bus) countForbidden() {
	b.count(counterForbidden, 1)
	g := b.channels.grant.Load()
	if g == nil {
		b.lockChannels()
		g, _ = b.grantOf(b.channels.uid)
		b.unlockChannels()
		if g == nil {
			return
		}
		b.channels.grant.Store(g)
	}
	g.forbidden.Add(1)
}

// right is one right that is asked for often: the answer is kept until a Grant.
type right struct {
	bus   *Bus
	kind  string
	name  string
	write bool
	kept  atomic.Uint64 // rightsChanged + 1 when the answer was yes
}

func (b *Bus) newRight(write bool, kind, name string) right {
	return right{bus: b, kind: kind, name: name, write: write}
}

func (r *right) check() error {
	if r.bus == nil || !r.bus.channels.enforced {
		return nil
	}
	now := r.bus.header().channels.rightsChanged.Load() + 1
	if r.kept.Load() == now {
		return nil
	}
	if err := r.bus.permit(r.kind, r.name, r.write); err != nil {
		return err
	}
	r.kept.Store(now)
	return nil
}
