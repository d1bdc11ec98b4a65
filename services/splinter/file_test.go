package splinter

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"runa/services/hint"
)

func smallBusFile(t testing.TB) (path string, content []byte) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "bus")
	b, err := Create(path, Options{Slots: 64, ValueMax: 64, Connections: 1, RingSize: pageSize, Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	mustSet(t, b, "key", "value")
	mustSet(t, b, "other", "value")
	b.Close()
	if content, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	return path, content
}

func TestAFileThatIsNoWholeBusIsRefused(t *testing.T) {
	path, whole := smallBusFile(t)
	for name, spoil := range map[string]func([]byte) []byte{
		"empty":        func(b []byte) []byte { return nil },
		"one page":     func(b []byte) []byte { return b[:pageSize] },
		"a byte short": func(b []byte) []byte { return b[:len(b)-1] },
		"a page long":  func(b []byte) []byte { return append(b, make([]byte, pageSize)...) },
		"magic":        func(b []byte) []byte { b[0] ^= 1; return b },
		"version":      func(b []byte) []byte { b[8]++; return b },
		"older":        func(b []byte) []byte { b[8] = 2; return b },
		"byte order":   func(b []byte) []byte { b[12]++; return b },
		"slots":        func(b []byte) []byte { b[32]++; return b },
	} {
		spoiled := spoil(append([]byte(nil), whole...))
		if err := os.WriteFile(path, spoiled, 0o600); err != nil {
			t.Fatal(err)
		}
		b, err := Open(path)
		if !errors.Is(err, ErrNotABus) || hint.Of(err) == "" || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, %v", name, b, err)
		}
		if after, _ := os.ReadFile(path); string(after) != string(spoiled) {
			t.Errorf("%s: the file was changed", name)
		}
	}
	if _, err := Open(path + ".none"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func TestAnOlderLayoutIsRefusedByItsVersion(t *testing.T) {
	path, content := smallBusFile(t)
	content[8] = 2
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Create(path, Options{})
	if !errors.Is(err, ErrNotABus) || !strings.Contains(err.Error(), "its layout is version 2, this program knows 3") ||
		!strings.Contains(hint.Of(err), "remove the file") {
		t.Fatalf("got %v, hint %q", err, hint.Of(err))
	}
}

func TestCreatorsAtOnceGetTheSameBusWithItsModeAndItsMemory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bus")
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			b, err := Create(path, Options{GID: os.Getgid()})
			if err != nil {
				t.Error(err)
				return
			}
			mustSet(t, b, "key", "value")
			wantValue(t, b, "key", "value")
			b.Close()
		})
	}
	all.Wait()
	b, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if info, _ := b.Info(); info.Counters.Sets != 8 || info.Keys != 1 {
		t.Fatalf("%+v: eight sets of one key were expected", info)
	}
	stat, err := os.Stat(path)
	if err != nil || stat.Mode().Perm() != 0o660 {
		t.Fatalf("mode %v, %v, want 0660", stat.Mode(), err)
	}
	if taken := stat.Sys().(*syscall.Stat_t).Blocks * 512; taken < stat.Size() {
		t.Fatalf("%d of %d bytes are taken: a full tmpfs would be a SIGBUS", taken, stat.Size())
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".bus-*")); left != nil {
		t.Fatalf("left behind: %q", left)
	}
}

func TestOptionsOutOfRangeAreRefused(t *testing.T) {
	for _, o := range []Options{{Slots: -1}, {ValueLimit: valueCeiling + 1}, {Heap: -1}, {RingSize: 1}, {Connections: 1 << 20}} {
		path := filepath.Join(t.TempDir(), "bus")
		if b, err := Create(path, o); err == nil {
			t.Errorf("%+v: made %v", o, b.Path())
		}
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%+v: a file was left", o)
		}
	}
}

// FuzzFile: any damage to a bus is an error or a wrong value, never a panic, a
// hang or an access outside of the file.
func FuzzFile(f *testing.F) {
	_, whole := smallBusFile(f)
	f.Add(uint32(0), []byte("x"))
	f.Add(uint32(pageSize), []byte{0xff, 0xff, 0xff, 0x7f})
	f.Add(uint32(len(whole)-pageSize), make([]byte, 64))
	path := filepath.Join(f.TempDir(), "bus")
	f.Fuzz(func(t *testing.T, at uint32, damage []byte) {
		spoiled := append([]byte(nil), whole...)
		copy(spoiled[int(at)%len(spoiled):], damage)
		// A lock held by a live stranger is waited for, rightly; take locks out of the game.
		clear(spoiled[256:704])
		if err := os.WriteFile(path, spoiled, 0o600); err != nil {
			t.Fatal(err)
		}
		b, err := Open(path)
		if err != nil {
			return
		}
		defer b.Close()
		for i := range b.g.Slots {
			b.slot(i).owner.Store(0)
		}
		for _, key := range []string{"key", "other", "new"} {
			b.Get(key)
			_ = b.Set(key, []byte("value"))
			_ = b.Unset(key)
		}
		b.List("")
		b.Info()
		ctx := t.Context()
		l, err := b.Listen("fuzz")
		if err != nil {
			return
		}
		if c, err := b.Dial(ctx, "fuzz"); err == nil {
			_ = c.Send(ctx, textFrame(t, 1, "text"))
			if far, err := l.Accept(ctx); err == nil {
				far.Receive(ctx)
			}
		}
	})
}
