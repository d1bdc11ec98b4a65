package splinter

import (
	"testing"

	"pgregory.net/rapid"

	"runa/services/rmp"
)

func TestDuplicatesRemembersWhatASetWould(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type id struct {
			trace byte
			id    uint64
		}
		var d duplicates
		model := map[id]uint64{} // when it came
		now, maxTTL := uint64(0), uint64(0)
		for range rapid.IntRange(1, 400).Draw(t, "messages") {
			now += rapid.Uint64Range(0, 20).Draw(t, "pause")
			key := id{rapid.Byte().Draw(t, "trace") % 4, rapid.Uint64Range(0, 60).Draw(t, "id")}
			h := rmp.Header{MsgID: key.id, TTLMs: rapid.Uint64Range(1, 100).Draw(t, "ttl"), TraceID: [16]byte{key.trace}}
			maxTTL = max(maxTTL, h.TTLMs)
			came, known := model[key]
			got := d.add(h, now)
			if known && now-came <= maxTTL && !got {
				t.Fatalf("%v was forgotten after %d ms of %d", key, now-came, maxTTL)
			}
			if !known && got {
				t.Fatalf("%v is said to have come before", key)
			}
			if !got {
				model[key] = now
			}
		}
	})
}

func TestDuplicatesIsBounded(t *testing.T) {
	var d duplicates
	h := rmp.Header{TTLMs: 1 << 60}
	const many = 5 * duplicateLimit / 2
	for i := range uint64(many) {
		h.MsgID = i * 3
		h.TraceID[15] = byte(i)
		if d.add(h, i) {
			t.Fatalf("message %d is no duplicate", i)
		}
	}
	if len(d.ring) != duplicateLimit || len(d.table) != 2*duplicateLimit {
		t.Fatalf("it holds %d", len(d.ring))
	}
	taken := 0
	for _, e := range d.table {
		if e.place != 0 {
			taken++
		}
	}
	if taken != duplicateLimit {
		t.Fatalf("%d entries for %d messages", taken, duplicateLimit)
	}
	for i := uint64(many - duplicateLimit); i < many; i++ {
		h.MsgID = i * 3
		h.TraceID[15] = byte(i)
		if !d.add(h, i) {
			t.Fatalf("message %d was forgotten", i)
		}
	}
}
