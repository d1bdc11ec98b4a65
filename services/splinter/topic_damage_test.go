package splinter

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"runa/services/rmp"
)

// topicFile is the content of a bus with topics in use, and where its regions are.
func topicFile(t testing.TB) ([]byte, offsets) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bus")
	b, err := Create(path, Options{Slots: 64, Messages: 256, Heap: 64 << 10, Connections: 1, RingSize: pageSize, Enforce: true, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for _, o := range []TopicOptions{{Depth: 4, History: 8}, {Depth: 4, Policy: DropOldest}} {
		topic := newTopic(t, b, o.Policy.String(), o)
		s := subscribe(t, topic, SubscribeOptions{})
		for i := range uint64(6) {
			f, _ := rmp.New(rmp.SchemaToken, time.Now(), [16]byte{1}, i, rmp.Token{Text: string(make([]byte, 500*(i%2)))})
			if err := topic.Publish(context.Background(), f); err != nil {
				t.Fatal(err)
			}
			if i%2 == 0 {
				m, err := s.Receive(context.Background())
				if err != nil {
					t.Fatal(err)
				}
				m.Release()
			}
		}
	}
	if err := b.Grant(7, Rights{Read: []string{"key:*"}}); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content, b.at
}

// FuzzTopics: damage to what topics, rights and statistics keep in the file gives
// errors, losses and wrong values, never a panic, a hang or a SIGBUS.
func FuzzTopics(f *testing.F) {
	whole, at := topicFile(f)
	for _, region := range []uint64{
		at.channels.topics, at.channels.topics + 256, at.channels.topics + 320, at.channels.topics + 1024, at.channels.topics + 3072, at.channels.topics + 8192,
		at.channels.topics + 8192 + 256, at.channels.cells, at.channels.cells + 256*4, at.channels.components, at.channels.rights, at.heapUnits,
	} {
		f.Add(uint32(region-at.heapUnits), bytes.Repeat([]byte{0xff}, 40))
		f.Add(uint32(region-at.heapUnits), make([]byte, 40))
		f.Add(uint32(region-at.heapUnits), bytes.Repeat([]byte{1, 0, 0, 0, 0, 0, 0, 0x80}, 6))
	}
	dir, err := os.MkdirTemp("/dev/shm", "splinter-topics-")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "bus")
	blockLimit = time.Millisecond
	f.Cleanup(func() { blockLimit = BlockLimit })
	f.Fuzz(func(t *testing.T, offset uint32, damage []byte) {
		spoiled := bytes.Clone(whole)
		span := at.rings - at.heapUnits
		copy(spoiled[at.heapUnits+uint64(offset)%span:], damage)
		// A new file each time: who still publishes a notice on the last one has it mapped.
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, spoiled, 0o600); err != nil {
			t.Fatal(err)
		}
		useDamagedTopics(path)
	})
}

// useDamagedTopics does everything a member can with topics; whatever it returns is right.
func useDamagedTopics(path string) {
	b, err := Open(path)
	if err != nil {
		return
	}
	defer b.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, name := range []string{Block.String(), DropOldest.String(), "new", DropsTopic} {
		topic, err := b.Topic(name, TopicOptions{})
		if err != nil {
			continue
		}
		s, err := topic.Subscribe(SubscribeOptions{History: true})
		for i := range uint64(8) {
			f, _ := rmp.New(rmp.SchemaToken, time.Now(), [16]byte{2}, i, rmp.Token{Text: string(make([]byte, 500*(i%2)))})
			_ = topic.Publish(context.Background(), f)
			if l, err := topic.Loan(300); err == nil {
				_ = l.Publish(context.Background(), f.Header)
			}
		}
		for range 30 {
			if err != nil {
				break
			}
			var m Message
			if m, err = s.Receive(ctx); err == nil {
				m.Release()
			}
		}
		_, _ = b.Statistics()
		if s != nil {
			s.Close()
		}
	}
	_, _ = b.Info()
	_ = b.Grant(8, Rights{Write: []string{"key:*"}})
	_, _ = b.RightsOf(7)
	b.sweep()
	other, err := Open(path)
	if err != nil {
		return
	}
	defer other.Close()
	other.become(7, 1)
	_, _, _ = other.Get("key")
	_ = other.Set("key", nil)
}
