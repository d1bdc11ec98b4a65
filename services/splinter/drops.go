package splinter

import (
	"context"
	"crypto/rand"
	"sync"
	"time"

	"runa/services/rmp"
)

const (
	// DropsTopic carries rmp.DropNotice: what was dropped where and why.
	DropsTopic = "rlp/sys/drops"
	// EvictionsTopic carries what the janitor evicted.
	EvictionsTopic = "rlp/sys/evictions"
)

// systemTopics have options that do not depend on who opens them first.
var systemTopics = map[string]TopicOptions{
	DropsTopic:     {Depth: 64, Bytes: 64 << 10, Policy: DropOldest, History: 32},
	EvictionsTopic: {Depth: 64, Bytes: 64 << 10, Policy: DropOldest, History: 32},
}

// noticePause is the least time between two notices of one topic, reason and subscriber.
const noticePause = 100 * time.Millisecond

type dropReason int

const (
	dropExpired dropReason = iota
	dropDuplicate
	dropBackpressure
	dropForbidden
	dropOverwritten
	dropInvalid
	dropReasons
)

var dropNames = [dropReasons]string{
	rmp.DropExpired, rmp.DropDuplicate, rmp.DropBackpressure, rmp.DropForbidden, rmp.DropOverwritten, rmp.DropInvalid,
}

func reasonOf(err error) dropReason {
	name := rmp.DropReason(err)
	for i, n := range dropNames {
		if n == name {
			return dropReason(i)
		}
	}
	return dropInvalid
}

// Drops counts dropped frames by reason (rmp.DropExpired and so on); no zeros are in it.
type Drops map[string]uint64

// Total is the sum over the reasons.
func (d Drops) Total() (n uint64) {
	for _, count := range d {
		n += count
	}
	return n
}

// dropped counts frames that did not reach a subscriber, nil if it never came to
// one, and sees to it that a notice is published. For a request there is no topic
// either. It takes no lock of the bus.
func (b *Bus) dropped(t *topic, name string, sub *subscriber, reason dropReason, count uint64, last rmp.Header) {
	if t != nil {
		t.drops[reason].Add(count)
	}
	b.channels.component.drops[reason].Add(count)
	notice := rmp.DropNotice{Topic: name, Reason: dropNames[reason], Count: count, TraceID: last.TraceID[:], MsgID: last.MsgID, UID: b.channels.uid}
	if sub != nil {
		sub.drops[reason].Add(count)
		notice.Subscriber = uint32(ownerPID(sub.owner.Load()))
		notice.UID = sub.uid.Load()
	}
	if name != DropsTopic {
		b.channels.noticer.add(b, notice)
	}
}

// noticer publishes drop notices: the first at once, further ones of the same
// kind summed up in one each noticePause. It never makes who drops wait.
type noticer struct {
	mu      sync.Mutex
	pending map[noticeKind]*rmp.DropNotice
	recent  map[noticeKind]time.Time
	running bool
	trace   [16]byte
	sent    uint64
}

type noticeKind struct {
	topic, reason string
	subscriber    uint32
}

func (n *noticer) add(b *Bus, notice rmp.DropNotice) {
	n.mu.Lock()
	defer n.mu.Unlock()
	kind := noticeKind{notice.Topic, notice.Reason, notice.Subscriber}
	if n.pending == nil {
		n.pending, n.recent = map[noticeKind]*rmp.DropNotice{}, map[noticeKind]time.Time{}
		rand.Read(n.trace[:])
	}
	if waiting := n.pending[kind]; waiting != nil {
		notice.Count += waiting.Count
		*waiting = notice
	} else {
		n.pending[kind] = &notice
	}
	if !n.running {
		n.running = true
		b.start(func() { n.run(b) })
	}
}

// run publishes until nothing is pending and all pauses are over, then ends.
func (n *noticer) run(b *Bus) {
	for {
		n.mu.Lock()
		now := time.Now()
		for kind, at := range n.recent {
			if now.Sub(at) >= noticePause {
				delete(n.recent, kind)
			}
		}
		var due []rmp.DropNotice
		for kind, notice := range n.pending {
			if _, paused := n.recent[kind]; !paused {
				due = append(due, *notice)
				delete(n.pending, kind)
				n.recent[kind] = now
			}
		}
		if b.closed.Load() || len(n.pending)+len(n.recent) == 0 {
			n.running = false
			n.mu.Unlock()
			return
		}
		n.mu.Unlock()
		for _, notice := range due {
			n.publish(b, notice)
		}
		time.Sleep(noticePause / 4)
	}
}

// publish drops what it cannot publish: a drop of a drop notice is silent.
func (n *noticer) publish(b *Bus, notice rmp.DropNotice) {
	n.sent++
	f, err := rmp.New(rmp.SchemaBusDropNotice, time.Now(), n.trace, n.sent, notice)
	if err != nil {
		return
	}
	f.TTLMs = uint64(rmp.DropTTL.Milliseconds())
	t, err := b.systemTopic(DropsTopic)
	if err != nil {
		return
	}
	_ = t.Publish(context.Background(), f)
}

// systemTopic opens a topic that the library itself publishes on, whatever the
// process's own rights are.
func (b *Bus) systemTopic(name string) (*Topic, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t := b.channels.system[name]; t != nil {
		return t, nil
	}
	t, err := b.openTopic(name, TopicOptions{})
	if err != nil {
		return nil, err
	}
	t.publishRight = right{}
	if b.channels.system == nil {
		b.channels.system = map[string]*Topic{}
	}
	b.channels.system[name] = t
	return t, nil
}
