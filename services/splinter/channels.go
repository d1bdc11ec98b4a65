package splinter

import (
	"os"
	"sync/atomic"
	"syscall"
)

// channels is what a handle keeps for topics, rights and statistics.
type channels struct {
	uid       uint32
	master    bool // root or the file's owner: may do everything
	enforced  bool // rights are asked for
	rights    atomic.Pointer[rightsView]
	grant     atomic.Pointer[grant] // where refusals are counted
	component *component
	noticer   noticer

	// Guarded by Bus.mu.
	subscriptions map[*Subscription]struct{}
	system        map[string]*Topic
}

// openChannels is the part of Open that finds out who this process is and where it counts.
func (b *Bus) openChannels(component string) error {
	if err := b.openRights(); err != nil {
		return err
	}
	b.openComponent(component)
	return nil
}

// closeChannels ends the handle's subscriptions and wakes publishers that wait.
func (b *Bus) closeChannels() {
	b.mu.Lock()
	subscriptions := keysOf(b.channels.subscriptions)
	b.mu.Unlock()
	for _, s := range subscriptions {
		s.Close()
	}
	for i := range uint32(topicLimit) {
		if t := b.topic(i); t.state.Load() != 0 {
			kick(&t.space)
		}
	}
	b.channels.component.ended.Store(1)
}

func ownerOfFile(info os.FileInfo) uint32 {
	if stat, ok := statOf(info); ok {
		return stat.Uid
	}
	return 0
}

func statOf(info os.FileInfo) (*syscall.Stat_t, bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return stat, ok
}
