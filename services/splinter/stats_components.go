package splinter

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Statistics is what everybody has done on the bus, for a person who looks. It
// is gathered without stopping anybody, so its parts may be of slightly different
// moments. It holds names, counts and times, never a key, a value or a payload.
type Statistics struct {
	Components  []ComponentStatistics  // by name and uid
	Topics      []TopicStatistics      // by name
	Connections []ConnectionStatistics // open ones
	Forbidden   map[uint32]uint64      // refusals by uid; no zeros
}

// ComponentStatistics sums up the processes of one program under one uid, the
// ended ones included.
type ComponentStatistics struct {
	Name     string // of the program's file
	UID      uint32
	PIDs     []int // those that run, as they see themselves: 1 in a pid namespace of its own
	Counters Counters
	Drops    Drops     // frames it dropped: as a receiver, or as a publisher that did not get rid of them
	Wake     Histogram // from being woken to running, in Receive
}

// TopicStatistics is one topic.
type TopicStatistics struct {
	Name        string
	Options     TopicOptions
	Published   uint64 // messages
	Bytes       uint64 // of their frames
	Kept        int    // messages in the ring
	Depth       int    // messages that wait for the slowest subscriber
	Drops       Drops
	Wake        Histogram
	Publishers  []PublisherStatistics // the last ones that published
	Subscribers []SubscriberStatistics
}

// PublisherStatistics is what one process has published on a topic.
type PublisherStatistics struct {
	PID             int
	UID             uint32
	Component       string
	Messages, Bytes uint64
}

// SubscriberStatistics is one subscription.
type SubscriberStatistics struct {
	PID       int
	UID       uint32
	Component string
	Behind    int  // messages that wait for it
	Lagging   bool // it let a publisher wait in vain and has read nothing since
	Drops     Drops
}

// ConnectionStatistics is one open connection. Bytes are those ever sent.
type ConnectionStatistics struct {
	Name                   string // that was dialled; empty if its listener has gone
	Client, Server         int    // pids, as they see themselves
	ClientName, ServerName string // components
	ToServer, ToClient     uint64 // bytes
	WaitServer, WaitClient uint64 // of them not yet read
}

// openComponent takes a place among the components for this handle; name is empty
// for the program's own. With every place taken by the living it counts for itself alone.
func (b *Bus) openComponent(name string) {
	if name == "" {
		name = filepath.Base(os.Args[0])
	}
	b.lockChannels()
	defer b.unlockChannels()
	c := b.findComponent(name)
	if c == nil {
		c = new(component)
	}
	if c.owner.Load() != b.self {
		c.uid = b.channels.uid
		c.nameLen = uint32(copy(c.name[:], name))
		c.namespace = pidNamespace()
		c.owner.Store(b.self)
	}
	c.ended.Store(0)
	b.channels.component = c
	b.stripe = &c.counters
}

// pidNamespace is the number of this process's pid namespace, 0 without /proc.
var pidNamespace = sync.OnceValue(func() uint64 {
	var stat unix.Stat_t
	if unix.Stat("/proc/self/ns/pid", &stat) != nil {
		return 0
	}
	return stat.Ino
})

// running says whether the component's handle is open and its process alive.
func (b *Bus) running(c *component) bool { return c.ended.Load() == 0 && b.alive(c.owner.Load()) }

// findComponent is this handle's place, or one of an ended handle of the same
// component, or a free one, or any ended one's after its counts were added to
// those of the forgotten. The caller holds the channel lock.
func (b *Bus) findComponent(name string) *component {
	var free, ended *component
	for i := range uint32(componentLimit) {
		c := b.component(i)
		switch owner := c.owner.Load(); {
		case owner == b.self:
			return c
		case owner == 0:
			if free == nil {
				free = c
			}
		case ended == nil && c.uid == b.channels.uid && c.text() == name[:min(len(name), len(c.name))] && !b.running(c):
			ended = c
		}
	}
	if ended != nil || free != nil {
		if ended != nil {
			return ended
		}
		return free
	}
	for i := range uint32(componentLimit) {
		if c := b.component(i); !b.running(c) {
			b.header().counters[0].add(&c.counters)
			c.forget()
			return c
		}
	}
	return nil
}

func (c *component) text() string { return string(c.name[:min(int(c.nameLen), len(c.name))]) }

func (c *component) forget() {
	for i := range c.counters.values {
		c.counters.values[i].Store(0)
	}
	for i := range c.drops {
		c.drops[i].Store(0)
	}
	for i := range c.latency {
		c.latency[i].Store(0)
	}
}

// Statistics gathers them all.
func (b *Bus) Statistics() (Statistics, error) {
	if err := b.checkOpen(); err != nil {
		return Statistics{}, fmt.Errorf("statistics: %w", err)
	}
	defer runtime.KeepAlive(b)
	b.lockChannels()
	defer b.unlockChannels()
	s := Statistics{Forbidden: map[uint32]uint64{}}
	names := map[uint64]string{}
	s.Components = b.componentStatistics(names)
	s.Topics = b.topicStatistics(names)
	s.Connections = b.connectionStatistics(names)
	for i := range uint32(rightsLimit) {
		if g := b.grant(i); g.uid.Load() != 0 && g.forbidden.Load() != 0 {
			s.Forbidden[uint32(g.uid.Load()-1)] = g.forbidden.Load()
		}
	}
	return s, nil
}

// componentStatistics also fills names: the component of each owner.
func (b *Bus) componentStatistics(names map[uint64]string) (all []ComponentStatistics) {
	type identity struct {
		name string
		uid  uint32
	}
	totals := map[identity]*component{}
	type process struct {
		namespace uint64
		pid       int
	}
	processes := map[identity][]process{}
	for i := range uint32(componentLimit) {
		c := b.component(i)
		owner := c.owner.Load()
		if owner == 0 {
			continue
		}
		id := identity{c.text(), c.uid}
		names[owner] = id.name
		total := totals[id]
		if total == nil {
			total = new(component)
			totals[id] = total
		}
		total.counters.add(&c.counters)
		for i := range c.drops {
			total.drops[i].Add(c.drops[i].Load())
		}
		for i := range c.latency {
			total.latency[i].Add(c.latency[i].Load())
		}
		if p := (process{c.namespace, ownerPID(owner)}); b.running(c) && !slices.Contains(processes[id], p) {
			processes[id] = append(processes[id], p) // one process may have several handles
		}
	}
	for id, total := range totals {
		var pids []int
		for _, p := range processes[id] {
			pids = append(pids, p.pid)
		}
		all = append(all, ComponentStatistics{
			Name: id.name, UID: id.uid, PIDs: pids, Counters: total.counters.counters(),
			Drops: dropsOf(&total.drops), Wake: total.latency.read(),
		})
	}
	slices.SortFunc(all, func(a, b ComponentStatistics) int {
		return strings.Compare(fmt.Sprintf("%s %10d", a.Name, a.UID), fmt.Sprintf("%s %10d", b.Name, b.UID))
	})
	return all
}

func (b *Bus) topicStatistics(names map[uint64]string) (all []TopicStatistics) {
	for i := range uint32(topicLimit) {
		s := b.topic(i)
		if s.state.Load() == 0 {
			continue
		}
		head := s.head.Load()
		t := TopicStatistics{
			Name: s.text(), Options: s.options(), Published: head, Bytes: b.bytesPublished(s, head), Kept: int(head - min(head, s.tail.Load())),
			Drops: dropsOf(&s.drops), Wake: s.latency.read(),
		}
		for i := range s.publishers {
			p := &s.publishers[i]
			if owner := p.owner.Load(); owner != 0 {
				t.Publishers = append(t.Publishers, PublisherStatistics{ownerPID(owner), p.uid.Load(), names[owner], p.messages.Load(), p.bytes.Load()})
			}
		}
		for i := range s.subscribers {
			sub := &s.subscribers[i]
			if owner := sub.owner.Load(); owner != 0 {
				behind := int(head - min(head, sub.position.Load()))
				t.Depth = max(t.Depth, behind)
				t.Subscribers = append(t.Subscribers, SubscriberStatistics{
					ownerPID(owner), sub.uid.Load(), names[owner], behind, sub.lagging.Load() != 0, dropsOf(&sub.drops),
				})
			}
		}
		all = append(all, t)
	}
	slices.SortFunc(all, func(a, b TopicStatistics) int { return strings.Compare(a.Name, b.Name) })
	return all
}

func (b *Bus) connectionStatistics(names map[uint64]string) (all []ConnectionStatistics) {
	for i := range b.g.Connections {
		c := b.connection(i)
		if c.state.Load()&heldMask == 0 {
			continue
		}
		s := ConnectionStatistics{
			Client: ownerPID(c.owner[client]), Server: ownerPID(c.owner[server]),
			ClientName: names[c.owner[client]], ServerName: names[c.owner[server]],
			ToServer: c.rings[client].head.Load(), ToClient: c.rings[server].head.Load(),
		}
		s.WaitServer = s.ToServer - min(s.ToServer, c.rings[client].tail.Load())
		s.WaitClient = s.ToClient - min(s.ToClient, c.rings[server].tail.Load())
		if e := b.endpoint(c.endpoint); e.owner.Load() != 0 && e.generation.Load() == c.generation {
			s.Name = e.text()
		}
		all = append(all, s)
	}
	return all
}
