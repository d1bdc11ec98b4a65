package splinter

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"
	"time"
	"unsafe"
)

// storeFile makes a small bus that has all that a store can hold.
func storeFile(t testing.TB) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bus")
	b, err := Create(path, Options{Slots: 64, ValueLimit: 4096, Heap: 64 << 10, Connections: 1, RingSize: pageSize, Messages: 64, Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	mustSet(t, b, "key", "value")
	mustSet(t, b, "long", string(bytes.Repeat([]byte("v"), 3000)))
	mustSet(t, b, "gone", "value")
	if err := b.Unset("gone"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Add("count", 5); err != nil {
		t.Fatal(err)
	}
	if err := b.SetWith("timed", []byte("value"), Meta{Type: "text", Labels: 5, TTL: 1 << 61, HalfLife: time.Hour}); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// FuzzStoreFile: a store file that is damaged or cut off in any way is refused or
// gives errors and wrong values, never a panic, a hang or a SIGBUS. With seal the
// damage reaches the geometry behind its checksum.
func FuzzStoreFile(f *testing.F) {
	whole := storeFile(f)
	f.Add(uint32(0), []byte("x"), uint32(0), false)
	f.Add(uint32(16), []byte{0xff, 0xff}, uint32(0), true)
	f.Add(uint32(pageSize), []byte{0xff, 0xff, 0xff, 0x7f}, uint32(0), false)
	f.Add(uint32(0), []byte{}, uint32(pageSize), false)
	at := openAt(f, whole)
	for _, region := range []uint64{at.index, at.used, at.slots, at.slots, at.slots + 16, at.slots + 320, at.log, at.watchers, at.heapUnits, at.heap} {
		f.Add(uint32(region), bytes.Repeat([]byte{0xff}, 24), uint32(0), false)
		f.Add(uint32(region), make([]byte, 64), uint32(0), false)
		f.Add(uint32(region), []byte{1, 1, 0, 0, 0, 0, 0, 0, 2, 1}, uint32(0), true)
	}
	dir, err := os.MkdirTemp("/dev/shm", "splinter-fuzz-")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "bus")
	f.Fuzz(func(t *testing.T, at uint32, damage []byte, cut uint32, seal bool) {
		spoiled := append([]byte(nil), whole...)
		copy(spoiled[int(at)%len(spoiled):], damage)
		if seal {
			size := unsafe.Sizeof(geometry{})
			binary.LittleEndian.PutUint32(spoiled[16+size:], crc32.ChecksumIEEE(spoiled[16:16+size]))
		}
		spoiled = spoiled[:len(spoiled)-int(cut)%len(spoiled)]
		if err := os.WriteFile(path, spoiled, 0o600); err != nil {
			t.Fatal(err)
		}
		useDamaged(path)
	})
}

// openContent opens a file with that content; the test's end closes it.
func openContent(t testing.TB, content []byte) *Bus {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bus")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func openAt(t testing.TB, content []byte) offsets {
	t.Helper()
	return openContent(t, content).at
}

// useDamaged does everything a member can with the store; whatever it returns is right.
func useDamaged(path string) {
	b, err := Open(path)
	if err != nil {
		return
	}
	defer b.Close()
	_, _ = b.Check()
	look := func() {
		for _, key := range []string{"key", "long", "count", "timed", "new"} {
			_, _, _ = b.Get(key)
			_, _ = b.Describe(key)
		}
		_, _ = b.List("")
		_, _ = b.Find(1)
		_, _ = b.Snapshot("")
		_, _ = b.Info()
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		for _, s := range []Selector{{Key: "key"}, {Prefix: "t"}, {Labels: 1}} {
			for range b.Watch(ended, s) {
				_ = b.Set("key", []byte("value"))
			}
		}
	}
	look()
	for _, key := range []string{"key", "long", "count", "timed", "new"} {
		_, _ = b.Add(key, 1)
		_, _ = b.CompareAndSet(key, 3, []byte("value"))
		_ = b.Label(key, 2, 1)
		_ = b.Set(key, make([]byte, 2000))
		_ = b.Set(key, make([]byte, 20))
	}
	_ = b.Unset("long")
	_, _ = b.Evict(time.Unix(1, 0))
	_, _ = b.Repair()
	look()
	_ = b.Unset("key")
	_ = b.Set("key", make([]byte, 4000))
}

func TestRepairMakesADamagedStoreClean(t *testing.T) {
	whole := storeFile(t)
	at := openAt(t, whole)
	long, key := slotHolding(t, whole, "long"), slotHolding(t, whole, "key")
	slotAt := func(i uint32, field uint64) uint64 { return at.slots + slotSize*uint64(i) + field }
	for name, c := range map[string]struct {
		at    uint64
		bytes []byte
	}{
		"a slot marked used that no key has": {at.used + 7, []byte{0x80}},
		"a key's length":                     {slotAt(key, 16), []byte{250}},
		"a spare reference to a block":       {slotAt(long, 320+16), []byte{1, 1, 0, 0, 0}},
		"a reference to a block":             {slotAt(long, 320+192+16), []byte{1, 1, 0, 0, 0}},
		"no reference to a block":            {slotAt(long, 320+192+16), make([]byte, 8)},
		"two records with one block":         {slotAt(long, 320+16), whole[slotAt(long, 320+192+16):][:8]},
		"a block's descriptor":               {at.heapUnits, []byte{99}},
		"a taken block of nobody":            {at.heapUnits + 16*32, []byte{1, 1, heldBySlot, 0, 60, 0, 0, 0}},
		"a dead process's lock":              {256, []byte{255, 255, 63, 1}},
		"a dead process's slot lock":         {slotAt(key, 8), []byte{255, 255, 63, 1}},
		"an index entry to nowhere":          {at.index, []byte{0, 3, 0, 0, 9, 9, 9, 9}},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "bus")
			spoiled := append([]byte(nil), whole...)
			copy(spoiled[c.at:], c.bytes)
			if err := os.WriteFile(path, spoiled, 0o600); err != nil {
				t.Fatal(err)
			}
			b, err := Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			if r, err := b.Check(); err != nil || r.Clean() {
				t.Fatalf("check sees nothing: %+v, %v", r, err)
			}
			if r, err := b.Repair(); err != nil || !r.Clean() {
				t.Fatalf("repair: %+v, %v", r, err)
			}
			if n, err := b.Add("count", 1); err != nil || n != 6 {
				t.Fatalf("a sound key: %d, %v", n, err)
			}
			for _, name := range []string{"key", "long"} {
				if value, _, err := b.Get(name); err != nil && !errors.Is(err, ErrNotFound) {
					t.Fatalf("%s: %q, %v", name, value, err)
				}
				mustSet(t, b, name, string(make([]byte, 3000)))
			}
			if r, err := b.Check(); err != nil || !r.Clean() {
				t.Fatalf("after use: %+v, %v", r, err)
			}
		})
	}
}

func slotHolding(t testing.TB, content []byte, key string) uint32 {
	t.Helper()
	b := openContent(t, content)
	i, _, found := b.find(b.hash(key), key)
	if !found {
		t.Fatalf("%q is not there", key)
	}
	return i
}
