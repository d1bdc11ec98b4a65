package splinter

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// fakeClock is a time that only its test moves.
type fakeClock struct{ at time.Time }

func (c *fakeClock) now() time.Time { return c.at }

func (c *fakeClock) advance(d time.Duration) { c.at = c.at.Add(d) }

func newClock() *fakeClock { return &fakeClock{at: time.Unix(1_700_000_000, 0)} }

var secret = bytes.Repeat([]byte{7}, KeySize)

// modelKey is what the model knows of a key.
type modelKey struct {
	value   string
	version uint64
	meta    Meta
	expires time.Time
}

// storeModel is a store as it should be.
type storeModel struct {
	clock *fakeClock
	keys  map[string]modelKey
	last  map[string]uint64 // greatest version a key ever had
}

func (m *storeModel) there(key string) (modelKey, bool) {
	k, ok := m.keys[key]
	return k, ok && (k.expires.IsZero() || m.clock.at.Before(k.expires))
}

func (m *storeModel) put(key, value string, meta Meta) {
	k := modelKey{value: value, meta: meta}
	if meta.TTL != 0 {
		k.expires = m.clock.at.Add(meta.TTL)
	}
	m.keys[key] = k
}

func TestTheStoreBehavesAsItsModel(t *testing.T) {
	for name, o := range map[string]Options{"plain": {}, "keyed": {Key: secret}} {
		t.Run(name, func(t *testing.T) {
			clock := newClock()
			o.Slots, o.ValueLimit, o.Heap, o.Clock = 64, 10_000, 1<<20, clock.now
			b := newBus(t, o)
			m := &storeModel{clock: clock, keys: map[string]modelKey{}, last: map[string]uint64{}}
			rapid.Check(t, func(t *rapid.T) { stepOfModel(t, b, m) })
			if r, err := b.Check(); err != nil || !r.Clean() {
				t.Fatalf("check: %+v, %v", r, err)
			}
		})
	}
}

func stepOfModel(t *rapid.T, b *Bus, m *storeModel) {
	key := rapid.SampledFrom(strings.Fields("a b ab abc service/x "+strings.Repeat("long", 60))).Draw(t, "key")
	value := strings.Repeat(rapid.StringN(0, 10, 10).Draw(t, "value"), rapid.SampledFrom([]int{1, 1, 12, 100, 900}).Draw(t, "times"))
	k, there := m.there(key)
	wantErr := error(nil)
	if !there {
		wantErr = ErrNotFound
	}
	expect := func(what string, err, want error) {
		if !errors.Is(err, want) || err != nil && want == nil {
			t.Fatalf("%s %q: %v, want %v", what, key, err, want)
		}
	}
	switch rapid.IntRange(0, 10).Draw(t, "step") {
	case 0, 1:
		expect("set", b.Set(key, []byte(value)), nil)
		m.put(key, value, k.meta)
		if !there {
			m.put(key, value, Meta{})
		}
	case 2:
		expect("unset", b.Unset(key), wantErr)
		delete(m.keys, key)
	case 3:
		meta := Meta{
			Type: rapid.SampledFrom([]string{"", "text", "fifteen letters"}).Draw(t, "type"), Labels: rapid.Uint64Range(0, 7).Draw(t, "labels"),
			TTL: time.Duration(rapid.IntRange(0, 3).Draw(t, "ttl")) * time.Second, HalfLife: time.Duration(rapid.IntRange(0, 1).Draw(t, "half")) * time.Second,
		}
		expect("set with", b.SetWith(key, []byte(value), meta), nil)
		m.put(key, value, meta)
	case 4:
		version, err := b.CompareAndSet(key, k.version, []byte(value))
		if !there && k.version != 0 {
			expect("compare and set", err, ErrConflict)
			break
		}
		expect("compare and set", err, nil)
		if !there {
			k.meta = Meta{}
		}
		m.put(key, value, k.meta)
		if version <= m.last[key] {
			t.Fatalf("version %d after %d", version, m.last[key])
		}
	case 5:
		_, err := b.CompareAndSet(key, k.version+1000, []byte(value))
		expect("compare and set", err, ErrConflict)
	case 6:
		delta := rapid.Int64().Draw(t, "delta")
		sum, err := b.Add(key, delta)
		switch {
		case there && (k.meta.Type != TypeInt || len(k.value) != 8):
			expect("add", err, ErrType)
		default:
			before := int64(0)
			if there {
				before = int64(binary.LittleEndian.Uint64([]byte(k.value)))
			} else {
				k.meta = Meta{Type: TypeInt}
			}
			if want := before + delta; (delta > 0 && before > math.MaxInt64-delta) || (delta < 0 && before < math.MinInt64-delta) {
				expect("add", err, ErrRange)
			} else {
				expect("add", err, nil)
				if sum != want {
					t.Fatalf("%d + %d = %d", before, delta, sum)
				}
				m.put(key, string(binary.LittleEndian.AppendUint64(nil, uint64(want))), k.meta)
			}
		}
	case 7:
		set, clear := rapid.Uint64Range(0, 7).Draw(t, "set"), rapid.Uint64Range(0, 7).Draw(t, "clear")
		expect("label", b.Label(key, set, clear), wantErr)
		if there {
			k.meta.Labels = k.meta.Labels&^clear | set
			m.put(key, k.value, k.meta)
		}
	case 8:
		expect("set type", b.SetType(key, "other"), wantErr)
		if there {
			k.meta.Type = "other"
			m.put(key, k.value, k.meta)
		}
	case 9:
		m.clock.advance(700 * time.Millisecond)
	case 10:
		if _, err := b.Evict(m.clock.at); err != nil {
			t.Fatal(err)
		}
	}
	compareWithModel(t, b, m)
}

func compareWithModel(t *rapid.T, b *Bus, m *storeModel) {
	var all, odd []string
	for key := range m.keys {
		k, there := m.there(key)
		got, version, err := b.Get(key)
		if there != (err == nil) || there && string(got) != k.value {
			t.Fatalf("get %q: %d bytes, %v, want %d, there %v", key, len(got), err, len(k.value), there)
		}
		if !there {
			continue
		}
		if version < m.last[key] {
			t.Fatalf("%q: version %d after %d", key, version, m.last[key])
		}
		m.last[key], k.version = version, version
		m.keys[key] = k
		d, err := b.Describe(key)
		if err != nil || d.Meta != k.meta || d.Version != version || d.Size != len(got) || !d.Expires.Equal(k.expires) {
			t.Fatalf("describe %q: %+v, %v, want %+v", key, d, err, k)
		}
		all = append(all, key)
		if k.meta.Labels&5 == 5 {
			odd = append(odd, key)
		}
	}
	slices.Sort(all)
	slices.Sort(odd)
	if keys, err := b.List(""); err != nil || !slices.Equal(keys, all) {
		t.Fatalf("list: %q, %v, want %q", keys, err, all)
	}
	if keys, err := b.Find(5); err != nil || !slices.Equal(keys, odd) {
		t.Fatalf("find: %q, %v, want %q", keys, err, odd)
	}
	entries, err := b.Snapshot("a")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if k := m.keys[e.Key]; k.value != string(e.Value) || k.version != e.Version || k.meta != e.Meta || !strings.HasPrefix(e.Key, "a") {
			t.Fatalf("snapshot: %+v, want %+v", e, k)
		}
	}
}

func TestADumpOfAKeyedBusShowsNoKeyAndNoValue(t *testing.T) {
	b := newBus(t, Options{Slots: 64, ValueLimit: 4096, Key: secret})
	for _, size := range []int{30, 4096} {
		value := strings.Repeat("confidential words ", size)[:size]
		mustSet(t, b, "secret/name", value)
		wantValue(t, b, "secret/name", value)
		if bytes.Contains(b.data, []byte("confidential")) || bytes.Contains(b.data, []byte("secret/")) || bytes.Contains(b.data, secret[:8]) {
			t.Fatal("the file shows the key or the value")
		}
	}
	if err := b.Set("k", make([]byte, 4097)); !errors.Is(err, ErrTooLarge) {
		t.Fatalf("over the limit: %v", err)
	}
	mustSet(t, b, strings.Repeat("k", MaxKey), string(make([]byte, 4096)))
	for name, o := range map[string]Options{"none": {}, "another": {Key: bytes.Repeat([]byte{8}, KeySize)}} {
		if _, err := OpenWith(b.Path(), o); !errors.Is(err, ErrSealed) {
			t.Fatalf("opened with key %s: %v", name, err)
		}
	}
	other, err := OpenWith(b.Path(), Options{Key: secret})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if keys, err := other.List("secret/"); err != nil || !slices.Equal(keys, []string{"secret/name"}) {
		t.Fatalf("list: %q, %v", keys, err)
	}
	// A value that another member did not seal is no value.
	i, _, _ := b.find(b.hash(b.storedKey("secret/name")), b.storedKey("secret/name"))
	r := &b.slot(i).records[valid(b.slot(i).epoch.Load())]
	b.bytes(block(r.block), 100)[50] ^= 1
	if _, _, err := other.Get("secret/name"); !errors.Is(err, ErrSealed) {
		t.Fatalf("a forged value: %v, want ErrSealed", err)
	}
	if plain := newBus(t, Options{}); plain != nil {
		if _, err := OpenWith(plain.Path(), Options{Key: secret}); !errors.Is(err, ErrNotKeyed) {
			t.Fatalf("a key for a plain bus: %v", err)
		}
	}
}

func TestAKeyIsGoneWhenItsTTLHasPassedWithoutAJanitor(t *testing.T) {
	clock := newClock()
	b := newBus(t, Options{Slots: 64, Clock: clock.now})
	for i := range 64 {
		if err := b.SetWith(fmt.Sprint(i), []byte("v"), Meta{TTL: time.Minute}); err != nil {
			t.Fatal(err)
		}
	}
	clock.advance(30 * time.Second)
	mustSet(t, b, "0", "again") // begins its TTL anew
	clock.advance(30 * time.Second)
	if _, _, err := b.Get("1"); !errors.Is(err, ErrNotFound) {
		t.Fatalf("after its TTL: %v", err)
	}
	wantValue(t, b, "0", "again")
	mustSet(t, b, "one more", "the expired make room")
	if keys, _ := b.List(""); !slices.Equal(keys, []string{"0", "one more"}) {
		t.Fatalf("left: %q", keys)
	}
}

func TestTheLightestAreEvictedWhenSpaceIsShortAndPersistentKeysNever(t *testing.T) {
	clock := newClock()
	b := newBus(t, Options{Slots: 64, Clock: clock.now})
	ctx := limit(t)
	topic, err := b.Topic(EvictionsTopic, TopicOptions{})
	if err != nil {
		t.Fatal(err)
	}
	notices, err := topic.Subscribe(SubscribeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		mustSet(t, b, fmt.Sprintf("kept%02d", i), "v")
	}
	for i := range 40 {
		if err := b.SetWith(fmt.Sprintf("memory%02d", i), []byte("of a day"), Meta{Type: "memory", HalfLife: time.Hour}); err != nil {
			t.Fatal(err)
		}
	}
	for range 4 { // the even ones are used
		clock.advance(time.Hour)
		for i := 0; i < 40; i += 2 {
			wantValue(t, b, fmt.Sprintf("memory%02d", i), "of a day")
		}
	}
	if d, _ := b.Describe("memory01"); math.Abs(d.Weight-1.0/16) > 1e-9 {
		t.Fatalf("weight %v after four half-lives, want 1/16", d.Weight)
	}
	evicted, err := b.Evict(clock.at)
	if err != nil || len(evicted) != 60-48 {
		t.Fatalf("evicted %q, %v, want 12: down to three quarters of 64", evicted, err)
	}
	for i, key := range evicted {
		if want := fmt.Sprintf("memory%02d", 2*i+1); key != want {
			t.Fatalf("evicted %q, want the lightest, %q", key, want)
		}
		m, err := notices.Receive(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(m.Frame.Payload), "of a day") || !strings.Contains(string(m.Frame.Payload), key) {
			t.Fatalf("notice %q does not say what was evicted", m.Frame.Payload)
		}
		m.Release()
	}
	if again, err := b.Evict(clock.at); err != nil || len(again) != 0 {
		t.Fatalf("space is not short any more: %q, %v", again, err)
	}
	if kept, _ := b.List("kept"); len(kept) != 20 {
		t.Fatalf("%d persistent keys are left of 20", len(kept))
	}
}
