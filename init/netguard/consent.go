package netguard

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"runa/init/contain"
	"runa/services/hint"
)

// Consent is a person's permission for one interface, for a time.
type Consent struct {
	Interface string
	Since     time.Time
	Until     time.Time
	By        string // who gave it, in words
}

// consent is one that is in force, until it is taken out of the guard's map.
type consent struct {
	Consent
	index int
	timer *time.Timer
}

// Longest is how long one consent can be in force; it can be given again.
const Longest = 24 * time.Hour

// Errors a caller may want to tell apart.
var (
	ErrUnknown  = errors.New("there is no such network interface")
	ErrLoopback = errors.New("the loopback stays down: nothing here needs it")
	ErrDuration = errors.New("the time must be more than nothing and at most a day")
	ErrNoWatch  = errors.New("nobody watches over the network, so no interface can be allowed")
)

// Allow brings an interface up and lets it be up for that time; by says who
// consented. While a consent is in force it is replaced by the new one. On an
// error there is none, and the interface is down.
func (g *Guard) Allow(name string, d time.Duration, by string) (Consent, error) {
	i, err := g.find(name, d)
	if err != nil {
		return Consent{}, fmt.Errorf("allow network interface %s: %w", name, err)
	}
	g.act.Lock()
	defer g.act.Unlock()
	c, err := g.grant(i, d, by)
	if err != nil {
		return Consent{}, fmt.Errorf("allow network interface %s: %w", name, err)
	}
	if err := contain.Call("bring a network interface up", func() error { return g.kernel.Up(i) }); err != nil {
		return Consent{}, errors.Join(fmt.Errorf("bring network interface %s up: %w", name, err), g.endOrRetry(c, "it can't be brought up"))
	}
	g.log.Warn("a network interface is allowed", "interface", c.Interface, "kind", i.Kind, "for", d, "until", c.Until, "by", by)
	return c.Consent, nil
}

// find looks up an interface that may be allowed for d.
func (g *Guard) find(name string, d time.Duration) (Interface, error) {
	if d <= 0 || d > Longest {
		return Interface{}, hint.New(ErrDuration, "give a time such as 30m; it can be given again when it is over")
	}
	i, err := g.lookUp(name)
	if err == nil && i.Kind == loopback {
		err = ErrLoopback
	}
	return i, err
}

func (g *Guard) lookUp(name string) (Interface, error) {
	list, err := g.Interfaces()
	if err != nil {
		return Interface{}, err
	}
	var known []string
	for _, i := range list {
		if i.Name == name {
			return i, nil
		}
		if i.Kind != loopback {
			known = append(known, i.Name)
		}
	}
	if len(known) == 0 {
		return Interface{}, hint.New(ErrUnknown, "this machine has no network interface")
	}
	return Interface{}, hint.New(ErrUnknown, "there are: %v", known)
}

// grant puts a consent into force, before the interface comes up; act is held.
func (g *Guard) grant(i Interface, d time.Duration, by string) (*consent, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.watching {
		return nil, ErrNoWatch
	}
	if old := g.consents[i.Index]; old != nil {
		old.timer.Stop()
		g.log.Info("a consent is replaced by a new one", "interface", old.Interface, "was-until", old.Until)
	}
	now := time.Now()
	c := &consent{Consent: Consent{Interface: i.Name, Since: now, Until: now.Add(d), By: by}, index: i.Index}
	c.timer = time.AfterFunc(d, func() { g.expire(c) })
	g.consents[i.Index] = c
	return c, nil
}

// allowed says whether an interface may be up now.
func (g *Guard) allowed(i Interface) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.consents[i.Index]
	if c == nil {
		return false
	}
	c.Interface = i.Name // it may have been renamed
	return time.Now().Before(c.Until)
}

// expire ends a consent whose time is over, if it is still in force.
func (g *Guard) expire(c *consent) {
	g.act.Lock()
	defer g.act.Unlock()
	if g.inForce(c) {
		_ = g.endOrRetry(c, "its time is over") // it was logged
	}
}

func (g *Guard) inForce(c *consent) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.consents[c.index] == c
}

// endOrRetry ends a consent. What can't be taken down now is later; act is held.
func (g *Guard) endOrRetry(c *consent, why string) error {
	err := contain.Call("end the consent to a network", func() error { return g.end(c, why) })
	if err != nil {
		g.settleLater()
	}
	return err
}

// end takes a consent out of force and then its interface down.
func (g *Guard) end(c *consent, why string) error {
	g.mu.Lock()
	if g.consents[c.index] == c {
		delete(g.consents, c.index)
	}
	c.timer.Stop()
	name := c.Interface
	g.mu.Unlock()
	if err := g.down(Interface{Index: c.index, Name: name}); err != nil {
		g.log.Error("the network is not off", "interface", name, "reason", err)
		return err
	}
	g.log.Warn("a network interface is no longer allowed and was taken down", "interface", name, "why", why, "by", c.By)
	return nil
}

// Revoke ends the consent to an interface and takes the interface down; without
// a consent it is taken down all the same. An empty name means all of them. by
// says who wants it.
func (g *Guard) Revoke(name, by string) error {
	ended, err := g.revoke(func(c *consent) bool { return name == "" || c.Interface == name }, "revoked by "+by)
	if ended > 0 || name == "" {
		return err
	}
	i, err := g.lookUp(name)
	if err == nil {
		err = g.check(i)
	}
	if err != nil {
		return fmt.Errorf("take network interface %s down: %w", name, err)
	}
	return nil
}

// revokeAll ends every consent because of the guard itself.
func (g *Guard) revokeAll(why string) {
	// What failed is logged and tried again.
	_, _ = g.revoke(func(*consent) bool { return true }, why)
}

// revoke ends the consents that which picks; which is called with mu held. They
// are all out of force before the first interface is touched.
func (g *Guard) revoke(which func(*consent) bool, why string) (ended int, err error) {
	g.act.Lock()
	defer g.act.Unlock()
	g.mu.Lock()
	var picked []*consent
	for index, c := range g.consents {
		if which(c) {
			picked = append(picked, c)
			delete(g.consents, index)
		}
	}
	g.mu.Unlock()
	for _, c := range picked {
		err = errors.Join(err, g.endOrRetry(c, why))
	}
	return len(picked), err
}

// forget ends the consent to an interface that is gone.
func (g *Guard) forget(i Interface) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c := g.consents[i.Index]; c != nil {
		delete(g.consents, i.Index)
		c.timer.Stop()
		g.log.Warn("a network interface that was allowed is gone", "interface", c.Interface, "by", c.By)
	}
}

// Consents lists what is allowed now, sorted by interface.
func (g *Guard) Consents() []Consent {
	g.mu.Lock()
	defer g.mu.Unlock()
	var list []Consent
	for _, c := range g.consents {
		list = append(list, c.Consent)
	}
	slices.SortFunc(list, func(a, b Consent) int { return cmp.Compare(a.Interface, b.Interface) })
	return list
}
